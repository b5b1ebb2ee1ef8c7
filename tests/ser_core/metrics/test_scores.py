"""Scores against scikit-learn and torchmetrics, golden numbers, and how often intervals over speakers hold true."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from ser_core.metrics.resampled import score_intervals
from ser_core.metrics.scores import Interval, confusion_matrix, per_class_intervals, scores, seed_interval
from ser_core.targets import Emotions


def bootstrap_interval(
    labels: np.ndarray, predictions: np.ndarray, speakers: np.ndarray, classes: int, **settings: Any
) -> dict[str, Interval]:
    """`score_intervals` of predictions that are sure of one class."""
    target = Emotions(tuple(map(str, range(classes))))
    return score_intervals(target, labels, np.eye(classes)[predictions], speakers, **settings)


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """200 clips of 5 classes of unequal frequency, two thirds of them right."""
    rng = np.random.default_rng(7)
    labels = rng.choice(5, size=200, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    return labels, np.where(rng.random(200) < 0.67, labels, rng.integers(0, 5, 200))


def test_golden_numbers() -> None:
    result = scores(np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 2, 0]), 3)
    assert result.confusion.tolist() == [[3, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert result.per_class_recall.tolist() == [0.75, 0.5, 0.0]
    assert result.per_class_precision.tolist() == [0.75, 0.5, 0.0]
    assert result.uar == pytest.approx(1.25 / 3)
    assert result.war == pytest.approx(4 / 7)
    assert result.macro_f1 == pytest.approx((6 / 8 + 2 / 4 + 0) / 3)


def test_agrees_with_scikit_learn(answers: tuple[np.ndarray, np.ndarray]) -> None:
    labels, predictions = answers
    result = scores(labels, predictions, 5)
    assert result.uar == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, predictions))
    assert result.war == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions))
    assert result.macro_f1 == pytest.approx(sklearn_metrics.f1_score(labels, predictions, average="macro"))
    np.testing.assert_array_equal(result.confusion, sklearn_metrics.confusion_matrix(labels, predictions))
    recalls = sklearn_metrics.recall_score(labels, predictions, average=None)
    np.testing.assert_allclose(result.per_class_recall, recalls)
    precisions = sklearn_metrics.precision_score(labels, predictions, average=None)
    np.testing.assert_allclose(result.per_class_precision, precisions)


def test_agrees_with_torchmetrics(answers: tuple[np.ndarray, np.ndarray]) -> None:
    labels, predictions = (torch.from_numpy(part) for part in answers)
    result = scores(*answers, 5)
    assert result.uar == pytest.approx(multiclass_accuracy(predictions, labels, 5, average="macro").item(), abs=1e-6)
    assert result.war == pytest.approx(multiclass_accuracy(predictions, labels, 5, average="micro").item(), abs=1e-6)
    assert result.macro_f1 == pytest.approx(multiclass_f1_score(predictions, labels, 5).item(), abs=1e-6)
    recalls, precisions = (
        metric(predictions, labels, 5, average="none") for metric in (multiclass_recall, multiclass_precision)
    )
    np.testing.assert_allclose(result.per_class_recall, recalls, atol=1e-6)
    np.testing.assert_allclose(result.per_class_precision, precisions, atol=1e-6)


def test_a_class_without_clips_has_no_recall_and_does_not_count() -> None:
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    result = scores(labels, predictions, 4)
    np.testing.assert_array_equal(result.per_class_recall, [1.0, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(result.per_class_precision, [1.0, 1.0, 0.0, np.nan])
    assert result.uar == 0.75
    expected = sklearn_metrics.f1_score(labels, predictions, average="macro")  # class 2 counts: it was predicted
    assert result.macro_f1 == pytest.approx(expected)


def test_no_clips_give_nan() -> None:
    empty = np.empty(0, dtype=np.int64)
    result = scores(empty, empty, 2)
    assert math.isnan(result.uar)
    assert math.isnan(result.war)
    assert math.isnan(result.macro_f1)


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], r"one per clip; got \(2,\) and \(1,\)"),
        ([0, 3], [0, 1], r"labels must lie in \[0, 3\); got 0 to 3"),
        ([0, 1], [0, -1], r"predictions must lie in \[0, 3\); got -1 to 0"),
    ],
)
def test_bad_indices_are_refused(labels: list[int], predictions: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


def t_bounds(estimate: Any, drawn: Any, speakers: int) -> tuple[Any, Any]:
    """Student's t interval from a plain bootstrap (resamples, …) of as many speakers."""
    error = np.nanstd(drawn, axis=0) * np.sqrt(speakers / (speakers - 1))
    half = stats.t.ppf(0.975, speakers - 1) * error
    return np.clip(estimate - half, 0, 1), np.clip(estimate + half, 0, 1)


