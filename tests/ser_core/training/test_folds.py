"""Several folds as one run: the scores of all their clips together, stopped and resumed together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser_core.architectures import default_config
from ser_core.splits import Fold
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.folds import FoldsRun, train_folds
from ser_core.training.run import TrainingRun, train
from tests.ser_core.training.thirds import CLIPS, SETTINGS, THIRDS, store


def start(**options: Any) -> FoldsRun:
    config = default_config("mlp", {**SETTINGS, **options.pop("changes", {})})
    run = train_folds(config, options.pop("folds", THIRDS), store(), device="cpu", **options)
    assert isinstance(run, FoldsRun)
    return run


def scores(run: FoldsRun) -> list[tuple[int, float, float, float]]:
    return [(report.epoch, report.train_loss, report.val_loss, report.score("uar")) for report in run.reports]


def test_a_report_is_about_the_clips_of_all_folds_together() -> None:
    folds = (*THIRDS[:2], Fold(fit=THIRDS[2].fit, evaluate=THIRDS[2].evaluate[:5]))  # the last counts for less
    together, clips = start(folds=folds), store()
    report = next(together)
    alone = [train(default_config("mlp", SETTINGS), fold, clips, device="cpu") for fold in folds]
    own = [next(run) for run in alone]
    labels = np.concatenate([clips.truth[fold.evaluate] for fold in folds])
    probabilities = [run.predict(fold.evaluate) for run, fold in zip(alone, folds, strict=True)]
    predicted = np.concatenate(probabilities).argmax(axis=1)
    assert report.score("uar") == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert report.score("uar") != pytest.approx(np.mean([each.score("uar") for each in own]))
    assert report.score("war") == pytest.approx((labels == predicted).mean())
    sizes = [len(fold.evaluate) for fold in folds]
    assert report.val_loss == pytest.approx(np.average([each.val_loss for each in own], weights=sizes))
    assert report.train_loss == pytest.approx(np.mean([each.train_loss for each in own]))
    assert report.sums["clips"] == tuple(np.bincount(labels).tolist())
    list(together)
    assert [each.epoch for each in together.reports] == [1, 2, 3, 4]
    assert together.best_epoch == 1 + int(np.argmax([each.score("uar") for each in together.reports]))


def test_a_resumed_run_is_that_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, half = start(), start()
    list(whole)
    next(half), next(half)
    half.save(tmp_path / "last.safetensors")
    resumed = start(resume=tmp_path / "last.safetensors")
    assert scores(resumed) == scores(half)
    list(resumed)
    assert scores(resumed) == scores(whole)
    rows, probabilities = resumed.predict_validation()
    np.testing.assert_array_equal(probabilities, whole.predict_validation()[1])
    assert rows.tolist() == list(range(CLIPS))


def test_folds_whose_checkpoints_are_of_different_epochs_meet_again(tmp_path: Path) -> None:
    """The driver may die between the files of two folds: those saved last, the first fold's, are then older."""
    whole, half = start(), start()
    list(whole)
    next(half)
    half.save(tmp_path / "last.safetensors")
    older = (tmp_path / "last.safetensors").read_bytes()
    next(half)
    half.save(tmp_path / "last.safetensors")
    (tmp_path / "last.safetensors").write_bytes(older)
    resumed = start(resume=tmp_path / "last.safetensors")
    assert len(resumed.reports) == 1
    list(resumed)
    assert scores(resumed) == scores(whole)


def test_early_stopping_looks_at_the_mean() -> None:
    run = start(changes={"optim.epochs": 40, "optim.early_stop_epochs": 3, "optim.learning_rate": 1e-7})
    assert len(list(run)) == run.best_epoch + 3


def test_predictions_of_a_fold_are_of_a_model_that_never_saw_it() -> None:
    together = start()
    list(together)
    rows, probabilities = together.predict_validation()
    alone = train(default_config("mlp", SETTINGS), THIRDS[1], store(), device="cpu")
    list(alone)
    own_rows, own = alone.predict_validation()
    np.testing.assert_array_equal(probabilities[np.isin(rows, own_rows)], own)


def test_one_fold_is_an_ordinary_run_and_empty_folds_are_refused(tmp_path: Path) -> None:
    config = default_config("mlp", SETTINGS)
    assert isinstance(train_folds(config, THIRDS[:1], store(), device="cpu"), TrainingRun)
    blind = Fold(fit=np.arange(CLIPS), evaluate=np.arange(0))
    with pytest.raises(ValueError, match=r"fold\(s\) \[2\] of 2 have none"):
        train_folds(config, [THIRDS[0], blind], store(), device="cpu")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        start(resume=tmp_path / "last.safetensors")
