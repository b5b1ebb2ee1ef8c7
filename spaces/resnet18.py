"""What may be searched for ResNet-18. Its size is fixed by name, so only its training is left."""

from spaces.common import COMMON
from spaces.knobs import Float, Int

SPACE = {
    **COMMON,
    "augment.time_mask_frames": Int(low=0, high=24),  # of 75 frames
    "optim.learning_rate": Float(low=1e-4, high=1e-2, log=True),
    "optim.weight_decay": Float(low=1e-3, high=0.3, log=True),
    "model.dropout": Float(low=0.0, high=0.5),
    "model.drop_path": Float(low=0.0, high=0.2),
}

FIRST = (
    # A prototype's on RAVDESS, from scratch: 66 and 76 % accuracy on random splits with two seeds.
    {
        "optim.learning_rate": 2e-3,
        "optim.weight_decay": 0.05,
        "optim.batch_size": 32,
        "optim.label_smoothing": 0.1,
        "augment.mixup_alpha": 0.0,
        "augment.noise_std": 0.0,
        "augment.freq_mask_bins": 10,
        "augment.time_mask_frames": 12,
        "augment.time_shift_seconds": 0.3,
        "model.dropout": 0.0,
        "model.drop_path": 0.0,
    },
)