def test_interval_of_balanced_speakers_is_the_t_interval_of_scipy() -> None:
    """With equally many clips of every emotion and speaker, UAR is the mean of the speakers' accuracies."""
    rng = np.random.default_rng(2)
    labels, speakers = np.tile(np.repeat(np.arange(4), 5), 6), np.repeat(np.arange(6), 20)
    predictions = np.where(rng.random(120) < np.repeat(rng.uniform(0.4, 0.8, 6), 20), labels, (labels + 1) % 4)
    own = (labels == predictions).reshape(6, 20).mean(axis=1)
    expected = stats.ttest_1samp(own, 0).confidence_interval()
    for name in ("uar", "war"):
        found = bootstrap_interval(labels, predictions, speakers, 4, resamples=100_000)[name]
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=2e-3)


def test_bootstrap_equals_a_plain_one_over_speakers(answers: tuple[np.ndarray, np.ndarray]) -> None:
    labels, predictions = answers
    speakers = np.repeat([f"s{index:02d}" for index in range(20)], 10)
    fast = bootstrap_interval(labels, predictions, speakers, 5, resamples=4000)
    rng, names, drawn = np.random.default_rng(1), np.unique(speakers), []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(speakers == name) for name in rng.choice(names, len(names))])
        drawn.append(scores(labels[rows], predictions[rows], 5))
    for name in ("uar", "war", "macro_f1"):
        estimate = getattr(scores(labels, predictions, 5), name)
        low, high = t_bounds(estimate, [getattr(result, name) for result in drawn], 20)
        assert fast[name].low == pytest.approx(low, abs=0.01)
        assert fast[name].high == pytest.approx(high, abs=0.01)


def test_bootstrap_is_wider_when_clips_of_a_speaker_stand_together() -> None:
    labels, speakers = np.tile([0, 1], 100), np.repeat(np.arange(10), 20)
    predictions = np.where(speakers < 7, labels, 1 - labels)  # seven speakers all right, three all wrong
    by_speaker = bootstrap_interval(labels, predictions, speakers, 2)["war"]
    by_clip = bootstrap_interval(labels, predictions, np.arange(200), 2)["war"]
    assert by_speaker.high - by_speaker.low > 3 * (by_clip.high - by_clip.low)


def test_bootstrap_repeats_itself_and_follows_the_level(answers: tuple[np.ndarray, np.ndarray]) -> None:
    speakers = np.repeat(np.arange(20), 10)
    wide = bootstrap_interval(*answers, speakers, 5)
    assert bootstrap_interval(*answers, speakers, 5) == wide
    narrow = bootstrap_interval(*answers, speakers, 5, level=0.5)
    assert wide["uar"].low < narrow["uar"].low < narrow["uar"].high < wide["uar"].high


def test_bootstrap_of_one_speaker_is_undefined(answers: tuple[np.ndarray, np.ndarray]) -> None:
    interval = bootstrap_interval(*answers, np.zeros(200), 5)["uar"]
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_bootstrap_refuses_nonsense(answers: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\); got 95"):
        bootstrap_interval(*answers, np.zeros(200), 5, level=95)
    empty = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="of one clip or more"):
        bootstrap_interval(empty, empty, empty, 5)


