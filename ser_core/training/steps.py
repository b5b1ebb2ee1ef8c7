"""How an epoch's clips are divided into steps, and a step into what goes through the model at once."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from ser_core.config import Config, OptimConfig
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import settings_key
from ser_core.splits import Fold


@runtime_checkable
class TrainsInStages(Protocol):
    """A model of which not the same is trained in every epoch."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before an epoch, counted from 1, is trained."""


def batches_of(order: Tensor, optim: OptimConfig) -> list[Tensor]:
    """(rows,) -> rows of each step. A last batch of one clip is left out: batch norm has no variance of one clip."""
    batches = list(order.split(optim.batch_size))
    return batches[:-1] if len(batches[-1]) == 1 else batches


def accumulated(rows: Tensor, optim: OptimConfig) -> list[Tensor]:
    """(batch,) -> the clips that go through the model at once; a last part of one clip joins its neighbour."""
    size = -(-optim.batch_size // optim.accumulation)
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [rows[-size - 1 :]]
    return parts


def check_trainable(config: Config, fold: Fold, store: FeatureStore) -> None:
    """Raise ValueError for fewer than two clips to fit, or features other than `config` asks for."""
    if len(fold.fit) < 2:
        raise ValueError(f"training needs at least two clips to fit; got {len(fold.fit)}")
    if settings_key(store.settings) != settings_key(config.features):
        raise ValueError(f"the store holds features of {store.settings}, but the run asks for {config.features}")
