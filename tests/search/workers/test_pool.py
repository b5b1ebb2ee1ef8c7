"""What the jobs of a run ask for where the options say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from search.workers.pool import Training, default_gpus
from ser_core.features.store import CorpusFeatures
from spaces import space_for
from spaces.several import SEVERAL, joined


@pytest.mark.parametrize(
    ("names", "gpus"), [(["mlp"], 1.0), (["svm"], 0.0), (["svm", "boosting"], 0.0), (["svm", "mlp"], 1.0)]
)
def test_a_gpu_is_asked_for_where_a_network_is_trained(names: list[str], gpus: float) -> None:
    spaces = {name: space_for(name) for name in names}
    nothing: dict[str, Any] = {"fixed": {}, "stores": {}, "folds": {}, "about": {}}
    training = Training(
        run_folder=Path(),
        model=SEVERAL if len(names) > 1 else names[0],
        space=joined(spaces) if len(names) > 1 else spaces[names[0]],
        features=cast(CorpusFeatures, None),
        development=np.arange(0),
        **nothing,
    )
    assert default_gpus(training, available=True) == gpus
    assert default_gpus(training, available=False) == 0.0
