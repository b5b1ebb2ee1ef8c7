"""Projected ends of made curves."""

import math

import numpy as np
import pytest

from search.study.curve_gp.projection import PAIRS, SLOPE, Step, checkpoints, projected, score

NAN = math.nan


def test_a_score_is_the_mean_of_the_best_third_of_three_epochs_at_least() -> None:
    assert score([0.1, 0.5, 0.3, 0.4]) == pytest.approx(0.4)
    assert score([0.2, NAN]) == pytest.approx(0.2)
    assert score([*[0.1] * 8, 0.9, 0.8, 0.7, 0.6]) == pytest.approx(0.75)
    assert score([0.1, 0.5, 0.3, 0.4], 4) == pytest.approx(0.4)
    assert score([0.1, 0.5, 0.3, 0.4, 0.7, 0.7, 0.7, 0.6], 4) == 0.6  # over two folds
    assert math.isnan(score([NAN]))
    assert math.isnan(score([]))


def test_checkpoints_are_where_early_stopping_ended_trials_and_the_end() -> None:
    stopped = np.array([3] * 5 + [9] * 3 + [4] * 2 + [27] * 4)
    assert checkpoints(stopped, np.array([27, 26])) == [3, 9, 27]
    assert checkpoints(stopped, np.array([])) == [3, 9, 27]
    assert checkpoints(np.array([2, 3]), np.array([])) == [3]
    assert checkpoints(np.array([]), np.array([])) == []


def test_there_are_no_more_checkpoints_than_a_proposal_can_afford() -> None:
    stopped = np.repeat(np.arange(1, 60), np.arange(1, 60) + 2)
    assert checkpoints(stopped, np.array([80])) == [*range(49, 60), 80]


def made(trials: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores at three checkpoints of which two thirds of the trials reach no further each time, and all their ends."""
    rng = np.random.default_rng(seed)
    first = 0.4 + 0.1 * rng.normal(size=trials)
    second = 0.2 + 0.7 * first + 0.01 * rng.normal(size=trials)
    third = 0.1 + 0.9 * second + 0.02 * rng.normal(size=trials)
    whole = np.stack([first, second, third], axis=1)
    seen = whole.copy()
    seen[first < np.quantile(first, 2 / 3), 1:] = NAN
    seen[~(second > np.nanquantile(seen[:, 1], 2 / 3)), 2] = NAN
    return seen, whole[:, 2]


def test_projected_ends_are_the_true_ones_within_the_deviation_that_they_name() -> None:
    seen, ends = made(2000)
    means, variances = projected(seen)
    reached = ~np.isnan(seen[:, 2])
    np.testing.assert_array_equal(means[reached], ends[reached])
    assert (variances[reached] == 0).all()
    off = (means - ends)[~reached] / np.sqrt(variances[~reached])
    assert abs(off.mean()) < 0.3
    assert 0.7 < off.std() < 1.3
    early, later = np.isnan(seen[:, 1]), np.isnan(seen[:, 2]) & ~np.isnan(seen[:, 1])
    assert variances[early].min() > variances[later].max()


def test_few_pairs_leave_the_slope_near_what_is_assumed() -> None:
    before = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    after = np.array([NAN, NAN, NAN, NAN, 0.6])
    step = Step.fitted(before, after)
    assert step.slope == pytest.approx(SLOPE)
    assert step.intercept + step.slope * 0.5 == pytest.approx(0.6)
    assert step.variance == pytest.approx(PAIRS / (PAIRS + 1) * (1 - SLOPE**2) * before.var())
    unseen = Step.fitted(before, np.full(5, NAN))
    assert (unseen.slope, unseen.intercept, unseen.variance) == pytest.approx((1.0, 0.0, before.var()))


def test_trials_without_a_score_have_no_end_and_equal_scores_no_variance() -> None:
    means, variances = projected(np.array([[NAN, NAN], [0.5, NAN], [0.5, 0.6]]))
    assert np.isnan(means[0])
    assert np.isnan(variances[0])
    assert means[1:] == pytest.approx([0.6, 0.6])
    assert variances[1:] == pytest.approx([0.0, 0.0])
