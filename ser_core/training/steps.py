"""How an epoch's clips are divided into steps, and a step into what goes through the model at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ser_core.architectures import least_frames
from ser_core.config import Config, OptimConfig
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, frame_seconds, settings_key
from ser_core.splits import Fold
from ser_core.training.waveforms import check_samples

WIDTHS = 8
"""Lengths that batches are cut to: eighths of what the model sees, so that a GPU meets few shapes."""


@runtime_checkable
class TrainsInStages(Protocol):
    """A model of which not the same is trained in every epoch."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before an epoch, counted from 1, is trained."""


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the optimiser.

    Attributes:
        parts: clips (batch,) that go through the model at once, one part after another.
        view: frames that a part shows of each clip; None for as many as the model sees.
    """

    parts: list[Tensor]
    view: int | None = None

    @property
    def clips(self) -> int:
        """Of all parts."""
        return sum(map(len, self.parts))


def steps_of(order: Tensor, seen_frames: Callable[[Tensor], Tensor], config: Config) -> list[Step]:
    """The steps of an epoch over the clips (rows,), which are in random order; draws from torch's generator of the CPU.

    Args:
        seen_frames: of clips (rows,), those that a model can see.
    """
    optim = config.optim
    if not optim.cuts_padding:
        return [Step(accumulated(rows, optim)) for rows in batches_of(order, optim)]
    view = clip_frames(config.features)
    padded = padded_frames(seen_frames(order), view, least_frames(config) or view)
    budget = optim.batch_seconds / frame_seconds(config.features)
    batches = bucketed(order, padded, lambda frames: optim.batch_size or max(2, int(budget / frames)))
    return [Step(accumulated(rows, optim), frames) for rows, frames in batches]


def full_clips_per_step(config: Config) -> int:
    """Clips of a step, when each is as long as the model sees."""
    return config.optim.batch_size or int(config.optim.batch_seconds / config.features.clip_seconds)


def batches_of(order: Tensor, optim: OptimConfig) -> list[Tensor]:
    """(rows,) -> rows of each step. A last batch of one clip is left out: batch norm has no variance of one clip."""
    batches = list(order.split(optim.batch_size))
    return batches[:-1] if len(batches[-1]) == 1 else batches


def padded_frames(seen: Tensor, view: int, least: int) -> Tensor:
    """Frames seen of clips (rows,) -> the lengths that batches of such clips are cut to, at least `least`: (rows,)."""
    width = -(-view // WIDTHS)
    return (-(-seen // width) * width).clamp(min=min(least, view), max=view)


def bucketed(order: Tensor, padded: Tensor, most: Callable[[int], int]) -> list[tuple[Tensor, int]]:
    """Batches of clips that are padded to one length, or to neighbouring ones where too few have the same.

    Clips of one length stay in the order that they are given in, so their batches are other ones in every epoch.

    Args:
        order: (rows,) clips in random order.
        padded: (rows,) frames that each is padded to.
        most: clips in a batch that is padded to so many frames, at least two.

    Returns:
        Rows of each batch and its frames, the batches in random order. One clip that is left over is left out.
    """
    padded, by_length = padded.sort(stable=True)
    rows, frames = order[by_length], padded.tolist()
    starts = [0]
    for place, length in enumerate(frames):
        if place + 1 - starts[-1] > most(length):
            starts.append(place)
    ends = [*starts[1:], len(frames)]
    cut = rows.split([end - start for start, end in zip(starts, ends, strict=True)])
    batches = [(batch, frames[end - 1]) for batch, end in zip(cut, ends, strict=True) if len(batch) > 1]
    return [batches[index] for index in torch.randperm(len(batches)).tolist()]


def accumulated(rows: Tensor, optim: OptimConfig) -> list[Tensor]:
    """(batch,) -> the clips that go through the model at once; a last part of one clip joins its neighbour."""
    size = max(2, -(-(optim.batch_size or len(rows)) // optim.accumulation))
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [rows[-size - 1 :]]
    return parts


def check_trainable(config: Config, fold: Fold, store: FeatureStore) -> None:
    """Raise ValueError for fewer than two clips to fit, or features other than `config` asks for; `ConfigError` for
    changes of samples where the features are none."""
    check_samples(config)
    if len(fold.fit) < 2:
        raise ValueError(f"training needs at least two clips to fit; got {len(fold.fit)}")
    if settings_key(store.settings) != settings_key(config.features):
        raise ValueError(f"the store holds features of {store.settings}, but the run asks for {config.features}")
