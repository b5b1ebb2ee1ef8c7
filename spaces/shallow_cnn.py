"""What may be searched for the shallow CNN."""

from spaces.common import COMMON
from spaces.knobs import Choice, Float, Int

SPACE = {
    **COMMON,
    "augment.time_mask_frames": Int(low=0, high=24),  # of 75 frames
    "optim.learning_rate": Float(low=5e-4, high=2e-2, log=True),
    "model.width": Choice(values=(12, 16, 24, 32)),
    "model.dropout": Float(low=0.0, high=0.4),
}

_RECIPE = {
    "optim.learning_rate": 1e-2,
    "optim.weight_decay": 0.01,
    "optim.batch_size": 32,
    "optim.label_smoothing": 0.1,
    "augment.mixup_alpha": 0.0,
    "augment.noise_std": 0.0,
    "augment.freq_mask_bins": 10,
    "augment.time_mask_frames": 12,
    "augment.time_shift_seconds": 0.3,
    "model.dropout": 0.1,
}

FIRST = (
    # About 98 K parameters: 72 % accuracy on validation clips of a random split of RAVDESS. Then four times as many.
    {**_RECIPE, "model.width": 16},
    {**_RECIPE, "model.width": 32},
)
