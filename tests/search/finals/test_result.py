"""The scores of result.json against scikit-learn and torchmetrics, and where they are not defined."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from search.finals.test_scores import score_test as numbers_of
from search.run_folder.predictions import Predictions
from ser_core.targets import Emotions
from ser_core.whole_file import defined

CLASSES = ("angry", "happy", "sad")


def predictions(seeds: int = 3) -> Predictions:
    """120 clips of two women, a man and one whose gender is not known."""
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(3), 40)
    logits = rng.normal(size=(seeds, 120, 3)) + 1.2 * np.eye(3)[labels]
    return Predictions(
        target=Emotions(CLASSES),
        truth=labels,
        speakers=np.repeat(["01", "02", "03", "04"], 30),
        genders=np.repeat(["female", "male", "female", ""], 30),
        clip_ids=tuple(f"c{row}" for row in range(120)),
        told=np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True),
    )


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return numbers_of(predictions())


def test_scores_agree_with_scikit_learn(numbers: dict[str, Any]) -> None:
    test = predictions()
    for seed, row in enumerate(test.told.argmax(axis=2)):
        recalls, precisions = (
            metric(test.truth, row, average=None)
            for metric in (sklearn_metrics.recall_score, sklearn_metrics.precision_score)
        )
        for index, word in enumerate(CLASSES):
            assert numbers["per_class_recall"][word]["seeds"][seed] == pytest.approx(recalls[index])
            assert numbers["per_class_precision"][word]["seeds"][seed] == pytest.approx(precisions[index])
        for rows, own in (
            *((test.speakers == name, own) for name, own in numbers["per_speaker"].items()),
            *((test.genders == gender, own) for gender, own in numbers["per_gender"].items()),
        ):
            assert own["clips"] == rows.sum()
            uar = sklearn_metrics.balanced_accuracy_score(test.truth[rows], row[rows])
            assert own["uar"]["seeds"][seed] == pytest.approx(uar)
            assert own["war"]["seeds"][seed] == pytest.approx(np.mean(test.truth[rows] == row[rows]))


def test_calibration_agrees_with_torchmetrics(numbers: dict[str, Any]) -> None:
    test, calibration = predictions(), numbers["calibration"]
    labels = torch.from_numpy(test.truth)
    expected = [
        multiclass_calibration_error(torch.from_numpy(own), labels, num_classes=3, n_bins=15).item()
        for own in test.told
    ]
    assert calibration["ece"]["seeds"] == pytest.approx(expected, abs=1e-6)
    assert calibration["ece"]["mean"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert sum(own["predictions"] for own in calibration["bins"]) == 360


def test_every_score_has_an_interval_around_it(numbers: dict[str, Any]) -> None:
    for score in (
        *(numbers[name] for name in ("uar", "war", "macro_f1")),
        *numbers["per_class_recall"].values(),
        *numbers["per_class_precision"].values(),
        numbers["per_gender"]["female"]["uar"],
    ):
        low, high = score["interval"]
        assert low <= score["mean"] <= high
    uar = numbers["uar"]
    assert all(low <= own <= high for own, (low, high) in zip(uar["seeds"], uar["seed_intervals"], strict=True))


def test_genders_are_those_that_the_corpus_names(numbers: dict[str, Any]) -> None:
    assert {name: own["gender"] for name, own in numbers["per_speaker"].items()} == {
        "01": "female",
        "02": "male",
        "03": "female",
        "04": None,
    }
    assert {gender: own["speakers"] for gender, own in numbers["per_gender"].items()} == {"female": 2, "male": 1}
    assert math.isnan(numbers["per_gender"]["male"]["uar"]["interval"][0])  # one man says nothing about others


def test_a_class_that_one_seed_never_predicts_has_the_precision_of_the_others() -> None:
    test = predictions(seeds=2)
    test.told[0, :, 2] = 0.0
    own = numbers_of(test)["per_class_precision"]["sad"]
    assert math.isnan(own["seeds"][0])
    assert own["mean"] == own["seeds"][1]
    assert math.isnan(own["std"])
    written = json.loads(json.dumps(defined(own), allow_nan=False))
    assert (written["seeds"][0], written["std"]) == (None, None)


def test_the_ensemble_of_the_seeds_averages_their_probabilities(numbers: dict[str, Any]) -> None:
    test = predictions()
    told = test.told.mean(axis=0).argmax(axis=1)
    own = numbers["ensemble"]
    assert own["uar"]["value"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(test.truth, told))
    assert own["war"]["value"] == pytest.approx(np.mean(test.truth == told))
    assert own["macro_f1"]["value"] == pytest.approx(sklearn_metrics.f1_score(test.truth, told, average="macro"))
    assert own["uar"]["interval"][0] < own["uar"]["value"] < own["uar"]["interval"][1]
