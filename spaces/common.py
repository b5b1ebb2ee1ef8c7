"""Knobs that models share, in groups, so that a model can take those that mean something to it.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping

from spaces.knobs import Choice, Float, Int, Knob, Value

OPTIMISER: Mapping[str, Knob] = {
    "optim.learning_rate": Float(low=1e-4, high=1e-2, log=True),
    "optim.weight_decay": Float(low=1e-4, high=0.2, log=True),
    "optim.batch_size": Choice(values=(16, 32, 64)),
}
"""How the weights are fitted."""

REGULARISATION: Mapping[str, Knob] = {
    "optim.label_smoothing": Float(low=0.0, high=0.2),
    # Small: corpora of acted speech have few clips, and strong mixing cost small networks more than ten points.
    "augment.mixup_alpha": Float(low=0.0, high=0.3),
    "augment.noise_std": Float(low=0.0, high=0.3),
}
"""What keeps any model from learning the training clips by heart."""

SPECAUGMENT: Mapping[str, Knob] = {
    # Two masks of each kind, as by default; a width of 0 is no mask, so the counts need no knobs of their own.
    "augment.freq_mask_bins": Int(low=0, high=20),
    "augment.time_mask_frames": Int(low=0, high=48),
    "augment.time_shift_seconds": Float(low=0.0, high=0.5),
}
"""Masks and shifts of a spectrogram."""

WARPS: Mapping[str, Knob] = {
    "augment.freq_warp": Float(low=0.0, high=0.2),
    "augment.tempo_change": Float(low=0.0, high=0.25),
}
"""Other voices and rates of speech, for features whose bins are frequencies."""

COMMON: Mapping[str, Knob] = {**OPTIMISER, **REGULARISATION, **SPECAUGMENT}
"""What a model without a space of its own is searched over."""

SPECTROGRAM_RECIPE: Mapping[str, Value] = {
    "optim.weight_decay": 0.01,
    "optim.batch_size": 32,
    "optim.label_smoothing": 0.1,
    "augment.mixup_alpha": 0.0,
    "augment.noise_std": 0.0,
    "augment.freq_mask_bins": 10,
    "augment.time_mask_frames": 12,
    "augment.time_shift_seconds": 0.3,
    "augment.freq_warp": 0.0,
    "augment.tempo_change": 0.0,
}
"""What the first configurations of the models on 75 log-mel frames share."""

WARPED_RECIPE: Mapping[str, Value] = {**SPECTROGRAM_RECIPE, "augment.freq_warp": 0.1, "augment.tempo_change": 0.1}
"""The same with warps, to be tried beside it: a corpus of few speakers has few vocal tracts."""
