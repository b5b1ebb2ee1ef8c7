"""What may be searched for the CNN-LSTM."""

from spaces.common import COMMON, SPECTROGRAM_RECIPE, WARPED_RECIPE, WARPS
from spaces.knobs import Choice, Float, Int

SPACE = {
    "features.deltas": Int(low=0, high=2),
    **COMMON,
    **WARPS,
    "augment.time_mask_frames": Int(low=0, high=24),  # of 75 frames
    "optim.learning_rate": Float(low=5e-4, high=1e-2, log=True),
    "model.width": Choice(values=(8, 16, 24)),
    "model.lstm_units": Choice(values=(32, 64, 128, 256)),
    "model.dropout": Float(low=0.0, high=0.5),
}

_OWN = {
    "features.deltas": 1,
    "optim.learning_rate": 3e-3,
    "model.width": 16,
    "model.lstm_units": 128,
    "model.dropout": 0.2,
}

FIRST = (
    # A prototype's on RAVDESS: 458 K parameters; without the derivative, 64 and 76 % accuracy on random splits with two
    # seeds. Then with warps.
    {**SPECTROGRAM_RECIPE, **_OWN},
    {**WARPED_RECIPE, **_OWN},
)
