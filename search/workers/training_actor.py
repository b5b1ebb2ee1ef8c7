"""`ser_core.training.run` inside a Ray actor that stays while trials pass through it."""

from __future__ import annotations

import errno
import gc
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import torch
from ray.tune import Trainable

from search.jobs import Chunk, Job, Outcome
from search.run_folder.paths import checkpoint_file, error_file
from search.run_folder.predictions import write_predictions
from search.workers.context import WorkerContext, job_config
from search.workers.gpu_shares import hold_to_share, is_out_of_memory
from ser_core.artifact import save_model
from ser_core.config import Config, ConfigError
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import settings_key
from ser_core.modules.pretrained import PretrainedError
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.folds import FoldsRun, train_folds
from ser_core.training.report import EpochReport
from ser_core.training.run import Diverged, TrainingRun

CHUNK_SECONDS = 1.0
"""A worker reports after the first epoch that ends this long after its last report, and at every rung."""

CHECKPOINT_SHARE = 0.05
"""At most this share of a worker's time goes into checkpoints."""

FIRST_CHECKPOINT_SECONDS = 2.0
"""A job shorter than this is cheaper to repeat than to save."""


class TrainingActor(Trainable):
    """Trains one job after another; a job that fails leaves the actor fit for the next."""

    def setup(self, config: dict[str, Any], context: WorkerContext) -> None:
        torch.set_num_threads(context.threads)
        self._context = context
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._stores: dict[str, FeatureStore] = {}
        self._device_works = True
        hold_to_share(config["share"])
        self._begin(config["job"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if not self._device_works:
            ray.actor.exit_actor()  # the job begins on another worker
        self._drop()
        self._begin(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """Train until the next report is due. Never raises: what goes wrong in a job is that job's outcome alone."""
        self._refused.clear()
        reason = story = ""
        try:
            outcome = self._train()
        except Exception as error:
            outcome, reason, story = Outcome.FAILED, failure_reason(error), traceback.format_exc()
        if outcome is not Outcome.GOING:
            self._drop()
        if outcome is Outcome.FAILED:
            self._clean_up(story)
        return {"chunk": self._chunk(outcome, reason)}

    def cleanup(self) -> None:
        """The actor ends; a job that is still going is saved, so that it can go on elsewhere."""
        if self._run is not None and self._run.reports:
            with suppress(OSError):  # nobody is left to tell: what was trained since the last checkpoint is repeated
                self._save(self._run)
        self._drop()

    # -- one job -----------------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        self._job = job
        self._run: TrainingRun | FoldsRun | None = None
        self._unreported: list[EpochReport] = []
        self._restored = 0
        self._refused: list[OSError] = []  # by the disk, since the last report
        self._setup_seconds, self._precision_note = 0.0, ""
        self._saved_at = time.monotonic()
        self._save_seconds = FIRST_CHECKPOINT_SECONDS * CHECKPOINT_SHARE

    def _train(self) -> Outcome:
        if self._run is None:
            if not self._sees_run_folder():
                return Outcome.GOING
            self._run = self._start()
        outcome = self._train_epochs(self._run)
        if outcome is Outcome.GOING:
            self._save_if_due(self._run)
        else:
            with self._writing():
                self._keep_results(self._run)
            if self._refused:
                return Outcome.GOING  # without its model or predictions it is not done
        return outcome

    def _keep_results(self, run: TrainingRun | FoldsRun) -> None:
        """Write what others need of a finished job: its model, its predictions of validation clips."""
        folder = Path(self._context.run_folder)
        if self._job.model_folder:
            if not isinstance(run, TrainingRun):
                raise ValueError(f"{self._job.name} trained several folds, so it has no one model to save")
            save_model(folder / self._job.model_folder, run, about=self._context.about)
        if self._job.predictions_file:
            rows, probabilities = run.predict_validation()
            store = self._store(job_config(self._context.model, self._job))
            write_predictions(
                folder / self._job.predictions_file,
                clip_ids=[store.clip_ids[row] for row in rows],
                labels=store.labels[rows],
                probabilities=probabilities,
                classes=store.classes,
            )

    def _train_epochs(self, run: TrainingRun | FoldsRun) -> Outcome:
        """Train until the job is done or the next report is due."""
        if run.reports and run.reports[-1].epoch >= self._job.last_epoch:
            return Outcome.DONE
        if self._unreported and run.reports[-1].epoch in self._job.pauses:
            return Outcome.GOING  # the checkpoint stands on a rung, whose verdict may be open
        began = time.monotonic()
        for report in run:
            self._unreported.append(report)
            if report.epoch >= self._job.last_epoch:
                break
            if report.epoch in self._job.pauses or time.monotonic() - began >= CHUNK_SECONDS:
                return Outcome.GOING
        return Outcome.DONE

    def _start(self) -> TrainingRun | FoldsRun:
        """Build model and data, from the checkpoint where an earlier worker left one.

        That worker may have died, or its driver, before the checkpoint's last epochs were reported: they are reported
        with the next chunk.
        """
        began = time.monotonic()
        config = job_config(self._context.model, self._job)
        data = (config, self._context.folds[self._job.folds], self._store(config))
        try:
            run = train_folds(
                *data, device=self._context.device, resume=self._checkpoint if self._checkpoint.exists() else None
            )
        except CheckpointError:  # torn by a power cut: its epochs are lost, the job is not
            self._keep(traceback.format_exc())
            self._checkpoint.unlink()
            run = train_folds(*data, device=self._context.device)
        self._unreported = list(run.reports)
        self._restored = len(run.reports)
        self._precision_note = run.precision_note
        self._setup_seconds = time.monotonic() - began
        return run

    def _store(self, config: Config) -> FeatureStore:
        """The features that `config` asks for, fetched once."""
        key = settings_key(config.features)
        if key not in self._stores:
            self._stores[key] = self._context.stores[key].open()
        return self._stores[key]

    def _chunk(self, outcome: Outcome, reason: str) -> Chunk:
        chunk = Chunk(
            job=self._job.name,
            reports=self._unreported,
            outcome=outcome,
            reason=reason,
            worker=self._worker,
            setup_seconds=self._setup_seconds,
            precision_note=self._precision_note,
            restored=self._restored,
            disk_error=self._refused[0] if self._refused else None,
        )
        self._unreported, self._setup_seconds, self._precision_note = [], 0.0, ""
        return chunk

    # -- after a job -------------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        """Free what the job held."""
        run, self._run = self._run, None
        with suppress(RuntimeError):  # a GPU that an error has left unusable; `_clean_up` finds that out
            if run is not None:
                run.close()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _clean_up(self, story: str) -> None:
        """After a failure: free what its traceback's frames and their cycles still hold, and keep the story.

        Some errors of a GPU, such as an illegal access, leave the whole process without it.
        """
        gc.collect()
        try:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            torch.zeros(1, device=self._context.device).item()
        except RuntimeError:
            self._device_works = False
        self._keep(story)

    # -- on disk -----------------------------------------------------------------------------------------------------

    @property
    def _checkpoint(self) -> Path:
        return checkpoint_file(Path(self._context.run_folder), self._job.name)

    def _sees_run_folder(self) -> bool:
        """False on a node that has not the storage of the run: its checkpoints would be lost with it."""
        folder = Path(self._context.run_folder)
        if not folder.is_dir():
            problem = f"{socket.gethostname()} does not see the run folder; --run-dir must lie on storage of all nodes"
            self._refused.append(FileNotFoundError(errno.ENOENT, problem, str(folder)))
        return not self._refused

    def _save_if_due(self, run: TrainingRun | FoldsRun) -> None:
        if time.monotonic() - self._saved_at >= self._save_seconds / CHECKPOINT_SHARE:
            with self._writing():
                self._save(run)

    def _save(self, run: TrainingRun | FoldsRun) -> None:
        began = time.monotonic()
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        run.save(self._checkpoint)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began

    def _keep(self, story: str) -> None:
        """A reason is one line; the whole story lies in `errors/`."""
        path = error_file(Path(self._context.run_folder), self._job.name)
        with self._writing():
            path.parent.mkdir(exist_ok=True)
            path.write_text(story, encoding="utf-8")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What the disk refuses is reported with the chunk: a job has not failed for it."""
        try:
            yield
        except OSError as error:
            self._refused.append(error)


def failure_reason(error: Exception) -> str:
    """One line: the kind of failure, a colon, and the message."""
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Diverged):
        kind = "diverged"
    elif is_out_of_memory(error):
        kind = "out of memory"
    elif isinstance(error, ConfigError | PretrainedError):
        kind = "bad configuration"
    else:
        kind = f"error {type(error).__name__}"
    return f"{kind}: {message}"
