"""What can be made of stored features without their audio: deltas, cepstra, fewer of them, normalisation by clip.

A corpus has one store of `base_settings`, computed from its audio, and every setting that differs from it by such steps
is made of that. An extractor takes the same two steps, so the values are the same whichever way they come, up to the
precision in which they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torchaudio
from torch import Tensor

from ser_core.config import FeatureConfig
from ser_core.features.functionals import DELTA_FRAMES, functional_names
from ser_core.features.normalisation import STILL

MOST_CEPSTRA = 128
"""The bound of `features.n_mfcc`."""

Derivation = Callable[[Tensor], Tensor]
"""(frames, bins) of a clip's base features -> (frames, bins) of what is asked for."""


def base_settings(settings: FeatureConfig) -> FeatureConfig:
    """The features that have to be computed from audio for `settings`; equal for all that can be made of them.

    Normalisation by speaker is left out: it is done by who knows the speakers.
    """
    plain = replace(settings, normalisation="corpus")
    if settings.kind in ("log_mel", "mfcc"):
        return replace(plain, kind="log_mel", deltas=0)
    if settings.kind in ("mfcc_stats", "functionals"):  # a few numbers a clip, so the most cepstra cost nothing
        return replace(plain, n_mfcc=min(settings.n_mels, MOST_CEPSTRA))
    return plain


def derivation(settings: FeatureConfig) -> Derivation:
    """How the features of `settings` are made of those of `base_settings(settings)`."""
    steps: list[Derivation] = []
    if settings.kind == "mfcc":
        dct = torchaudio.functional.create_dct(settings.n_mfcc, settings.n_mels, norm="ortho")  # (mels, cepstra)
        steps.append(lambda frames: frames @ dct)
    if settings.deltas:
        steps.append(partial(with_deltas, orders=settings.deltas))
    if settings.kind in ("mfcc_stats", "functionals") and settings.n_mfcc < base_settings(settings).n_mfcc:
        columns = _columns(settings)
        steps.append(lambda values: values[:, columns])
    if settings.normalisation == "clip":
        steps.append(normalised_by_clip)

    def derive(frames: Tensor) -> Tensor:
        for step in steps:
            frames = step(frames)
        return frames

    return derive


def _columns(settings: FeatureConfig) -> Tensor:
    """Where the values of a clip with few cepstra stand among those with the most: (values,)."""
    most = base_settings(settings)
    if settings.kind == "functionals":
        place = {name: index for index, name in enumerate(functional_names(most))}
        return torch.tensor([place[name] for name in functional_names(settings)])
    statistics = torch.arange(4 * most.n_mfcc).view(4, most.n_mfcc)  # of `mfcc_statistics`
    return statistics[:, : settings.n_mfcc].flatten()


def with_deltas(frames: Tensor, orders: int) -> Tensor:
    """(frames, bins) -> (frames, (1 + orders) * bins): the bins, then their first to `orders`-th time derivatives."""
    stacked = [frames]
    for _ in range(orders):
        stacked.append(torchaudio.functional.compute_deltas(stacked[-1].T, win_length=DELTA_FRAMES).T)
    return torch.cat(stacked, dim=1)


def normalised_by_clip(frames: Tensor) -> Tensor:
    """(frames, bins) with every bin at mean 0 and deviation 1 over the frames; a bin that never moves is centred."""
    mean = frames.mean(dim=0)
    centred = frames - mean
    std = centred.square().mean(dim=0).sqrt()
    return centred / torch.where(std < STILL * mean.abs().clamp(min=1), 1, std)
