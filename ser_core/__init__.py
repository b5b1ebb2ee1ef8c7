"""The science: corpora, splits, features, models, training, metrics and trained models. Knows no search.

import ser_core
predictor = ser_core.load("runs/NAME/final/trial-00012-seed-1")
predictor.probabilities(samples)  # (samples,) float32 at predictor.sample_rate_hz -> (classes,)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ser_core.artifact import Predictor
    from ser_core.ensemble import EnsemblePredictor


def load(folder: str | Path, *, device: str = "cpu") -> Predictor | EnsemblePredictor:
    """A trained model, or an ensemble of some, from its folder or from the hub, hf:USER/NAME.

    Raises:
        ArtifactError, PretrainedError: see `ser_core.ensemble.load_predictor`.
        HubError: see `ser_core.hub.fetched`.
    """
    from ser_core.ensemble import load_predictor  # torch takes seconds to import, and readers of records do without
    from ser_core.hub import fetched

    return load_predictor(fetched(Path(folder)), device=device)
