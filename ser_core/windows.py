"""Speech of any length for models that hear one crop: overlapping windows, of which silent ones do not count.

Needs NumPy alone, so that an exported model is used without PyTorch.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

WHOLE_CLIPS = 2.0
"""Speech up to so many times the model's `clip_seconds` is predicted as the test clips were, by one crop."""

OVERLAP = 0.5
"""Share of a window that the next one repeats, for longer speech."""

SILENCE_PEAK = 1e-4
"""Speech is silent when no sample is this far from the mean, of full scale (-80 dB); dither alone reaches 6e-5."""


class OneCrop(Protocol):
    """What hears one crop of a clip: a `Predictor`, or an `OnnxModel`."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples that are predicted."""

    @property
    def clip_seconds(self) -> float:
        """The length of the crop, s."""

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """(samples,) float32 -> (classes,)."""


def crops_of(samples: np.ndarray, length: int) -> list[np.ndarray]:
    """The crops by which speech (samples,) is predicted, as views of it, for a model that hears `length` samples.

    Speech of more than `WHOLE_CLIPS` crops is cut into windows that overlap by half, the last one flush with the end;
    silent windows do not count. Shorter speech is one crop, of which the model takes what it hears.
    """
    if len(samples) <= WHOLE_CLIPS * length:
        return [samples]
    starts = [*range(0, len(samples) - length, round(length * (1 - OVERLAP))), len(samples) - length]
    windows = [samples[start : start + length] for start in starts]
    return [window for window in windows if not is_silent(window)] or windows


def windowed_probabilities(model: OneCrop, samples: np.ndarray) -> np.ndarray:
    """Class probabilities (classes,) of speech of any length, (samples,) float32 at the model's sample rate.

    They are the mean over its crops, see `crops_of`.
    """
    crops = crops_of(samples, round(model.clip_seconds * model.sample_rate_hz))
    mean: np.ndarray = np.mean([model.probabilities(crop) for crop in crops], axis=0)
    return mean


def is_silent(samples: np.ndarray) -> bool:
    """True when (samples,) hold nothing to hear, see `SILENCE_PEAK`."""
    return bool(np.abs(samples - samples.mean()).max() < SILENCE_PEAK)
