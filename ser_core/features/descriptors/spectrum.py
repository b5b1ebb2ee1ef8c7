"""The shape of a spectrum in a few numbers per frame, none of which depends on how loud the clip is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROLL_OFFS = (0.25, 0.5, 0.75, 0.9)
"""Shares of the energy below the roll-off frequencies."""
SLOPES_HZ = ((0, 500), (500, 1_500), (50, 5_000))
"""Bands over which a line is fitted to the log spectrum; the first two as in eGeMAPS (Eyben et al. 2016, table 1)."""
SHAPE_NAMES = (
    "centroid",
    "spread",
    "skewness",
    "kurtosis",
    "entropy",
    "flux",
    *(f"roll-off {share:g}" for share in ROLL_OFFS),
    *(f"slope {low} to {high} Hz" for low, high in SLOPES_HZ),
)
_LEAST = 1e-10
"""Power below which there is nothing to describe, of a frame or a bin: about -120 dB of full scale."""


def spectral_shape(power: Tensor, sample_rate_hz: int) -> Tensor:
    """Descriptors of each frame's spectrum, (frames, bins from 0 Hz to half the rate) -> (frames, 13), `SHAPE_NAMES`.

    Centroid and spread are in Hz, slopes in nepers per kHz; entropy is a share of that of a flat spectrum; flux is the
    distance between the magnitude spectra of a frame and the one before, each scaled to sum 1. Definitions as in
    Peeters (2004), "A large set of audio features for sound description", section 6.
    """
    hertz = torch.linspace(0, sample_rate_hz / 2, power.shape[1])
    share = power / (power.sum(dim=1, keepdim=True) + _LEAST)  # (frames, bins), a distribution over frequency
    centroid = share @ hertz
    away = hertz - centroid[:, None]
    spread = (share * away.square()).sum(dim=1).sqrt()
    z = away / (spread[:, None] + 1.0)  # 1 Hz: a pure tone has no shape
    cubes = share * z**3
    entropy = -(share * (share + _LEAST).log()).sum(dim=1) / math.log(power.shape[1])
    below = share.cumsum(dim=1)
    roll_offs = [hertz[(below < part).sum(dim=1).clamp(max=len(hertz) - 1)] for part in ROLL_OFFS]
    slopes = [_slope(power, hertz, low, high) for low, high in SLOPES_HZ]
    moments = [centroid, spread, cubes.sum(dim=1), (cubes * z).sum(dim=1)]
    return torch.stack([*moments, entropy, _flux(power), *roll_offs, *slopes], dim=1)


def _flux(power: Tensor) -> Tensor:
    """(frames, bins) -> (frames,), 0 in the first."""
    magnitude = power.sqrt()
    scaled = magnitude / (magnitude.sum(dim=1, keepdim=True) + _LEAST**0.5)
    return torch.nn.functional.pad((scaled[1:] - scaled[:-1]).square().sum(dim=1).sqrt(), (1, 0))


def _slope(power: Tensor, hertz: Tensor, low: float, high: float) -> Tensor:
    """Slope of the least-squares line through the log power of the bins in a band: (frames, bins) -> (frames,).

    A rate too low for the band leaves fewer bins, and at least two: each band begins below 2 kHz, half the least rate.
    """
    bins = (hertz >= low) & (hertz <= high)
    kilohertz = hertz[bins] / 1_000
    centred = kilohertz - kilohertz.mean()
    return (power[:, bins] + _LEAST).log() @ (centred / centred.square().sum())
