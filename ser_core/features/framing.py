"""Samples -> frames -> power spectra, for all features that are computed frame by frame."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ser_core.config import FeatureConfig


def window_samples(settings: FeatureConfig) -> int:
    """Samples in an analysis window."""
    return round(settings.window_ms * settings.sample_rate_hz / 1000)


def hop_samples(settings: FeatureConfig) -> int:
    """Samples from one frame's start to the next's."""
    return round(settings.hop_ms * settings.sample_rate_hz / 1000)


def framed(samples: Tensor, window: int, hop: int) -> Tensor:
    """(samples,) -> (frames, window), a view; a clip shorter than a window is filled up with zeros to one frame."""
    return at_least(samples, window).unfold(0, window, hop)


def at_least(samples: Tensor, length: int) -> Tensor:
    """(samples,) filled up with zeros to `length`, or as it is when that is longer."""
    return torch.nn.functional.pad(samples, (0, max(0, length - len(samples))))


def power_spectrum(frames: Tensor, n_fft: int) -> Tensor:
    """(frames, window) -> (frames, n_fft // 2 + 1)."""
    spectrum = torch.fft.rfft(frames, n=n_fft)
    return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)  # twice as fast as abs().square()


def power_of_two(length: int) -> int:
    """The smallest power of two that is at least `length`."""
    return 1 << math.ceil(math.log2(length))
