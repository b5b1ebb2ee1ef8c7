"""Augmentation of training batches: on the device, whole batches at once, a draw of its own for every clip.

All functions draw from torch's global generator of the device, as dropout does; `ser_core.training.run` seeds it for
every epoch.

Features are normalised, so zero is a bin's mean: the value of masks (Park et al. 2019, section 2) and of padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ser_core.augment_settings import SAMPLE_CHANGES, AugmentConfig
from ser_core.config import FeatureConfig
from ser_core.training.waveforms import change_samples


def augment(
    features: Tensor, lengths: Tensor, targets: Tensor, settings: AugmentConfig, *, of: FeatureConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Changes of samples, or warping; noise, SpecAugment and mixup, in this order, as `settings` asks.

    Args:
        features: (batch, frames, bins), zero from `lengths` on.
        lengths: (batch,) frames before padding.
        targets: (batch, classes) probabilities.
        of: what the features are.

    Returns:
        The same three with the same shapes.
    """
    if any(getattr(settings, name) > 0 for name in SAMPLE_CHANGES):
        features, lengths = change_samples(features, lengths, settings, sample_rate_hz=of.sample_rate_hz)
    if settings.freq_warp > 0 or settings.tempo_change > 0:
        features, lengths = warp(features, lengths, settings.freq_warp, settings.tempo_change, stacked=1 + of.deltas)
    if settings.noise_std > 0:
        features = add_noise(features, lengths, settings.noise_std)
    if settings.freq_masks and settings.freq_mask_bins:
        features = mask_bins(features, settings.freq_masks, settings.freq_mask_bins)
    if settings.time_masks and settings.time_mask_frames:
        features = mask_frames(features, lengths, settings.time_masks, settings.time_mask_frames)
    if settings.mixup_alpha > 0:
        features, lengths, targets = mixup(features, lengths, targets, settings.mixup_alpha)
    return features, lengths, targets


def random_shifts(clips: int, largest: int, device: torch.device) -> Tensor:
    """Shifts of the crop in frames, uniform in [-largest, largest]: (clips,) int64."""
    return torch.randint(-largest, largest + 1, (clips,), device=device)


def warp(
    features: Tensor, lengths: Tensor, freq_warp: float, tempo_change: float, *, stacked: int = 1
) -> tuple[Tensor, Tensor]:
    """Stretch or squeeze each clip's spectrogram along both axes: other vocal tracts, other rates of speech.

    Bin b of the result is bin b * a of the clip and frame t is frame t * c, linearly interpolated, with a and c uniform
    in [1 - freq_warp, 1 + freq_warp] and [1 - tempo_change, 1 + tempo_change] (vocal tract length perturbation, Jaitly
    & Hinton 2013, and speed perturbation, Ko et al. 2015, on mel bins instead of samples). Beyond the last bin the last
    one is repeated; a clip that becomes longer than the view loses its end.

    Args:
        features: (batch, frames, bins), zero from `lengths` on.
        lengths: (batch,).
        stacked: spectrograms that stand above each other along the bins, such as a static one and its derivatives; each
            is stretched by itself.

    Returns:
        Features of the same shape, zero from the new lengths on, and those lengths.
    """
    batch, frames, bins = features.shape
    by_frame = 1 + tempo_change * _symmetric(batch, features.device)  # (batch,)
    by_bin = 1 + freq_warp * _symmetric(batch, features.device)
    longer = (lengths / by_frame).round().long().clamp(min=1, max=frames)
    apart = features.reshape(batch, frames * stacked, bins // stacked)
    features = _resampled(apart, by_bin, torch.full_like(lengths, bins // stacked), axis=2).view(batch, frames, bins)
    features = _resampled(features, by_frame, lengths, axis=1)
    real = torch.arange(frames, device=features.device) < longer[:, None]  # (batch, frames)
    return features * real[..., None], longer


def _symmetric(clips: int, device: torch.device) -> Tensor:
    """Uniform in [-1, 1): (clips,)."""
    return 2 * torch.rand(clips, device=device) - 1


def _resampled(features: Tensor, factors: Tensor, extent: Tensor, *, axis: int) -> Tensor:
    """Position p along `axis` becomes what stood at p * factor, at most at `extent` - 1, linearly interpolated."""
    size = features.shape[axis]
    position = torch.arange(size, device=features.device) * factors[:, None]  # (batch, size)
    position = position.minimum(extent[:, None] - 1.0)
    below = position.long()
    above = (below + 1).minimum(extent[:, None] - 1)
    shape = (-1, size, 1) if axis == 1 else (-1, 1, size)
    first, second = (features.gather(axis, index.view(shape).expand_as(features)) for index in (below, above))
    return torch.lerp(first, second, (position - below).view(shape))


def add_noise(features: Tensor, lengths: Tensor, std: float) -> Tensor:
    """Gaussian noise on (batch, frames, bins); padding stays zero."""
    position = torch.arange(features.shape[1], device=features.device)
    real = position < lengths[:, None]  # (batch, frames)
    return features + std * torch.randn_like(features) * real[..., None]


def mask_bins(features: Tensor, masks: int, widest: int) -> Tensor:
    """SpecAugment frequency masks on (batch, frames, bins): `masks` a clip, each of 0 to `widest` bins."""
    batch, _, bins = features.shape
    extent = torch.full((batch,), bins, device=features.device)
    return features * ~_random_masks(extent, bins, masks, widest)[:, None, :]


def mask_frames(features: Tensor, lengths: Tensor, masks: int, widest: int) -> Tensor:
    """SpecAugment time masks on (batch, frames, bins): `masks` a clip, 0 to `widest` frames each, none in padding."""
    return features * ~_random_masks(lengths, features.shape[1], masks, widest)[:, :, None]


def mixup(features: Tensor, lengths: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Each clip mixed with another of the batch, by a share from Beta(alpha, alpha) (Zhang et al. 2018, equation 1)."""
    batch = len(features)
    concentration = torch.full((batch,), alpha, device=features.device)
    share = torch.distributions.Beta(concentration, concentration, validate_args=False).sample()  # (batch,)
    other = torch.randperm(batch, device=features.device)
    mixed = torch.lerp(features[other], features, share[:, None, None])
    return mixed, torch.maximum(lengths, lengths[other]), torch.lerp(targets[other], targets, share[:, None])


def _random_masks(extent: Tensor, size: int, masks: int, widest: int) -> Tensor:
    """True where one of `masks` random stretches lies: extent (batch,) of the part that may be masked -> (batch, size).

    A width is uniform in [0, widest], cut to the extent; a start is uniform over the places where the stretch fits.
    """
    shape = (len(extent), masks)
    width = torch.randint(0, widest + 1, shape, device=extent.device).minimum(extent[:, None])
    start = (torch.rand(shape, device=extent.device) * (extent[:, None] - width + 1)).long()
    position = torch.arange(size, device=extent.device)
    inside = (position >= start[..., None]) & (position < (start + width)[..., None])  # (batch, masks, size)
    return inside.any(dim=1)
