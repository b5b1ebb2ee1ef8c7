"""`ser_core.train` inside a Ray actor that stays while trials pass through it."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.tune import Trainable

from search.jobs import Chunk, Job, Outcome
from ser_core.artifact import save_model
from ser_core.config import Config, ConfigError
from ser_core.feature_store import FeatureStore
from ser_core.features import settings_key
from ser_core.models import PretrainedError, default_config
from ser_core.splits import Fold
from ser_core.train import Diverged, TrainingRun, train

CHUNK_SECONDS = 1.0
"""A worker reports after the first epoch that ends this long after its last report, and at every rung."""

CHECKPOINT_SHARE = 0.05
"""At most this share of a worker's time goes into checkpoints."""

FIRST_CHECKPOINT_SECONDS = 2.0
"""A job shorter than this is cheaper to repeat than to save."""


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """What every worker of a run shares.

    Attributes:
        run_folder: on storage that all nodes reach.
        model: architecture.
        stores: `settings_key` of the features -> reference to their `FeatureStore` in Ray's object store. They hold the
            development clips alone: no worker ever has a test clip.
        folds: "search" and "refit", rows into those stores.
        device: "cpu" or "cuda".
        threads: that one job may use on the CPU.
        about: facts on the corpus for the model folder.
    """

    run_folder: str
    model: str
    stores: Mapping[str, ray.ObjectRef]
    folds: Mapping[str, Fold]
    device: str
    threads: int
    about: Mapping[str, Any]


def job_config(model: str, job: Job) -> Config:
    """The full configuration of a job.

    Raises:
        ConfigError: settings that the architecture does not have or that are out of bounds.
    """
    return default_config(model, job.params)


class TrainingActor(Trainable):
    """Trains one job after another; a job that fails leaves the actor fit for the next."""

    def setup(self, config: dict[str, Any], context: WorkerContext) -> None:
        torch.set_num_threads(context.threads)
        self._context = context
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._stores: dict[str, FeatureStore] = {}
        self._begin(config["job"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._drop()
        self._begin(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next report is due. Never raises: what goes wrong in a job is that job's outcome alone."""
        try:
            chunk = self._chunk()
        except Exception as error:
            self._keep_traceback()
            reports, setup_seconds = self._unreported, self._setup_seconds
            chunk = self._make_chunk(reports, Outcome.FAILED, failure_reason(error), setup_seconds)
        if chunk.outcome is not Outcome.GOING:
            self._drop()
        return {"chunk": chunk}

    def cleanup(self) -> None:
        """The actor ends; a job that is still going is saved, so that it can go on elsewhere."""
        if self._run is not None and self._run.reports:
            self._save(self._run)
        self._drop()

    # -- one job -----------------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        self._job = job
        self._run: TrainingRun | None = None
        self._unreported: list[Any] = []
        self._setup_seconds = 0.0
        self._saved_at = time.monotonic()
        self._save_seconds = FIRST_CHECKPOINT_SECONDS * CHECKPOINT_SHARE

    def _chunk(self) -> Chunk:
        if self._run is None:
            self._run = self._start()
        began, setup_seconds = time.monotonic(), self._setup_seconds
        self._setup_seconds = 0.0
        outcome = Outcome.DONE
        for report in self._run:
            self._unreported.append(report)
            if report.epoch >= self._job.last_epoch:
                break
            if report.epoch in self._job.pauses or time.monotonic() - began >= CHUNK_SECONDS:
                outcome = Outcome.GOING
                break
        if outcome is Outcome.DONE and self._job.model_folder:
            self._save_model(self._run)
        elif outcome is Outcome.GOING:
            self._save_if_due(self._run)
        reports, self._unreported = self._unreported, []
        return self._make_chunk(reports, outcome, "", setup_seconds)

    def _start(self) -> TrainingRun:
        """Build model and data, from the checkpoint where an earlier worker left one."""
        began = time.monotonic()
        config = job_config(self._context.model, self._job)
        key = settings_key(config.features)
        if key not in self._stores:
            self._stores[key] = ray.get(self._context.stores[key])
        fold = self._context.folds[self._job.fold]
        checkpoint = self._checkpoint if self._checkpoint.exists() else None
        run = train(config, fold, self._stores[key], device=self._context.device, resume=checkpoint)
        self._setup_seconds = time.monotonic() - began
        return run

    def _make_chunk(self, reports: list[Any], outcome: Outcome, reason: str, setup_seconds: float) -> Chunk:
        return Chunk(
            job=self._job.name,
            reports=reports,
            outcome=outcome,
            reason=reason,
            worker=self._worker,
            setup_seconds=setup_seconds,
        )

    def _save_model(self, run: TrainingRun) -> None:
        folder = Path(self._context.run_folder) / self._job.model_folder
        save_model(folder, run, about=self._context.about)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    @property
    def _checkpoint(self) -> Path:
        return Path(self._context.run_folder) / "checkpoints" / self._job.name / "last.safetensors"

    def _save_if_due(self, run: TrainingRun) -> None:
        if time.monotonic() - self._saved_at >= self._save_seconds / CHECKPOINT_SHARE:
            self._save(run)

    def _save(self, run: TrainingRun) -> None:
        began = time.monotonic()
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        run.save(self._checkpoint)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began

    def _drop(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _keep_traceback(self) -> None:
        """A reason is one line; the whole story lies in `errors/`."""
        folder = Path(self._context.run_folder) / "errors"
        folder.mkdir(exist_ok=True)
        (folder / f"{self._job.name}.txt").write_text(traceback.format_exc(), encoding="utf-8")


def failure_reason(error: Exception) -> str:
    """One line: the kind of failure, a colon, and the message."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Diverged):
        kind = "diverged"
    elif isinstance(error, MemoryError | torch.OutOfMemoryError):
        kind = "out of memory"
    elif isinstance(error, ConfigError | PretrainedError):
        kind = "bad configuration"
    else:
        kind = f"error {type(error).__name__}"
    return f"{kind}: {message}"
