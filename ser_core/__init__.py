"""The science: corpora, splits, features, models, training, metrics and trained models. Knows no search.

import ser_core
predictor = ser_core.load("runs/NAME/final/trial-00012-seed-1")
predictor.probabilities(samples)  # (samples,) float32 at predictor.config.features.sample_rate_hz -> (classes,)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ser_core.artifact import Predictor


def load(folder: str | Path, *, device: str = "cpu") -> Predictor:
    """A trained model from its folder, see `ser_core.artifact.load_model`.

    Raises:
        ArtifactError, PretrainedError: see there.
    """
    from ser_core.artifact import load_model  # torch takes seconds to import, and readers of records do without

    return load_model(Path(folder), device=device)
