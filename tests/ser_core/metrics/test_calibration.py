"""Calibration error and reliability curve against torchmetrics and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from ser_core.metrics.calibration import ECE_BINS, expected_calibration_error, reliability


def made(seed: int, clips: int = 300, classes: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Labels (clips,) and softmax probabilities (clips, classes) float32 that are right now and then."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, clips)
    logits = rng.normal(size=(clips, classes)) * rng.uniform(0.5, 4) + 2 * np.eye(classes)[labels]
    return labels, torch.from_numpy(logits).float().softmax(dim=1).numpy()


@given(seed=st.integers(0, 10_000), bins=st.integers(1, 30))
def test_error_agrees_with_torchmetrics(seed: int, bins: int) -> None:
    labels, probabilities = made(seed)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=8, n_bins=bins, norm="l1"
    )
    assert expected_calibration_error(labels, probabilities, bins=bins) == pytest.approx(expected.item(), abs=1e-5)


def test_golden_numbers() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.0, 1.0]])
    # of two bins all four lie in the upper one: confidence 3.4 / 4, accuracy 3 / 4
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx(0.1)
    assert expected_calibration_error(labels, np.eye(2)[labels]) == 0  # certain, and right


def test_the_curve_holds_every_prediction_once_and_gives_the_error_back() -> None:
    labels, probabilities = made(3)
    runs = np.stack([probabilities, made(4)[1]])
    speakers = np.repeat([f"s{index}" for index in range(10)], 30)
    curve = reliability(labels, runs, speakers)
    assert len(curve) == ECE_BINS
    assert (curve[0].low, curve[-1].high) == (0, 1)
    assert sum(each.predictions for each in curve) == 600
    assert all(math.isnan(each.accuracy) for each in curve if not each.predictions)
    held = [each for each in curve if each.predictions]
    assert all(each.low < each.confidence <= each.high for each in held)
    pooled = expected_calibration_error(np.tile(labels, 2), runs.reshape(600, 8))
    assert sum(each.predictions * abs(each.accuracy - each.confidence) for each in held) / 600 == pytest.approx(pooled)
    inside = [each for each in held if not math.isnan(each.interval.low)]
    assert inside
    assert all(each.interval.low <= each.accuracy <= each.interval.high for each in inside)


def test_a_bin_of_one_speaker_has_no_interval() -> None:
    probabilities = np.array([[[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.9, 0.1]]])
    curve = reliability(np.zeros(4, dtype=np.int64), probabilities, np.array(["a", "a", "a", "b"]), bins=10)
    by_high = {round(each.high, 1): each for each in curve}
    assert by_high[0.6].predictions == 1
    assert math.isnan(by_high[0.6].interval.low)
    assert by_high[0.9].accuracy == pytest.approx(2 / 3)
    assert (by_high[0.9].interval.low, by_high[0.9].interval.high) == (0, 1)  # of two speakers: anything


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], np.empty((0, 2)), r"of at least one clip; got \(0,\) and \(1, 0, 2\)"),
        ([0, 1], np.full((3, 2), 0.5), r"got \(2,\) and \(1, 3, 2\)"),
        ([0], np.array([[3.0, -1.0]]), r"must lie in \[0, 1\].*3.0 to 3.0: take the softmax"),
        ([0], np.array([[np.nan, np.nan]]), r"must lie in \[0, 1\]"),
    ],
)
def test_what_is_no_probability_is_refused(labels: list[int], probabilities: np.ndarray, message: str) -> None:
    names = np.zeros(len(labels))
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(np.array(labels, dtype=np.int64), probabilities)
    with pytest.raises(ValueError, match=message):
        reliability(np.array(labels, dtype=np.int64), probabilities[None], names)
