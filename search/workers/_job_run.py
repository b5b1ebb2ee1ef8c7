"""One job at work in a process, from its start or its checkpoint to its end. Needs no Ray."""

from __future__ import annotations

import errno
import gc
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from search.jobs import Chunk, Job, Outcome
from search.run_folder.paths import checkpoint_file, error_file
from search.run_folder.predictions import write_predictions
from search.run_folder.records import DIVERGED, NO_MEMORY
from search.workers.context import WorkerContext, full_config
from search.workers.gpu_shares import is_out_of_memory
from ser_core.artifact import ArtifactError, save_model
from ser_core.config import Config, ConfigError
from ser_core.features.audio import AudioError
from ser_core.features.cache import FeatureStoreError
from ser_core.features.clip_source import resident_bytes
from ser_core.features.placement import Placement
from ser_core.features.store import FeatureStore
from ser_core.modules.pretrained import PretrainedError
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.folds import FoldsRun, train_folds
from ser_core.training.folds_in_turn import FoldsInTurn
from ser_core.training.report import EpochReport
from ser_core.training.run import Diverged, TrainingRun

Training = TrainingRun | FoldsRun | FoldsInTurn

CHUNK_SECONDS = 1.0
"""A worker reports after the first epoch that ends this long after its last report, and at every rung."""

CHECKPOINT_SHARE = 0.05
"""At most this share of a worker's time goes into checkpoints."""

FIRST_CHECKPOINT_SECONDS = 2.0
"""A job shorter than this is cheaper to repeat than to save."""


