"""What may be searched for the probe over a frozen speech encoder: which layers, which statistics, which head.

`model.pretrained` is no knob: each encoder would need the features of the whole corpus anew.
"""

from spaces.common import OPTIMISER, REGULARISATION
from spaces.knobs import Choice, Float, When

SPACE = {
    **OPTIMISER,
    "optim.learning_rate": Float(low=1e-4, high=1e-2, log=True),
    "optim.batch_size": Choice(values=(32, 64, 128)),
    "optim.label_smoothing": REGULARISATION["optim.label_smoothing"],
    "augment.mixup_alpha": REGULARISATION["augment.mixup_alpha"],
    "model.layers": Choice(values=("weighted", "one")),
    "model.depth": Float(low=0.0, high=1.0, when=When(name="model.layers", values=("one",))),
    "model.pooling": Choice(values=("mean", "mean_std")),
    "model.normalisation": Choice(values=("value", "layer", "none")),
    # Noise is measured in deviations of a value, which only normalised values have.
    "augment.noise_std": Float(low=0.0, high=0.5, when=When(name="model.normalisation", values=("value",))),
    "model.width": Choice(values=(0, 64, 128, 256, 512)),
    "model.dropout": Float(low=0.0, high=0.6),
}

_SHARED = {
    "optim.learning_rate": 1e-3,
    "optim.weight_decay": 0.01,
    "optim.batch_size": 32,
    "optim.label_smoothing": 0.1,
    "augment.mixup_alpha": 0.0,
    "model.layers": "weighted",
    "model.depth": 1.0,
    "model.dropout": 0.2,
}

FIRST = (
    # The defaults; then SUPERB's head (Yang et al. 2021): the mean over time, as it is, into a linear classifier.
    {
        **_SHARED,
        "augment.noise_std": 0.0,
        "model.pooling": "mean_std",
        "model.normalisation": "value",
        "model.width": 256,
    },
    {**_SHARED, "model.pooling": "mean", "model.normalisation": "none", "model.width": 0},
)
