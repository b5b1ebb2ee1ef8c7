"""What may be searched for the Audio Spectrogram Transformer.

`model.size` and `model.pretrained` are no knobs: they decide cost and memory, which is the user's choice.
"""

from spaces.common import COMMON, WARPS
from spaces.knobs import Choice, Float, Int, When

SPACE = {
    "optim.optimizer": Choice(values=("adam", "adamw")),
    **COMMON,
    **WARPS,
    "optim.learning_rate": Float(low=1e-6, high=1e-3, log=True),
    # Adam adds it to the gradient, which is another thing than decay (Loshchilov & Hutter 2019): none there.
    "optim.weight_decay": Float(low=1e-4, high=0.2, log=True, when=When(name="optim.optimizer", values=("adamw",))),
    "optim.batch_size": Choice(values=(8, 12, 16, 32, 48)),
    # Twice the bins and frames of the CNNs: masks twice as wide.
    "augment.freq_mask_bins": Int(low=0, high=48),
    "augment.time_mask_frames": Int(low=0, high=96),
    "augment.mixup_alpha": Float(low=0.0, high=0.6),
    "model.stride": Choice(values=(10, 16)),
    "model.dropout": Float(low=0.0, high=0.5),
    "model.drop_path": Float(low=0.0, high=0.3),
    "model.layer_decay": Float(low=0.6, high=1.0),
}

_PLAIN = {
    "optim.optimizer": "adam",
    "augment.noise_std": 0.0,
    "augment.freq_warp": 0.0,
    "augment.tempo_change": 0.0,
    "model.stride": 10,
    "model.dropout": 0.0,
    "model.drop_path": 0.0,
    "model.layer_decay": 1.0,
}

_IMAGENET = {**_PLAIN, "optim.learning_rate": 5e-5, "optim.batch_size": 12, "augment.freq_mask_bins": 48}
"""Gong et al. 2021, section 3.1: Adam, 5e-5, batches of 12, masks up to 48 bins, from ImageNet weights."""
_AUDIOSET = {
    **_PLAIN,
    "optim.learning_rate": 1e-5,
    "optim.batch_size": 48,
    "augment.freq_mask_bins": 24,
    "augment.time_mask_frames": 96,
    "augment.mixup_alpha": 0.0,
}
"""The same, section 3.2 (ESC-50): 1e-5 and batches of 48, from AudioSet weights; masks as in the authors' recipe."""
_DECAYED = {**_AUDIOSET, "optim.learning_rate": 5e-5, "model.layer_decay": 0.75}
"""With the decay by layers of Huang et al. 2022 (Audio-MAE), and so much faster that the middle blocks learn alike."""

FIRST = (_IMAGENET, _AUDIOSET)
FIRST_OF = {"audioset": (_AUDIOSET, _DECAYED, _IMAGENET)}