def test_intervals_of_classes_equal_a_plain_bootstrap_over_speakers(answers: tuple[np.ndarray, np.ndarray]) -> None:
    labels, predictions = answers
    runs = np.stack([predictions, np.roll(predictions, 3)])
    speakers = np.repeat([f"s{index:02d}" for index in range(20)], 10)
    fast = per_class_intervals(labels, runs, speakers, 5, resamples=4000)
    rng, names, drawn = np.random.default_rng(1), np.unique(speakers), []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(speakers == name) for name in rng.choice(names, len(names))])
        own = [scores(labels[rows], run[rows], 5) for run in runs]
        drawn.append([np.mean([getattr(s, f"per_class_{kind}") for s in own], axis=0) for kind in fast])
    each_run = [scores(labels, run, 5) for run in runs]
    estimates = [np.mean([getattr(own, f"per_class_{kind}") for own in each_run], axis=0) for kind in fast]
    lows, highs = t_bounds(np.array(estimates), drawn, 20)  # (recall and precision, classes)
    for kind, intervals in enumerate(fast.values()):
        np.testing.assert_allclose([each.low for each in intervals], lows[kind], atol=0.03)
        np.testing.assert_allclose([each.high for each in intervals], highs[kind], atol=0.03)


def test_a_class_of_one_speaker_has_no_interval() -> None:
    labels, speakers = np.array([0, 0, 1, 0, 0]), np.array(["a", "a", "a", "b", "b"])
    intervals = per_class_intervals(labels, np.array([0, 1, 1, 0, 0]), speakers, 3)
    assert (intervals["recall"][0].low, intervals["recall"][0].high) == (0.0, 1.0)  # of two speakers: anything
    assert math.isnan(intervals["recall"][1].low)  # only speaker a has clips of class 1
    assert math.isnan(intervals["precision"][1].low)  # and only they were taken for it
    assert math.isnan(intervals["recall"][2].high)
    assert math.isnan(intervals["precision"][2].high)


def test_speakers_who_all_score_alike_give_no_interval() -> None:
    labels, speakers = np.tile([0, 1], 6), np.repeat(np.arange(3), 4)
    interval = bootstrap_interval(labels, np.zeros(12, dtype=np.int64), speakers, 2)["uar"]
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_interval_over_seeds_is_the_t_interval_of_scipy() -> None:
    values = [0.41, 0.47, 0.44, 0.5]
    interval = seed_interval(values)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert math.isnan(seed_interval([0.5]).low)


@pytest.mark.parametrize(
    ("speakers", "most"),
    [(24, 0.98), (4, 0.98), (2, 1.0)],  # four test speakers, as in an EmoBox fold
)
def test_coverage_of_95_percent_intervals(speakers: int, most: float) -> None:
    """Speakers differ in how well they are recognised (beta distribution); every score has the same true value.

    Errors spread evenly over the other classes, so that the precision of a class equals its recall in the population.
    Two speakers who score nearly alike would give too short an interval; those who score just alike give none.
    """
    rng, classes, clips, repetitions = np.random.default_rng(speakers), 4, 6, 300
    names = np.repeat(np.arange(speakers), classes * clips)
    labels = np.tile(np.repeat(np.arange(classes), clips), speakers)
    held: dict[str, list[bool]] = {name: [] for name in ("uar", "war", "macro_f1", "recall", "precision")}
    for repetition in range(repetitions):
        right = rng.random(len(labels)) < rng.beta(4, 3, speakers)[names]
        predictions = np.where(right, labels, (labels + rng.integers(1, classes, len(labels))) % classes)
        data = (labels, predictions, names, classes)
        found = {
            **{name: (each,) for name, each in bootstrap_interval(*data, resamples=500, seed=repetition).items()},
            **per_class_intervals(*data, resamples=500, seed=repetition),
        }
        for name, intervals in found.items():
            held[name] += [each.low <= 4 / 7 <= each.high for each in intervals if not math.isnan(each.low)]
    for name, each in held.items():
        assert 0.91 <= np.mean(each) <= most, f"{name}: {np.mean(each):.3f} of the intervals hold the true score"