class JobRun:
    """A job at work: its training, what of it was not reported yet, and its checkpoint.

    Args:
        store_of: the features that a configuration asks for.
        share: of a GPU that the job has; on the CPU it has its threads' share of the machine.
    """

    def __init__(
        self, job: Job, context: WorkerContext, store_of: Callable[[Config], FeatureStore], share: float = 1.0
    ) -> None:
        self._job, self._context, self._store_of, self._share = job, context, store_of, share
        self._training: Training | None = None
        self._unreported: list[EpochReport] = []
        self._restored = 0
        self._refused: list[OSError] = []  # by the disk, since the last report
        self._setup_seconds, self._precision_note = 0.0, ""
        self._placement: Placement | None = None
        self._saved_at = time.monotonic()
        self._save_seconds = FIRST_CHECKPOINT_SECONDS * CHECKPOINT_SHARE

    def step(self) -> Chunk:
        """Train until the next report is due. Never raises: what goes wrong in a job is that job's outcome alone."""
        self._refused.clear()
        reason = story = ""
        try:
            outcome = self._train()
        except Exception as error:
            outcome, reason, story = Outcome.FAILED, failure_reason(error), traceback.format_exc()
        if outcome is not Outcome.GOING:
            self.close()
        if outcome is Outcome.FAILED:
            gc.collect()  # what the frames of its traceback and their cycles still hold
            self._keep(story)
        return self._chunk(outcome, reason)

    def leave(self) -> None:
        """Save what was trained, so that the job can go on elsewhere, and free what it holds.

        Where the job has ended meanwhile, its folder is gone, and nothing is saved.
        """
        if self._training is not None and self._training.reports and self._checkpoint.parent.is_dir():
            with suppress(OSError):  # nobody is left to report to: what was trained since the last checkpoint is lost
                self._save(self._training)
        self.close()

    def close(self) -> None:
        """Free what the job holds."""
        training, self._training = self._training, None
        with suppress(RuntimeError):  # a GPU that an error has left unusable
            if training is not None:
                training.close()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    # -- training ----------------------------------------------------------------------------------------------------

    def _train(self) -> Outcome:
        if self._training is None and not self._sees_run_folder():
            return Outcome.GOING
        try:
            if self._training is None:
                self._training = self._start()
            outcome = self._train_epochs(self._training)
        except FeatureStoreError as error:  # no fault of the job's: the corpus is gone or changed, or the cache is full
            self._refused.append(OSError(errno.EIO, f"{socket.gethostname()} has no features: {error}"))
            return Outcome.GOING
        if outcome is Outcome.GOING:
            self._save_if_due(self._training)
        else:
            with self._writing():
                self._keep_results(self._training)
            if self._refused:
                return Outcome.GOING  # without its model or predictions it is not done
        return outcome

    def _start(self) -> Training:
        """Build model and data, from the checkpoint where an earlier worker left one.

        That worker may have died, or its driver, before the checkpoint's last epochs were reported: they are reported
        with the next chunk.
        """
        began = time.monotonic()
        with self._writing():
            self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        try:
            run = self._train_job(self._checkpoint if self._checkpoint.exists() else None)
        except CheckpointError:  # torn by a power cut: its epochs are lost, the job is not
            self._keep(traceback.format_exc())
            self._checkpoint.unlink()
            run = self._train_job(None)
        self._unreported = list(run.reports)
        self._restored = len(run.reports)
        self._precision_note, self._placement = run.precision_note, run.placement
        self._setup_seconds = time.monotonic() - began
        return run

    def _train_job(self, resume: Path | None) -> Training:
        config, device = full_config(self._context.model, self._job.params), self._context.device
        store, folds = self._store_of(config), self._context.folds
        first, room = folds[self._job.folds], self._room_bytes()
        if not self._job.later_folds:
            return train_folds(config, first, store, device=device, resume=resume, room_bytes=room)
        in_turn = [*first, *(fold for key in self._job.later_folds for fold in folds[key])]
        return FoldsInTurn(config, in_turn, store, device=device, resume=resume, room_bytes=room)

    def _room_bytes(self) -> int:
        """What the features may take of the device's memory."""
        on_cpu = self._context.device == "cpu"
        share = self._context.threads / (os.cpu_count() or 1) if on_cpu else self._share
        return resident_bytes(torch.device(self._context.device), min(1.0, share))

    def _train_epochs(self, run: Training) -> Outcome:
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

    def _chunk(self, outcome: Outcome, reason: str) -> Chunk:
        chunk = Chunk(
            job=self._job.name,
            reports=self._unreported,
            outcome=outcome,
            reason=reason,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            setup_seconds=self._setup_seconds,
            precision_note=self._precision_note,
            placement=self._placement,
            restored=self._restored,
            disk_error=self._refused[0] if self._refused else None,
        )
        self._unreported, self._setup_seconds, self._precision_note, self._placement = [], 0.0, "", None
        return chunk

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

    def _keep_results(self, run: Training) -> None:
        """Write what others need of a finished job: its model, its predictions of validation clips."""
        folder = Path(self._context.run_folder)
        if self._job.model_folder:
            if not isinstance(run, TrainingRun):
                raise ValueError(f"{self._job.name} trained several folds, so it has no one model to save")
            save_model(folder / self._job.model_folder, run, about=self._context.about)
        if self._job.predictions_file:
            if isinstance(run, FoldsInTurn):
                raise ValueError(
                    f"{self._job.name} trained its folds in turn, so it has the models of none but the last"
                )
            rows, told = run.predict_validation()
            store = self._store_of(full_config(self._context.model, self._job.params))
            write_predictions(
                folder / self._job.predictions_file,
                target=store.target,
                clip_ids=[store.clip_ids[row] for row in rows],
                truth=store.truth[rows],
                told=told,
            )

    def _save_if_due(self, run: Training) -> None:
        if time.monotonic() - self._saved_at >= self._save_seconds / CHECKPOINT_SHARE:
            with self._writing():
                self._save(run)

    def _save(self, run: Training) -> None:
        began = time.monotonic()
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
        kind = DIVERGED
    elif is_out_of_memory(error):
        kind = NO_MEMORY
    elif isinstance(error, AudioError):
        kind = "no features"
    elif isinstance(error, ArtifactError | ConfigError | PretrainedError):
        kind = "bad configuration"
    else:
        kind = f"error {type(error).__name__}"
    return f"{kind}: {message}"
