"""openSMILE's feature sets, by the optional package `opensmile`: one vector per clip.

F. Eyben, M. Wöllmer, B. Schuller: openSMILE, the Munich versatile and fast open-source audio feature extractor. ACM
Multimedia 2010. eGeMAPS: Eyben et al. 2016, IEEE Trans. Affective Computing 7(2). ComParE 2016: Schuller et al.,
Interspeech 2016. openSMILE's licence allows research, teaching and private use, and excludes commercial products.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from ser_core.config import ConfigError

FEATURE_SETS = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}
"""Kind of features -> openSMILE's name of the set: 88 and 6,373 values."""
LEAST_SECONDS = 0.2
"""Shorter clips are filled up with silence: below this, some of the sets' segments have no frame at all."""


def smile_functionals(kind: str, sample_rate_hz: int) -> Callable[[Tensor], Tensor]:
    """The function (samples,) -> (1, values) of a feature set; a value that a clip leaves undefined is 0.

    Raises:
        ConfigError: the package is missing.
    """
    if find_spec("opensmile") is None:
        raise ConfigError(
            f"features.kind = {kind} needs openSMILE, whose licence excludes commercial use: "
            f"pip install 'ser-search[opensmile]'; or use features.kind=functionals, which needs nothing"
        )
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet[FEATURE_SETS[kind]], feature_level=opensmile.FeatureLevel.Functionals
    )
    least = round(LEAST_SECONDS * sample_rate_hz)

    def of_clip(samples: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(samples, (0, max(0, least - len(samples))))
        values = smile.process_signal(padded.numpy(), sample_rate_hz).to_numpy(dtype="float32", copy=True)
        return torch.from_numpy(values).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)

    return of_clip
