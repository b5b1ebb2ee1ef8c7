"""Paired tests against scipy and statsmodels, their properties, and how often they cry wolf."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from ser_core.metrics.paired import McNemar, compare_all, holm, mcnemar, verdict
from ser_core.metrics.resampled import score_intervals
from ser_core.targets import Emotions

CLASSES = 4
TARGET = Emotions(tuple("abcd"))


def told(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (seeds, clips, classes) that are right where `right` (seeds, clips) says so, else one class off."""
    predictions = np.where(right, labels, (labels + 1) % CLASSES)
    return 0.1 + 0.6 * np.eye(CLASSES)[predictions]


def corpus(speakers: int, clips: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Labels and speakers (clips,): every speaker says each emotion `clips` times."""
    labels = np.tile(np.repeat(np.arange(CLASSES), clips), speakers)
    return labels, np.repeat(np.arange(speakers), CLASSES * clips)


def made(seed: int, speakers: int = 8, seeds: int = 2, **skill: float) -> tuple[dict[str, np.ndarray], Any, Any]:
    """Classifiers of given skill, as arguments of `compare_all`."""
    rng = np.random.default_rng(seed)
    labels, names = corpus(speakers)
    share = {name: np.clip(rng.normal(own, 0.1, speakers), 0, 1)[names] for name, own in skill.items()}
    return {name: told(rng.random((seeds, len(labels))) < own, labels) for name, own in share.items()}, labels, names


def uar_of_speakers(probabilities: np.ndarray, labels: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(speakers,), mean over seeds; all emotions are equally frequent, so that UAR is the share of clips right."""
    right = (probabilities.argmax(axis=2) == labels).mean(axis=0)
    return np.array([right[names == name].mean() for name in np.unique(names)])


def test_the_difference_is_the_paired_t_test_of_scipy() -> None:
    """With all emotions of a speaker equally frequent, UAR is a mean over speakers and the bootstrap's error known."""
    probabilities, labels, names = made(3, speakers=12, better=0.7, worse=0.6)
    (found,) = compare_all(TARGET, probabilities, labels, names, resamples=100_000)
    first, second = (uar_of_speakers(own, labels, names) for own in probabilities.values())
    expected = stats.ttest_rel(first, second)
    bounds = expected.confidence_interval()
    assert (found.first, found.second) == ("better", "worse")
    assert found.difference.value == pytest.approx(np.mean(first - second))
    assert (found.difference.interval.low, found.difference.interval.high) == pytest.approx(
        (bounds.low, bounds.high), abs=1e-3
    )
    assert found.difference.p_value == found.p_holm == pytest.approx(expected.pvalue, rel=0.05)


def test_a_classifier_is_compared_by_the_scores_that_stand_in_its_own_interval() -> None:
    probabilities, labels, names = made(5, good=0.8, middling=0.65, poor=0.5)
    means = {name: own.argmax(axis=2) == labels for name, own in probabilities.items()}
    found = {
        (each.first, each.second): each.difference.value for each in compare_all(TARGET, probabilities, labels, names)
    }
    assert list(found) == [("good", "middling"), ("good", "poor"), ("middling", "poor")]
    for (first, second), value in found.items():
        assert value == pytest.approx(means[first].mean() - means[second].mean())
    never = told(np.zeros((1, len(labels)), dtype=bool), labels)  # against a classifier that is always wrong, ...
    versus = compare_all(TARGET, {"good": probabilities["good"], "never": never}, labels, names)[0].difference.interval
    alone = score_intervals(TARGET, labels, probabilities["good"], names)["uar"]
    assert (versus.low, versus.high) == pytest.approx((alone.low, alone.high))  # ... the difference is the score


def test_mcnemar_looks_at_the_mean_of_the_seeds_probabilities() -> None:
    labels, names = np.zeros(3, dtype=np.int64), np.array(["a", "b", "c"])
    sure = np.array([[[0.9, 0.1]] * 3, [[0.4, 0.6]] * 3])  # one seed right, one wrong; together right
    wrong = np.array([[[0.2, 0.8]] * 3])
    (found,) = compare_all(Emotions(("a", "b")), {"sure": sure, "wrong": wrong}, labels, names)
    assert found.mcnemar == McNemar(3, 0, 0.25)
    assert found.difference.value == 0.5


@given(table=st.lists(st.integers(0, 40), min_size=4, max_size=4))
def test_mcnemar_agrees_with_statsmodels(table: list[int]) -> None:
    right = [np.repeat([a for a, _ in CELLS], table), np.repeat([b for _, b in CELLS], table)]
    found = mcnemar(*right)
    assert (found.only_first, found.only_second) == (table[1], table[2])
    assert found.p_value == pytest.approx(reference_mcnemar(np.reshape(table, (2, 2)), exact=True).pvalue)


CELLS = ((True, True), (True, False), (False, True), (False, False))


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """What Holm's steps shorten: every set of pairs that holds the pair must be rejected, each by Bonferroni's rule."""
    pairs = range(len(p_values))
    groups = [group for size in range(1, len(p_values) + 1) for group in combinations(pairs, size)]
    bonferroni = {group: min(1.0, len(group) * min(p_values[pair] for pair in group)) for group in groups}
    expected = [max(p for group, p in bonferroni.items() if pair in group) for pair in pairs]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_by_hand_and_by_statsmodels() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    p_values = [0.004, 0.6, 0.0001, 0.04, 0.04, 0.9]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), speakers=st.integers(1, 6))
