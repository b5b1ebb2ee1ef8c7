"""Configurations as points: values come back, conditions hold, and distances are those of the knobs."""

import numpy as np
import pytest

from search.study.curve_gp.places import Places
from spaces.knobs import Choice, Float, Int, Space, When

SPACE = Space(
    knobs={
        "model": Choice(values=("mlp", "cnn", True, 1)),
        "width": Int(low=16, high=64, step=16, when=When(name="model", values=("mlp",))),
        "depth": Int(low=1, high=64, log=True),
        "dropout": Float(low=0.0, high=0.5, when=When(name="width", values=(32, 64))),
        "rate": Float(low=1e-5, high=1e-1, log=True),
        "fixed": Int(low=3, high=3),
    }
)
PLACES = Places(SPACE)


def test_drawn_configurations_lie_in_the_space_hold_its_conditions_and_come_back() -> None:
    rng = np.random.default_rng(0)
    rows = PLACES.drawn(rng, 400)
    near = PLACES.near(rng, rows)
    for row in (*rows, *near):
        params = PLACES.params(row)
        assert {name for name in SPACE.knobs if SPACE.active(name, params)} == set(params)
        assert all(SPACE.knobs[name].accepts(value) for name, value in params.items())
        np.testing.assert_allclose(PLACES.of(params), row, atol=1e-12)


def test_every_value_of_a_whole_knob_is_drawn_as_often_as_another() -> None:
    rows = PLACES.drawn(np.random.default_rng(0), 4000)
    widths = [PLACES.params(row).get("width") for row in rows]
    counts = [widths.count(width) for width in (16, 32, 48, 64)]
    assert sum(counts) == sum(PLACES.params(row)["model"] == "mlp" for row in rows)
    assert min(counts) > 0.8 * max(counts)


def test_a_configuration_near_another_shares_about_half_of_its_values_and_lies_closer() -> None:
    rng = np.random.default_rng(0)
    start = PLACES.of({"model": "mlp", "width": 32, "depth": 8, "dropout": 0.25, "rate": 1e-3, "fixed": 3})
    near = PLACES.near(rng, np.repeat(start[None], 500, axis=0))
    assert 0.4 < (near[:, 4] == start[4]).mean() < 0.6
    assert np.abs(near[:, 4] - start[4]).mean() < 0.5 * np.abs(PLACES.drawn(rng, 500)[:, 4] - start[4]).mean()


def apart(one: dict, other: dict) -> float:
    points = PLACES.points(np.stack([PLACES.of(one), PLACES.of(other)]))
    return float(np.linalg.norm(points[0] - points[1]))


def test_two_values_of_a_choice_are_one_apart_and_the_ends_of_a_range_too() -> None:
    base = {"model": "cnn", "depth": 1, "rate": 1e-5, "fixed": 3}
    assert apart(base, {**base, "model": True}) == pytest.approx(1.0)
    assert apart({**base, "model": 1}, {**base, "model": True}) == pytest.approx(1.0)
    assert apart(base, {**base, "rate": 1e-1}) == pytest.approx(1.0)
    assert apart(base, {**base, "depth": 8}) == pytest.approx(0.5)


def test_knobs_that_are_active_in_neither_configuration_do_not_count() -> None:
    one, other = ({"model": "cnn", "depth": 8, "rate": rate, "fixed": 3} for rate in (1e-4, 1e-2))
    assert apart(one, other) == pytest.approx(0.5)
    assert PLACES.points(PLACES.of(one)[None]).shape == (1, len(PLACES.owner)) == (1, 9)
