"""The objective decides which epoch is the best, and when early stopping ends a run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ser_core.architectures import default_config
from ser_core.named_scores import CLASS_SCORES
from ser_core.splits import Fold
from ser_core.targets import Dimensions, Emotions
from ser_core.training.checkpoint import CheckpointError
from ser_core.training.folds import FoldsRun, train_folds
from ser_core.training.report import EpochReport
from ser_core.training.run import TrainingRun, train
from tests.ser_core.training.thirds import CLIPS, SETTINGS, THIRDS
from tests.ser_core.training.thirds import store as made_clips


def start(objective: str, **settings: object) -> TrainingRun:
    store = replace(made_clips(), target=Emotions(("calm", "happy"), objective))
    config = default_config("mlp", {**SETTINGS, "optim.epochs": 8, **settings})  # type: ignore[arg-type]
    return train(config, THIRDS[0], store, device="cpu")


@pytest.mark.parametrize("objective", CLASS_SCORES)
def test_the_best_epoch_is_that_of_the_objective(objective: str) -> None:
    run = start(objective, **{"optim.learning_rate": 0.05, "optim.schedule": "constant"})
    reports = list(run)
    assert set(reports[0].scores) == set(CLASS_SCORES)
    assert run.best_epoch == 1 + int(np.argmax([report.score(objective) for report in reports]))
    rows, told = run.predict_validation()
    expected = f1_score(made_clips().truth[rows], told.argmax(axis=1), average="macro")
    assert reports[run.best_epoch - 1].score("macro_f1") == pytest.approx(expected)


def test_early_stopping_waits_for_the_objective() -> None:
    run = start("macro_f1", **{"optim.early_stop_epochs": 2, "optim.epochs": 40})
    reports = list(run)
    assert len(reports) == min(40, run.best_epoch + 2)


def test_folds_together_are_judged_by_the_objective() -> None:
    store = replace(made_clips(), target=Emotions(("calm", "happy"), "macro_f1"))
    run = train_folds(default_config("mlp", {**SETTINGS, "optim.epochs": 3}), THIRDS, store, device="cpu")
    reports = list(run)
    assert run.best_epoch == 1 + int(np.argmax([report.score("macro_f1") for report in reports]))


@pytest.mark.parametrize(("values", "best"), [((-0.3, -0.2, -0.4), 2), ((math.nan, -0.2, -0.1), 3), ((math.nan,), 0)])
def test_the_best_epoch_of_folds_may_have_a_negative_score_and_has_one_that_is_defined(
    values: tuple[float, ...], best: int
) -> None:
    run = train_folds(default_config("mlp", SETTINGS), THIRDS, made_clips(), device="cpu")
    assert isinstance(run, FoldsRun)
    for epoch, value in enumerate(values, 1):
        run._add([EpochReport.of_score(epoch, value)] * len(THIRDS))
    assert run.best_epoch == best


def test_a_checkpoint_of_another_objective_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = start("uar")
    next(run)
    run.save(tmp_path / "checkpoint")
    store = replace(made_clips(), target=Emotions(("calm", "happy"), "war"))
    with pytest.raises(CheckpointError, match=r"target: None in the checkpoint"):
        train(run.config, THIRDS[0], store, device="cpu", resume=tmp_path / "checkpoint")


def test_ratings_are_learnt() -> None:
    """Features that hold two ratings, one of them shifted and stretched."""
    clips, rng = made_clips(), np.random.default_rng(0)
    frames = rng.normal(size=clips.frames.shape).astype(np.float32)
    truth = np.stack([frames[:, 0], 100 + 20 * frames[:, 1]], axis=1).astype(np.float64)
    store = replace(clips, frames=frames, truth=truth, target=Dimensions(("low", "high")))
    settings = {"optim.epochs": 60, "model.dropout": 0.0, "augment.noise_std": 0.0, "optim.batch_size": 32}
    fold = Fold(fit=np.arange(CLIPS), evaluate=np.arange(CLIPS))
    run = train(default_config("mlp", settings), fold, store, device="cpu")
    reports = list(run)
    assert reports[run.best_epoch - 1].score("ccc") > 0.9
    told = run.predict(np.arange(CLIPS))
    assert np.abs(told[:, 1].mean() - truth[:, 1].mean()) < 5  # on the scale of the data
    assert reports[-1].val_loss < 0.2
