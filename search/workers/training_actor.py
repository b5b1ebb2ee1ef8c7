"""A Ray actor that stays while jobs pass through it."""

from __future__ import annotations

from typing import Any

import ray
import torch
from ray.tune import Trainable

from search.jobs import Outcome
from search.workers._job_run import JobRun
from search.workers.context import WorkerContext
from search.workers.gpu_shares import hold_to_share
from ser_core.config import Config
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import settings_key


class TrainingActor(Trainable):
    """Trains one job after another; a job that fails leaves the actor fit for the next."""

    def setup(self, config: dict[str, Any]) -> None:
        self._device_works = True
        hold_to_share(config["share"])
        self._serve(config["context"].fetch())
        self._run = JobRun(config["job"], self._context, self._store_of, config["share"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if not self._device_works:
            ray.actor.exit_actor()  # the job begins on another worker
        self._run.leave()
        if (context := new_config["context"].fetch()) is not self._context:
            self._serve(context)
        self._run = JobRun(new_config["job"], self._context, self._store_of, new_config["share"])
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next report is due; never raises."""
        chunk = self._run.step()
        if chunk.outcome is Outcome.FAILED:
            self._device_works = device_works(self._context.device)
        return {"chunk": chunk}

    def cleanup(self) -> None:
        """The actor ends; a job that is still going is saved, so that it can go on elsewhere."""
        self._run.leave()

    def _serve(self, context: WorkerContext) -> None:
        """Work for a run from now on; nothing of another one is kept."""
        torch.set_num_threads(context.threads)
        self._context = context
        self._stores: dict[str, FeatureStore] = {}

    def _store_of(self, config: Config) -> FeatureStore:
        """The features that `config` asks for, fetched once; of those made on demand only the last are kept open."""
        key, shared = settings_key(config.features), self._context.stores
        if key not in self._stores:
            self._stores = {known: store for known, store in self._stores.items() if known in shared}
            self._stores[key] = self._context.open_store(config.features)
        return self._stores[key]


def device_works(device: str) -> bool:
    """False when an error has left the whole process without its GPU, as an illegal access does."""
    try:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        torch.zeros(1, device=device).item()
    except RuntimeError:
        return False
    return True
