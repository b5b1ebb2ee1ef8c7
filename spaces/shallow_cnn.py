"""What may be searched for the shallow CNN."""

from spaces.common import COMMON, SPECTROGRAM_RECIPE, WARPED_RECIPE, WARPS
from spaces.knobs import Choice, Float, Int

SPACE = {
    "features.deltas": Int(low=0, high=2),
    **COMMON,
    **WARPS,
    "augment.time_mask_frames": Int(low=0, high=24),  # of 75 frames
    "optim.learning_rate": Float(low=5e-4, high=2e-2, log=True),
    "model.width": Choice(values=(12, 16, 24, 32)),
    "model.dropout": Float(low=0.0, high=0.4),
    "model.pooling": Choice(values=("mean", "bands")),
}

_OWN = {
    "features.deltas": 1,
    "optim.learning_rate": 1e-2,
    "model.dropout": 0.1,
    "model.pooling": "bands",
}

FIRST = (
    # About 102 K parameters. Then with warps, and four times as many parameters.
    {**SPECTROGRAM_RECIPE, **_OWN, "model.width": 16},
    {**WARPED_RECIPE, **_OWN, "model.width": 16},
    {**WARPED_RECIPE, **_OWN, "model.width": 32},
)
