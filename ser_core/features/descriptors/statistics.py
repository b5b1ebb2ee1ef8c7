"""Functionals: what a curve over the frames of a clip was like, in a few numbers.

A selection of those of ComParE (Weninger et al. 2013, "On the acoustics of emotion in audio", table 2).
"""

from __future__ import annotations

import torch
from torch import Tensor

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOMENTS = ("mean", "standard deviation")
DISTRIBUTION = (*(f"{quantile:.0%} quantile" for quantile in QUANTILES), "quartile range", "5 to 95 % range")
TREND = ("slope", "residual", "bend")
SHAPE = ("skewness", "kurtosis", "time above a quarter", "time above three quarters", "mean rise", "mean fall")
PEAKS = ("peak rate", "peak height", "peak deviation", "valley depth")

STATISTIC_NAMES = (*MOMENTS, *DISTRIBUTION, *TREND, *SHAPE, *PEAKS)
_EPSILON = 1e-6


def statistics(values: Tensor) -> Tensor:
    """(frames, descriptors) -> (24, descriptors), the rows as in `STATISTIC_NAMES`.

    In the descriptor's unit, but for skewness, kurtosis, shares of time and the peaks per frame; slopes are per half
    clip, rise and fall per frame. A curve that never moves has mean and quantiles, and 0 elsewhere.
    """
    mean = values.mean(dim=0)
    centred = values - mean
    deviation = centred.square().mean(dim=0).sqrt()
    quantiles = _quantiles(values)
    ranges = [quantiles[4] - quantiles[2], quantiles[5] - quantiles[1]]
    rows = [mean, deviation, *quantiles, *ranges, *_trend(centred), *_shape(values, centred, deviation, quantiles)]
    return torch.stack([*rows, *_peaks(values, mean)])


def _quantiles(values: Tensor) -> Tensor:
    """(frames, descriptors) -> (7, descriptors), linear between frames: `torch.quantile` in a fraction of its time."""
    ordered = values.sort(dim=0).values
    places = torch.tensor(QUANTILES, dtype=values.dtype) * (len(values) - 1)
    below = places.long()
    above = (below + 1).clamp(max=len(values) - 1)
    return ordered[below].lerp(ordered[above], (places - below)[:, None])


def _trend(centred: Tensor) -> list[Tensor]:
    """Slope of the least-squares line, root mean square of what it leaves, bend of the least-squares parabola."""
    time = torch.linspace(-1, 1, len(centred)) if len(centred) > 1 else torch.zeros(1)
    line = time / time.square().sum().clamp(min=_EPSILON)
    slope = line @ centred
    residual = (centred - time[:, None] * slope).square().mean(dim=0).sqrt()
    parabola = time.square() - time.square().mean()  # orthogonal to the line, whose times are symmetric about 0
    return [slope, residual, parabola @ centred / parabola.square().sum().clamp(min=_EPSILON)]


def _shape(values: Tensor, centred: Tensor, deviation: Tensor, quantiles: Tensor) -> list[Tensor]:
    """Third and fourth moment of the standardised curve, shares of time in its upper range, and mean steps."""
    z = centred / (deviation + _EPSILON)
    cubes = z**3
    span = quantiles[-1] - quantiles[0]
    high = [(values > quantiles[0] + part * span).float().mean(dim=0) * (span > _EPSILON) for part in (0.25, 0.75)]
    steps = values.diff(dim=0)
    up, down = steps.clamp(min=0), steps.clamp(max=0)
    rise = up.sum(dim=0) / (up > 0).sum(dim=0).clamp(min=1)
    fall = down.sum(dim=0) / (down < 0).sum(dim=0).clamp(min=1)
    return [cubes.mean(dim=0), (cubes * z).mean(dim=0), *high, rise, fall]


def _peaks(values: Tensor, mean: Tensor) -> list[Tensor]:
    """Local maxima above the mean: how many per frame, their mean height and its deviation; and the minima's depth."""
    before, at, after = values[:-2], values[1:-1], values[2:]
    peaks = (at > before) & (at >= after) & (at > mean)
    valleys = (at < before) & (at <= after) & (at < mean)
    count = peaks.sum(dim=0)
    above, height = at - mean, _mean_where(peaks, at - mean)
    deviation = _mean_where(peaks, (above - height).square()).sqrt()
    return [count / len(values), height, deviation, _mean_where(valleys, above)]


def _mean_where(mask: Tensor, values: Tensor) -> Tensor:
    """Mean over the frames where `mask` holds, 0 where it never does: (frames, descriptors) each -> (descriptors,)."""
    return torch.where(mask, values, 0.0).sum(dim=0) / mask.sum(dim=0).clamp(min=1)
