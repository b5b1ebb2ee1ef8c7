"""Training runs of models that fit themselves: the same reports, checkpoints and model folders as all others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_core.architectures import default_config
from ser_core.artifact import load_model, save_model
from ser_core.config import Config
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.folds_in_turn import FoldsInTurn
from ser_core.training.run import TrainingRun, train

CLIPS, CLASSES, BINS = 90, ("neutral", "happy", "sad"), 52
FOLD = Fold(fit=np.arange(60), evaluate=np.arange(60, CLIPS))
SETTINGS = {
    "svm": {"model.complexity": 0.01},
    "boosting": {"model.rounds": 2, "optim.epochs": 4, "model.value_share": 0.3, "model.leaf_clips": 2},
}
EVERY = pytest.mark.parametrize("name", SETTINGS)


def configured(name: str) -> Config:
    return default_config(name, {"features.kind": "mfcc_stats", **SETTINGS[name]})


def store_of(config: Config) -> FeatureStore:
    """Vectors far from mean 0 and deviation 1, which normalisation by the fit clips brings there."""
    rng = np.random.default_rng(0)
    labels = np.arange(CLIPS) % 3
    frames = 40 + 7 * (rng.normal(size=(CLIPS, BINS)) + 1.5 * np.eye(3, BINS)[labels])
    return FeatureStore(
        frames=frames.astype(np.float32),
        bounds=end_to_end(np.arange(CLIPS + 1)),
        truth=labels,
        clip_ids=tuple(map(str, range(CLIPS))),
        target=Emotions(CLASSES),
        settings=config.features,
        fingerprint="vectors",
    )


def started(name: str, resume: Path | None = None, fold: Fold = FOLD) -> TrainingRun:
    config = configured(name)
    return train(config, fold, store_of(config), device="cpu", resume=resume)


@EVERY
def test_it_learns_and_reports_every_epoch(name: str) -> None:
    run = started(name)
    reports = list(run)
    assert [report.epoch for report in reports] == list(range(1, configured(name).optim.epochs + 1))
    assert all(math.isnan(report.learning_rate) for report in reports)
    assert all(0 < report.train_loss < math.log(3) for report in reports)
    assert (
        reports[run.best_epoch - 1].score("uar") == max(report.score("uar") for report in reports) > 0.5
    )  # chance: 0.33
    rows, probabilities = run.predict_validation()
    assert (probabilities.argmax(axis=1) == np.arange(60, CLIPS) % 3).mean() == reports[run.best_epoch - 1].score("war")
    assert rows.tolist() == FOLD.evaluate.tolist()


@EVERY
def test_it_trains_to_the_same_weights_after_an_interruption(name: str, tmp_path: Path) -> None:
    whole, first = started(name), started(name)
    reports = list(whole)
    next(first)
    first.save(tmp_path / "run.safetensors")
    first.close()
    resumed = started(name, tmp_path / "run.safetensors")
    list(resumed)
    assert [replace(report, seconds=0) for report in resumed.reports] == [replace(each, seconds=0) for each in reports]
    weights = resumed.best_weights()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in whole.best_weights().items())


@EVERY
def test_the_model_folder_holds_tensors_alone_and_predicts_what_the_run_did(name: str, tmp_path: Path) -> None:
    run = started(name, fold=Fold(fit=np.arange(60), evaluate=np.empty(0, dtype=np.int64)))
    list(run)
    save_model(tmp_path, run, about={})
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    predictor = load_model(tmp_path)
    assert np.array_equal(predictor.predict_store(store_of(run.config)), run.predict(np.arange(CLIPS)))


@EVERY
def test_folds_are_fitted_in_turn(name: str) -> None:
    config = configured(name)
    folds = [FOLD, Fold(fit=np.arange(30, CLIPS), evaluate=np.arange(30))]
    reports = list(FoldsInTurn(config, folds, store_of(config), device="cpu"))
    assert [report.epoch for report in reports] == list(range(1, 2 * config.optim.epochs + 1))
    assert sum(reports[-1].sums["clips"]) == 30
