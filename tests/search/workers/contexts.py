"""What the workers of a small run share: a store of made clips, and the context around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.jobs import inner_fold
from search.workers.context import FeatureMaker, StoreHandle, WorkerContext
from ser_core.architectures import default_config
from ser_core.config import FeatureConfig
from ser_core.features.cache import FeatureStoreError
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import settings_key
from ser_core.splits import Fold
from ser_core.targets import Emotions


@dataclass(frozen=True)
class StoreHere:
    """A store that is in this process."""

    store: FeatureStore

    def open(self) -> FeatureStore:
        return self.store


class NothingElse:
    """There are no other features than those that are shared."""

    def store(self, settings: FeatureConfig, threads: int) -> FeatureStore:
        raise FeatureStoreError(f"no {settings.kind} for {threads} threads")


def two_classes(*, clips: int = 40, apart: float = 1.0) -> FeatureStore:
    """Clips of two classes, a row of MFCC statistics each, whose means lie that many deviations apart."""
    labels = np.arange(clips) % 2
    frames = np.random.default_rng(0).normal(size=(clips, 160)) + apart * labels[:, None]
    return store_of(frames, labels, default_config("mlp").features)


def store_of(frames: np.ndarray, labels: np.ndarray, settings: FeatureConfig) -> FeatureStore:
    """Clips of equally many frames each."""
    clips = len(labels)
    return FeatureStore(
        frames=frames.astype(np.float32),
        bounds=end_to_end(np.arange(clips + 1) * (len(frames) // clips)),
        truth=labels.astype(np.int64),
        clip_ids=tuple(map(str, range(clips))),
        target=Emotions(("calm", "happy")),
        settings=settings,
        fingerprint="test",
    )


def make_context(
    run_folder: Path,
    store: FeatureStore,
    *,
    model: str = "mlp",
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
    shared: Mapping[str, StoreHandle] | None = None,
    maker: FeatureMaker | None = None,
) -> WorkerContext:
    """Three quarters of the clips to fit and a quarter to evaluate; a refit fits all.

    Args:
        shared: where workers in other processes find the store.
        maker: of other features.
    """
    run_folder.mkdir(exist_ok=True)
    rows = np.arange(len(store.truth))
    fit = 3 * len(rows) // 4
    return WorkerContext(
        run_folder=str(run_folder),
        model=model,
        stores=shared or {settings_key(store.settings): StoreHere(store)},
        features=maker or NothingElse(),
        folds={
            "search": (Fold(fit=rows[:fit], evaluate=rows[fit:]),),
            "refit": (Fold(fit=rows, evaluate=rows[:0]),),
            **{
                inner_fold(k + 1): (Fold(fit=rows[rows % 6 // 2 != k], evaluate=rows[rows % 6 // 2 == k]),)
                for k in range(3)
            },
        },
        device=device,
        threads=1,
        about=about or {},
    )


def third(rows: np.ndarray, number: int) -> Fold:
    """A third of the clips to evaluate, with clips of both classes, and the others to fit."""
    chosen = rows // 2 % 3 == number - 1
    return Fold(fit=rows[~chosen], evaluate=rows[chosen])
