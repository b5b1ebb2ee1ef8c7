"""What may be searched for the multilayer perceptron."""

from spaces.common import OPTIMISER, REGULARISATION
from spaces.knobs import Choice, Float, Int

# A vector of statistics has no time and no neighbouring bins, so nothing of SpecAugment.
SPACE = {
    "features.kind": Choice(values=("functionals", "mfcc_stats")),
    **OPTIMISER,
    **REGULARISATION,
    "optim.learning_rate": Float(low=1e-3, high=3e-2, log=True),
    "optim.batch_size": Choice(values=(64, 128)),
    "augment.noise_std": Float(low=0.0, high=1.0),
    "model.width": Choice(values=(32, 64, 128, 192)),
    "model.layers": Int(low=1, high=2),
    "model.dropout": Float(low=0.0, high=0.7),
}

FIRST = (
    # Found on development speakers of RAVDESS: benchmarks/truth, docs/results.md.
    {
        "features.kind": "functionals",
        "optim.learning_rate": 1e-2,
        "optim.weight_decay": 0.01,
        "optim.batch_size": 64,
        "optim.label_smoothing": 0.1,
        "augment.mixup_alpha": 0.0,
        "augment.noise_std": 0.0,
        "model.width": 128,
        "model.layers": 1,
        "model.dropout": 0.5,
    },
)
