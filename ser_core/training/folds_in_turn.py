"""Cross-validation one fold after another, as one training run that a search can stop after any epoch of any fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ser_core.config import Config
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.training.checkpoint import read_checkpoint
from ser_core.training.folds import check_evaluated
from ser_core.training.report import EpochReport
from ser_core.training.run import TrainingRun, train


class FoldsInTurn(Iterator[EpochReport]):
    """Training of several folds: each `next` trains and validates one epoch of the fold at work.

    Every fold is trained through its whole schedule before the next one begins; weights and draws have one seed in all.
    Epoch t of the run is epoch (t - 1) mod E + 1 of fold (t - 1) // E + 1, with E = `optim.epochs`. One model is on the
    device at a time; of a fold that is done its reports are kept, and nothing else.

    Attributes:
        reports: every epoch so far, counted through all folds; each is about its own fold's clips.
        precision_note: of the first fold that has one, see `TrainingRun`.
        placement: where the clips come from.
    """

    def __init__(
        self,
        config: Config,
        folds: Sequence[Fold],
        store: FeatureStore,
        *,
        device: str | torch.device,
        resume: Path | None = None,
        room_bytes: int | None = None,
    ) -> None:
        """
        Args:
            resume: a checkpoint that `save` wrote.
            room_bytes: as for `train`.

        Raises:
            ValueError: early stopping, which would give the folds different lengths; a fold without clips to evaluate
                on; see also `train`.
            CheckpointError, ConfigError, PretrainedError: as `train`.
        """
        if config.optim.early_stop_epochs:
            raise ValueError(
                f"folds that are trained in turn have equally many epochs, so optim.early_stop_epochs must be 0; got "
                f"{config.optim.early_stop_epochs}"
            )
        check_evaluated(folds)
        self._config, self._folds, self._store, self._device = config, folds, store, device
        self._room_bytes = room_bytes
        self._earlier = [] if resume is None else list(read_checkpoint(resume).earlier)
        self._run = self._train(resume)
        self.reports = [*self._earlier, *map(self._counted, self._run.reports)]
        self.precision_note, self.placement = self._run.precision_note, self._run.placement

    def _train(self, resume: Path | None) -> TrainingRun:
        """The fold that follows those that are done."""
        fold = self._folds[len(self._earlier) // self._config.optim.epochs]
        return train(self._config, fold, self._store, device=self._device, resume=resume, room_bytes=self._room_bytes)

    def _counted(self, report: EpochReport) -> EpochReport:
        """A report of the fold at work, its epoch counted through all folds."""
        return replace(report, epoch=len(self._earlier) + report.epoch)

    def __next__(self) -> EpochReport:
        """Train one epoch and validate.

        Raises:
            StopIteration: every fold is done.
            Diverged: a loss or gradient is NaN or infinite.
        """
        each = self._config.optim.epochs
        if len(self.reports) == each * len(self._folds):
            raise StopIteration
        if len(self._run.reports) == each:
            self._run.close()
            self._earlier = list(self.reports)
            self._run = self._train(None)
            self.precision_note = self.precision_note or self._run.precision_note
        report = self._counted(self._run.advance())
        self.reports.append(report)
        return report

    def save(self, path: Path) -> None:
        """Write the fold at work, and the reports of those that are done, as one file.

        Raises:
            OSError: a full or read-only disk; what was at `path` stays.
        """
        self._run.save(path, earlier=self._earlier)

    def close(self) -> None:
        """Free the device's memory. Only plain attributes, such as `reports`, can be used afterwards."""
        self._run.close()
