"""What may be searched for the attentive CRNN over the frames of a speech encoder.

`model.layers`, `model.tuned_layers` and `features.encoder_layer` are no knobs: each value would need the frames of the
whole corpus anew.
"""

from spaces.common import COMMON
from spaces.knobs import Choice, Float

SPACE = {
    # Masks of neighbouring units mean nothing: the order of an encoder's units is arbitrary.
    **{name: knob for name, knob in COMMON.items() if name != "augment.freq_mask_bins"},
    "optim.learning_rate": Float(low=1e-5, high=5e-3, log=True),
    "model.width": Choice(values=(64, 128, 256)),
    "model.cell": Choice(values=("gru", "lstm")),
    "model.recurrent_units": Choice(values=(64, 128, 256)),
    "model.dropout": Float(low=0.0, high=0.5),
}

FIRST = (
    # The defaults, with the learning rate usual for small networks over frozen encoders (SUPERB, Yang et al. 2021).
    {
        "optim.learning_rate": 1e-3,
        "optim.weight_decay": 0.01,
        "optim.batch_size": 32,
        "optim.label_smoothing": 0.1,
        "augment.mixup_alpha": 0.0,
        "augment.noise_std": 0.0,
        "augment.time_mask_frames": 24,
        "augment.time_shift_seconds": 0.3,
        "model.width": 128,
        "model.cell": "gru",
        "model.recurrent_units": 128,
        "model.dropout": 0.2,
    },
)
