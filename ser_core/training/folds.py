"""Cross-validation as one training run: several folds side by side, an epoch of each at a time.

Whoever calls sees one run whose scores are those of all folds' validation clips together, so that a search can stop it
after any epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from ser_core.config import Config
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.optim import training_ends
from ser_core.training.report import EpochReport, pooled_score, pooled_sums
from ser_core.training.run import TrainingRun, train


def train_folds(
    config: Config,
    folds: Sequence[Fold],
    store: FeatureStore,
    *,
    device: str | torch.device,
    resume: Path | None = None,
    room_bytes: int | None = None,
) -> TrainingRun | FoldsRun:
    """`ser_core.training.run.train` for a single fold; for several, a run whose reports are over all of them.

    Args:
        resume: a checkpoint that the run's `save` wrote.
        room_bytes: as for `train`; all folds share what is resident.

    Raises:
        ValueError, CheckpointError, ConfigError, PretrainedError: as `train`; also several folds of which one has
            nothing to evaluate on.
    """
    if len(folds) == 1:
        return train(config, folds[0], store, device=device, resume=resume, room_bytes=room_bytes)
    check_evaluated(folds)
    return FoldsRun(config, folds, store, torch.device(device), resume, room_bytes)


def check_evaluated(folds: Sequence[Fold]) -> None:
    """Raise ValueError where one of several folds has nothing to evaluate on: together they are scored by it."""
    if empty := [number for number, fold in enumerate(folds, 1) if not len(fold.evaluate)]:
        raise ValueError(f"every fold needs clips to evaluate on; fold(s) {empty} of {len(folds)} have none")


class FoldsRun(Iterator[EpochReport]):
    """Training of several folds under way: each `next` trains and validates one epoch of all of them.

    The models, one per fold, are all on the device. Every fold has weights and draws of the same seed.

    Attributes:
        reports: every epoch so far: validation is of the clips of all folds together, the training loss a mean over the
            folds, seconds their sum.
        best_epoch: the first epoch with the highest validation score, the target's objective, counted from 1.
        precision_note: of the first fold that has one, see `TrainingRun`.
        placement: where the clips come from.
    """

    def __init__(
        self,
        config: Config,
        folds: Sequence[Fold],
        store: FeatureStore,
        device: torch.device,
        resume: Path | None,
        room_bytes: int | None,
    ) -> None:
        self._config, self._target = config, store.target
        self._runs = [
            train(
                config, fold, store, device=device, resume=self._own_checkpoint(resume, number), room_bytes=room_bytes
            )
            for number, fold in enumerate(folds, 1)
        ]
        self.precision_note = next((run.precision_note for run in self._runs if run.precision_note), "")
        self.placement = self._runs[0].placement
        self.reports: list[EpochReport] = []
        self.best_epoch = 0
        for own in zip(*(run.reports for run in self._runs), strict=False):  # a fold may have been saved later
            self._add(own)

    @staticmethod
    def _own_checkpoint(path: Path | None, number: int) -> Path | None:
        """The file of one fold, as named by `save`."""
        if path is None:
            return None
        if not path.is_file():
            raise CheckpointError(f"there is no checkpoint at {path}; start the run anew without resuming")
        return path if number == 1 else _beside(path, number)

    def __next__(self) -> EpochReport:
        """Train one epoch of every fold and validate.

        Raises:
            StopIteration: the budget is spent, or early stopping set in.
            Diverged: a loss or gradient of a fold is NaN or infinite.
        """
        if training_ends(self._config.optim, len(self.reports), self.best_epoch):
            raise StopIteration
        epoch = len(self.reports)
        for run in self._runs:
            if len(run.reports) == epoch:  # else a checkpoint brought it further than the others
                run.advance()
        return self._add([run.reports[epoch] for run in self._runs])

    def _add(self, own: Sequence[EpochReport]) -> EpochReport:
        """Join the reports of one epoch, one per fold."""
        sizes = [sum(each.sums.get("clips", ())) for each in own]
        sizes = sizes if all(sizes) else [1] * len(own)  # a checkpoint of an early version knows no clips
        report = EpochReport(
            epoch=own[0].epoch,
            train_loss=fmean(each.train_loss for each in own),
            val_loss=fmean([each.val_loss for each in own], sizes),
            learning_rate=own[0].learning_rate,
            seconds=math.fsum(each.seconds for each in own),
            scores={name: pooled_score(name, own) for name in own[0].scores},
            sums=pooled_sums(own),
        )
        self.reports.append(report)
        objective = self._target.objective
        best = self.reports[self.best_epoch - 1].score(objective) if self.best_epoch else -math.inf
        if report.score(objective) > best:  # False of a score that is not defined
            self.best_epoch = report.epoch
        return report

    def predict_validation(self) -> tuple[np.ndarray, np.ndarray]:
        """What is predicted of the clips that each fold was evaluated on, with that fold's own best weights.

        Returns:
            Rows (clips,) of the store, ascending, and probabilities or ratings (clips, outputs) float32.
        """
        pairs = [run.predict_validation() for run in self._runs]
        rows, told = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        order = np.argsort(rows, kind="stable")
        return rows[order], told[order]

    def save(self, path: Path) -> None:
        """Write a checkpoint of every fold: the first at `path`, last, the others beside it.

        Raises:
            OSError: a full or read-only disk; what was there stays, folds saved already apart.
        """
        for number, run in reversed(list(enumerate(self._runs, 1))):
            run.save(path if number == 1 else _beside(path, number))

    def close(self) -> None:
        """Free the device's memory. Only plain attributes, such as `reports`, can be used afterwards."""
        for run in self._runs:
            run.close()


def _beside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-fold-{number}{path.suffix}")
