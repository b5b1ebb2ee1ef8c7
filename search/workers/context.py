"""What every worker of a run shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from search.jobs import Job
from ser_core.architectures import default_config
from ser_core.config import Config
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold


class StoreHandle(Protocol):
    """Where a `FeatureStore` lies; small, so that it travels with every job."""

    def open(self) -> FeatureStore:
        """The store, in this process."""


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """What every worker of a run shares.

    Attributes:
        run_folder: on storage that all nodes reach.
        model: architecture.
        stores: `settings_key` of the features -> where they lie. They hold the development clips alone: no worker ever
            has a test clip.
        folds: "search", "refit" and `search.jobs.inner_fold` of every inner fold, rows into those stores; a search may
            have several, which are trained side by side.
        device: "cpu" or "cuda".
        threads: that one job may use on the CPU.
        about: facts on the corpus for the model folder.
    """

    run_folder: str
    model: str
    stores: Mapping[str, StoreHandle]
    folds: Mapping[str, Sequence[Fold]]
    device: str
    threads: int
    about: Mapping[str, Any]


def job_config(model: str, job: Job) -> Config:
    """The full configuration of a job.

    Raises:
        ConfigError: settings that the architecture does not have or that are out of bounds.
    """
    return default_config(model, job.params)
