"""Successive halving by hand-worked rungs and by properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from search.run_folder.rungs import default_grace_epochs, find_grace_epochs, rung_epochs
from search.study.asha import Asha


def test_rungs_lie_below_the_budget() -> None:
    assert rung_epochs(40, 8, 3) == (8, 24)
    assert rung_epochs(81, 1, 3) == (1, 3, 9, 27)
    assert rung_epochs(5, 5, 3) == ()
    assert rung_epochs(10, 1, 1.4) == (1, 2, 3, 4, 5, 8)


def test_default_grace_is_a_fifth_of_the_budget() -> None:
    assert [default_grace_epochs(epochs) for epochs in (1, 5, 6, 40)] == [1, 1, 2, 8]


def test_goes_on_while_too_few_to_judge_then_the_best_third() -> None:
    asha = Asha(max_epochs=9, grace_epochs=3, reduction=3)
    assert [asha.stops(trial, 3, best) for trial, best in enumerate([0.1, 0.2])] == [False, False]
    assert asha.stops(2, 3, 0.15)  # third of three, one goes on
    assert not asha.stops(3, 3, 0.3)
    assert asha.stops(4, 3, 0.2)  # second of five
    assert not asha.stops(5, 3, 0.25)  # second of six, two go on
    assert asha.rungs == {3: {0: 0.1, 1: 0.2, 2: 0.15, 3: 0.3, 4: 0.2, 5: 0.25}}


def test_ties_with_the_last_good_one_go_on() -> None:
    asha = Asha(max_epochs=9, grace_epochs=3, reduction=3)
    assert [asha.stops(trial, 3, 0.5) for trial in range(6)] == [False] * 6


def test_nan_ranks_last_and_never_goes_on_once_judged() -> None:
    asha = Asha(max_epochs=9, grace_epochs=3, reduction=2)
    assert not asha.stops(0, 3, math.nan)
    assert asha.stops(1, 3, math.nan)
    assert not asha.stops(2, 3, 0.01)


def test_epochs_between_rungs_and_the_last_one_decide_nothing() -> None:
    asha = Asha(max_epochs=9, grace_epochs=3, reduction=3)
    assert not any(asha.stops(trial, epoch, 0.0) for trial in range(9) for epoch in (1, 2, 4, 5, 9))
    assert asha.rungs == {3: {}}


def test_telling_a_rung_twice_changes_nothing() -> None:
    asha = Asha(max_epochs=9, grace_epochs=3, reduction=2)
    asha.stops(0, 3, 0.9)
    assert asha.stops(1, 3, 0.1)
    assert not asha.stops(1, 3, 0.95)  # a second telling is no new verdict
    assert asha.rungs[3] == {0: 0.9, 1: 0.1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((9, 0, 3), "grace epochs must be at least 1; got 0"), ((9, 1, 1), "reduction must be above 1; got 1")],
)
def test_bounds_are_checked(arguments: tuple[int, int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Asha(*arguments)


@given(
    st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=60),
    st.sampled_from([2, 3, 4]),
)
def test_whoever_is_best_so_far_goes_on_and_the_rest_is_bounded(values: list[float], reduction: int) -> None:
    asha = Asha(max_epochs=9, grace_epochs=3, reduction=reduction)
    for number, value in enumerate(values):
        stopped = asha.stops(number, 3, value)
        seen = values[: number + 1]
        if math.isnan(value):
            assert stopped == (len(seen) >= reduction)
        elif value >= max(v for v in seen if not math.isnan(v)):
            assert not stopped
        elif len(seen) >= reduction:
            better = sum(v > value for v in seen)
            assert stopped == (better >= max(1, len(seen) // reduction))


def test_without_a_first_rung_nobody_stops_until_it_is_placed() -> None:
    asha = Asha(max_epochs=9, grace_epochs=None, reduction=2)
    assert not any(asha.stops(trial, epoch, 1.0 - trial) for trial in range(5) for epoch in range(1, 10))
    asha.place_rungs(2)
    assert list(asha.rungs) == [2, 4, 8]


def test_the_first_rung_is_found_where_the_ranking_settles() -> None:
    # Final order 0 < 1 < 2 < 3. Epoch 1 agrees by luck, epoch 2 is upside down, from epoch 3 on all agree.
    curves = [[0.1 * n, 0.5 - 0.1 * n, 0.6 + 0.1 * n, 0.7 + 0.1 * n, 0.8 + 0.1 * n] for n in range(4)]
    curves = [[c[0], c[1] + 0.1, *c[2:]] for c in curves]
    assert find_grace_epochs(curves, 5) == (3, pytest.approx(1.0))


def test_no_first_rung_is_found_where_only_the_end_decides() -> None:
    curves = [[0.3 - 0.1 * n] * 4 + [0.5 + 0.1 * n] for n in range(4)]
    epoch, agreement = find_grace_epochs(curves, 5)
    assert epoch == 5
    assert math.isnan(agreement)


def test_trials_that_are_all_alike_have_no_ranking() -> None:
    epoch, agreement = find_grace_epochs([[0.5] * 5] * 10, 5)
    assert (epoch, math.isnan(agreement)) == (5, True)


def test_nan_epochs_and_early_ends_take_part() -> None:
    curves = [[math.nan, 0.1 * n, 0.2 * n][: 3 if n else 2] for n in range(5)]
    assert find_grace_epochs(curves, 3) == (2, pytest.approx(1.0))


@given(st.lists(st.lists(st.floats(0, 1), min_size=6, max_size=6), min_size=3, max_size=12))
def test_the_found_rung_agrees_with_the_end_and_so_does_every_later_epoch(curves: list[list[float]]) -> None:
    epoch, agreement = find_grace_epochs(curves, 6)
    assert 1 <= epoch <= 6
    best = np.maximum.accumulate(np.array(curves), axis=1)
    if epoch < 6:
        assert agreement >= 0.6
        assert all(spearmanr(best[:, e], best[:, -1]).statistic >= 0.6 for e in range(epoch - 1, 5))
    if epoch > 1 and np.ptp(best[:, epoch - 2]) > 0 and np.ptp(best[:, -1]) > 0:
        assert not spearmanr(best[:, epoch - 2], best[:, -1]).statistic >= 0.6