def test_the_order_of_clips_names_and_classes_does_not_matter(seed: int, speakers: int) -> None:
    probabilities, labels, names = made(seed, speakers, good=0.7, other=0.55, poor=0.5)
    rng = np.random.default_rng(seed)
    clips, classes = rng.permutation(len(labels)), rng.permutation(CLASSES)
    found = compare_all(TARGET, probabilities, labels, names, resamples=50)
    shuffled = {name: probabilities[name][:, clips][:, :, classes] for name in reversed(probabilities)}
    again = compare_all(TARGET, shuffled, np.argsort(classes)[labels[clips]], names[clips], resamples=50)
    if len({round(own.argmax(axis=2).__eq__(labels).mean(), 9) for own in probabilities.values()}) == 3:  # no ties
        assert [(each.first, each.second) for each in again] == [(each.first, each.second) for each in found]
        assert [each.difference.value for each in again] == pytest.approx([each.difference.value for each in found])
        assert [each.p_holm for each in again] == pytest.approx([each.p_holm for each in found], nan_ok=True)
    for each in found:
        assert 0 <= each.difference.value <= 1
        assert each.tested == (speakers > 1)
        assert each.difference.p_value <= each.p_holm <= 1 or not each.tested
        assert each.mcnemar.p_value <= each.mcnemar_p_holm <= 1
        inside = each.difference.interval.low <= 0  # False for NaN
        assert inside == (each.difference.p_value >= 0.05) or math.isnan(each.difference.interval.low)


def test_a_model_does_not_beat_itself() -> None:
    probabilities, labels, names = made(1, one=0.6)
    (found,) = compare_all(TARGET, {"one": probabilities["one"], "same": probabilities["one"]}, labels, names)
    assert (found.difference.value, found.p_holm, found.shown) == (0, 1, False)
    assert math.isnan(found.difference.interval.low)
    assert found.mcnemar == McNemar(0, 0, 1.0)


def test_one_speaker_cannot_be_tested() -> None:
    probabilities, labels, names = made(1, speakers=1, one=0.6, other=0.3)
    (found,) = compare_all(TARGET, probabilities, labels, names)
    assert math.isnan(found.difference.p_value)
    assert math.isnan(found.p_holm)
    assert (found.tested, found.shown) == (False, False)
    points = f"{100 * found.difference.value:.1f}"
    assert verdict(found) == f"one beats other by {points} points (one test speaker): cannot be tested"
    (same,) = compare_all(TARGET, {"one": probabilities["one"], "same": probabilities["one"]}, labels, names)
    assert verdict(same) == "one and same score alike (one test speaker): cannot be tested"


@pytest.mark.parametrize(("speakers", "p_value"), [(2, 0.5), (3, 0.25)])
def test_speakers_who_all_differ_alike_count_by_their_signs(speakers: int, p_value: float) -> None:
    labels, names = corpus(speakers)
    right = np.ones((1, len(labels)), dtype=bool)
    almost = right.copy()
    almost[:, :: CLASSES * 6] = False  # a clip of every speaker
    (found,) = compare_all(TARGET, {"right": told(right, labels), "almost": told(almost, labels)}, labels, names)
    assert found.difference.value == pytest.approx(1 / 24)
    assert found.difference.p_value == p_value
    assert math.isnan(found.difference.interval.high)


def test_shapes_that_do_not_fit_are_refused() -> None:
    labels, names = corpus(2)
    with pytest.raises(ValueError, match=r"got \(48, 4\) of 'flat', 48 labels and 48 speakers"):
        compare_all(TARGET, {"flat": told(np.ones(48, dtype=bool), labels)}, labels, names)
    with pytest.raises(ValueError, match=r"got \(1, 47, 4\) of 'short'"):
        compare_all(TARGET, {"short": told(np.ones((1, 48), dtype=bool), labels)[:, 1:]}, labels, names)


@pytest.mark.parametrize("speakers", [2, 4, 24])
def test_equal_classifiers_are_rarely_told_apart(speakers: int) -> None:
    """Two classifiers, each of which suits some speakers better, are equal over all speakers: 5 % at most may differ.

    McNemar's test, which takes clips for independent, finds a difference far more often.
    """
    rng, repetitions = np.random.default_rng(speakers), 400
    labels, names = corpus(speakers, clips=15)
    found = clips_alone = 0
    for repetition in range(repetitions):
        skill, lean = rng.uniform(0.4, 0.7, speakers), rng.normal(0, 0.1, speakers)
        luck = rng.random(len(labels))  # clips that are hard for one are hard for the other
        both = {
            name: told(
                (np.where(rng.random(len(labels)) < 0.5, luck, rng.random(len(labels))) < own[names])[None], labels
            )
            for name, own in (("one", skill + lean), ("two", skill - lean))
        }
        (each,) = compare_all(TARGET, both, labels, names, resamples=300, seed=repetition)
        found += each.difference.p_value < 0.05
        clips_alone += each.mcnemar.p_value < 0.05
    assert found / repetitions < 0.085  # three standard errors of 400 repetitions above 5 %
    assert clips_alone / repetitions > 0.15
