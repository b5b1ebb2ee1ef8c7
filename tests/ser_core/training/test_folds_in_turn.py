"""Several folds one after another as one run, which goes on after every epoch as if it had not been stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_core.architectures import default_config
from ser_core.splits import Fold
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.folds_in_turn import FoldsInTurn
from ser_core.training.report import EpochReport
from ser_core.training.run import train
from tests.ser_core.training.thirds import CLIPS, SETTINGS, THIRDS, store

EPOCHS = 4


def start(resume: Path | None = None, *, folds: tuple[Fold, ...] = THIRDS, **changes: Any) -> FoldsInTurn:
    return FoldsInTurn(default_config("mlp", {**SETTINGS, **changes}), folds, store(), device="cpu", resume=resume)


def timeless(reports: list[EpochReport]) -> list[EpochReport]:
    return [replace(report, seconds=0.0) for report in reports]


def test_every_fold_is_trained_as_it_would_be_alone_and_epochs_count_through() -> None:
    reports = list(start())
    assert [report.epoch for report in reports] == list(range(1, 3 * EPOCHS + 1))
    for number, fold in enumerate(THIRDS):
        alone = list(train(default_config("mlp", SETTINGS), fold, store(), device="cpu"))
        own = [replace(report, epoch=report.epoch - number * EPOCHS) for report in reports[number * EPOCHS :][:EPOCHS]]
        assert timeless(own) == timeless(alone)


@pytest.mark.parametrize("epochs", range(1, 3 * EPOCHS + 1))
def test_a_run_resumed_after_any_epoch_of_any_fold_is_that_of_an_uninterrupted_one(epochs: int, tmp_path: Path) -> None:
    whole, part = start(), start()
    list(whole)
    for _ in range(epochs):
        next(part)
    part.save(tmp_path / "last.safetensors")
    part.close()
    resumed = start(tmp_path / "last.safetensors")
    assert timeless(resumed.reports) == timeless(whole.reports[:epochs])
    list(resumed)
    assert timeless(resumed.reports) == timeless(whole.reports)


def test_what_cannot_be_trained_in_turn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"optim\.early_stop_epochs must be 0; got 3"):
        start(**{"optim.early_stop_epochs": 3})
    blind = Fold(fit=np.arange(CLIPS), evaluate=np.arange(0))
    with pytest.raises(ValueError, match=r"fold\(s\) \[2\] of 2 have none"):
        start(folds=(THIRDS[0], blind))
    run = start()
    for _ in range(EPOCHS + 1):
        next(run)
    run.save(tmp_path / "last.safetensors")
    with pytest.raises(CheckpointError, match="rows to evaluate"):
        start(tmp_path / "last.safetensors", folds=(THIRDS[1], THIRDS[0], THIRDS[2]))
