"""What may be searched for a fine-tuned speech encoder: what of it is trained, how fast, and what head it has.

`model.pretrained` and `model.checkpointing` are no knobs: they decide cost and memory, which is the user's choice.
Samples are changed as far as the encoder hears it: loudness only where it does not bring every clip to one level, and
nothing where it takes a log mel spectrogram.
"""

from spaces.common import OPTIMISER, REGULARISATION
from spaces.knobs import Choice, Float, Int, When

_LORA = When(name="model.tuning", values=("lora",))
_LAYERS = When(name="model.tuning", values=("layers",))

_SAMPLES = {
    "augment.speed_change": Float(low=0.0, high=0.15),
    "augment.reverb_seconds": Float(low=0.0, high=0.8),
    "augment.background_noise": Float(low=0.0, high=0.4),
}
_LEVEL = {"augment.gain_db": Float(low=0.0, high=12.0)}

_COMMON = {
    **OPTIMISER,
    "optim.learning_rate": Float(low=1e-4, high=5e-3, log=True),  # of the head
    "optim.batch_size": Choice(values=(8, 16, 32)),
    "optim.label_smoothing": REGULARISATION["optim.label_smoothing"],
    "augment.time_shift_seconds": Float(low=0.0, high=0.5),
    "model.tuning": Choice(values=("layers", "lora")),
    "model.tuned_share": Choice(values=(0.25, 0.5, 1.0)),
    "model.head_epochs": Int(low=0, high=3),
    "model.encoder_rate": Float(low=0.003, high=1.0, log=True),
    "model.layer_decay": Float(low=0.7, high=1.0, when=_LAYERS),
    "model.lora_rank": Choice(values=(4, 8, 16, 32), when=_LORA),
    "model.lora_alpha": Float(low=4.0, high=64.0, log=True, when=_LORA),
    "model.lora_targets": Choice(values=("attention", "feed_forward", "both"), when=_LORA),
    "model.layers": Choice(values=("last", "weighted")),
    "model.pooling": Choice(values=("mean", "mean_std", "attention")),
    "model.width": Choice(values=(0, 128, 256)),
    "model.dropout": Float(low=0.0, high=0.5),
    "model.mask_frames": Int(low=0, high=20),
    "model.mask_units": Int(low=0, high=64),
}

SPACE = {**_COMMON, **_SAMPLES}
SPACE_OF = {"level": {**SPACE, **_LEVEL}, "log_mel": _COMMON}

_SHARED = {
    "optim.weight_decay": 0.01,
    "optim.batch_size": 16,
    "optim.label_smoothing": 0.1,
    "augment.time_shift_seconds": 0.3,
    "model.head_epochs": 1,
    "model.layer_decay": 0.9,
    "model.lora_rank": 8,
    "model.lora_alpha": 16.0,
    "model.lora_targets": "both",
    "model.layers": "last",
    "model.pooling": "mean_std",
    "model.width": 256,
    "model.dropout": 0.2,
    "model.mask_frames": 10,
    "model.mask_units": 0,
}

_RECIPES = (
    # The top half of the layers at the rate usual for such encoders, 5e-5; then adapters in all layers, ten times that.
    {
        **_SHARED,
        "optim.learning_rate": 1e-3,
        "model.tuning": "layers",
        "model.tuned_share": 0.5,
        "model.encoder_rate": 0.05,
    },
    {
        **_SHARED,
        "optim.learning_rate": 1e-3,
        "model.tuning": "lora",
        "model.tuned_share": 1.0,
        "model.encoder_rate": 0.5,
    },
)

FIRST = tuple({**recipe, **dict.fromkeys(_SAMPLES, 0.0)} for recipe in _RECIPES)
FIRST_OF = {
    "level": tuple({**recipe, **dict.fromkeys(_LEVEL, 0.0)} for recipe in FIRST),
    "log_mel": _RECIPES,
}
