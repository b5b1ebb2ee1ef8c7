"""What may be searched for ResNet-18. Its size is fixed by name, so only its training is left."""

from spaces.common import COMMON, SPECTROGRAM_RECIPE, WARPS
from spaces.knobs import Float, Int

SPACE = {
    **COMMON,
    **WARPS,
    "augment.time_mask_frames": Int(low=0, high=24),  # of 75 frames
    "optim.learning_rate": Float(low=1e-4, high=1e-2, log=True),
    "optim.weight_decay": Float(low=1e-3, high=0.3, log=True),
    "model.dropout": Float(low=0.0, high=0.5),
    "model.drop_path": Float(low=0.0, high=0.2),
}

FIRST = (
    # A prototype's on RAVDESS, from scratch: 66 and 76 % accuracy on random splits with two seeds.
    {
        **SPECTROGRAM_RECIPE,
        "optim.learning_rate": 2e-3,
        "optim.weight_decay": 0.05,
        "model.dropout": 0.0,
        "model.drop_path": 0.0,
    },
)
