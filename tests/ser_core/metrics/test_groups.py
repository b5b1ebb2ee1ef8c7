"""Differences of groups against scipy's Welch test, their properties, and how often they cry wolf."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ser_core.metrics.groups import group_difference as difference_of
from ser_core.metrics.paired import Difference
from ser_core.targets import Emotions

CLASSES, TAKES = 3, 8


def group_difference(
    labels: np.ndarray, predictions: np.ndarray, speakers: np.ndarray, inside: np.ndarray, classes: int, **settings: int
) -> Difference:
    """Of predictions that are sure of one class."""
    told = np.eye(classes)[predictions]
    return difference_of(Emotions(tuple("abc")), labels, told, speakers, inside, **settings)


def made(seed: int, skills: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions, speakers and UAR of each speaker, who says every emotion equally often."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(CLASSES), TAKES), len(skills))
    speakers = np.repeat([f"s{number:02d}" for number in range(len(skills))], CLASSES * TAKES)
    right = rng.random(len(labels)) < np.repeat(skills, CLASSES * TAKES)
    predictions = np.where(right, labels, (labels + 1) % CLASSES)
    return labels, predictions, speakers, right.reshape(len(skills), -1).mean(axis=1)


def test_groups_of_other_speakers_are_compared_as_welch_does() -> None:
    """With equally many clips of each emotion, UAR is a mean over speakers."""
    skills = [*np.linspace(0.3, 0.7, 8), *np.linspace(0.5, 0.9, 14)]
    labels, predictions, speakers, each = made(0, skills)
    first = speakers < "s08"
    found = group_difference(labels, predictions, speakers, first, CLASSES)
    expected = stats.ttest_ind(each[:8], each[8:], equal_var=False)
    bounds = expected.confidence_interval()
    assert found.value == pytest.approx(each[:8].mean() - each[8:].mean())
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.1)
    assert (found.interval.low, found.interval.high) == pytest.approx((bounds.low, bounds.high), abs=5e-3)
    other = group_difference(labels, predictions, speakers, ~first, CLASSES)
    assert other.value == pytest.approx(-found.value)


def test_groups_of_the_same_speakers_are_compared_within_speakers() -> None:
    """Half of everybody's clips are of another microphone, and recognised a little worse."""
    labels, predictions, speakers, _ = made(1, list(np.linspace(0.2, 0.9, 12)))
    worse = np.arange(len(labels)) % 2 == 0
    predictions = np.where(worse & (np.arange(len(labels)) % 8 == 0), (labels + 1) % CLASSES, predictions)
    found = group_difference(labels, predictions, speakers, worse, CLASSES)
    right = predictions == labels
    each = [
        (right[own & worse].mean(), right[own & ~worse].mean())
        for own in (speakers == name for name in np.unique(speakers))
    ]
    expected = stats.ttest_rel(*zip(*each, strict=True))
    assert found.value < 0
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.3)


def test_classes_that_one_group_lacks_do_not_count() -> None:
    labels, predictions, speakers, _ = made(2, [0.6] * 6)
    first = speakers < "s03"
    kept = ~(first & (labels == 2))
    found = group_difference(labels[kept], predictions[kept], speakers[kept], first[kept], CLASSES)
    both = kept & (labels < 2)
    same = group_difference(labels[both], predictions[both], speakers[both], first[both], CLASSES)
    assert found == same
    nothing = group_difference(labels, predictions, speakers, labels == 0, CLASSES)
    assert math.isnan(nothing.value)


def test_one_speaker_cannot_be_tested() -> None:
    labels, predictions, speakers, _ = made(3, [0.6] * 5)
    found = group_difference(labels, predictions, speakers, speakers == "s00", CLASSES)
    assert math.isfinite(found.value)
    assert math.isnan(found.p_value)
    assert math.isnan(found.interval.low)
    alike = group_difference(labels, labels, speakers, speakers < "s02", CLASSES)
    assert alike.value == 0
    assert math.isnan(alike.p_value)


def test_equal_groups_are_told_apart_about_once_in_twenty() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for seed in range(300):
        labels, predictions, speakers, _ = made(seed, list(rng.uniform(0.3, 0.8, 16)))
        p_value = group_difference(labels, predictions, speakers, speakers < "s06", CLASSES, resamples=300).p_value
        found += p_value < 0.05
    assert 5 <= found <= 27
