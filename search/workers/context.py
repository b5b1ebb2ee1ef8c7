"""What every worker of a run shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ser_core.architectures import default_config
from ser_core.config import Config, FeatureConfig
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import settings_key
from ser_core.splits import Fold
from spaces.knobs import Value
from spaces.several import ARCHITECTURE


class StoreHandle(Protocol):
    """Where a `FeatureStore` lies; small, so that it travels with every job."""

    def open(self) -> FeatureStore:
        """The store, in this process."""


class FeatureMaker(Protocol):
    """Where the features come from that the driver did not compute before the search."""

    def store(self, settings: FeatureConfig, threads: int) -> FeatureStore:
        """Those of the development clips, from the cache or computed now by so many threads.

        Raises:
            FeatureStoreError: this node cannot read the corpus, or not write the cache.
        """


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """What every worker of a run shares.

    Attributes:
        run_folder: on storage that all nodes reach.
        model: architecture, of jobs that do not name their own.
        stores: `settings_key` of features that are there from the start -> where they lie.
        features: makes all others. Every store knows of the development clips alone: no job can use a test clip.
        folds: "search", "refit" and `search.jobs.inner_fold` of every inner fold, rows into those stores; a search may
            have several, which are trained side by side.
        device: "cpu" or "cuda".
        threads: that one job may use on the CPU.
        about: facts on the corpus for the model folder.
    """

    run_folder: str
    model: str
    stores: Mapping[str, StoreHandle]
    features: FeatureMaker
    folds: Mapping[str, Sequence[Fold]]
    device: str
    threads: int
    about: Mapping[str, Any]

    def open_store(self, settings: FeatureConfig) -> FeatureStore:
        """The features that `settings` ask for, in this process; see `FeatureMaker.store`."""
        handle = self.stores.get(settings_key(settings))
        return self.features.store(settings, self.threads) if handle is None else handle.open()


def full_config(model: str, params: Mapping[str, Value]) -> Config:
    """The full configuration of a job with these settings, of the architecture that they name or else of `model`.

    Raises:
        ConfigError: settings that the architecture does not have or that are out of bounds.
    """
    settings = dict(params)
    return default_config(str(settings.pop(ARCHITECTURE, model)), settings)
