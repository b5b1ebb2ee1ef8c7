"""One temperature for all classes: found where the cross entropy is least, and no order changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import log_loss

from ser_core.metrics.temperature import LEAST, MOST, fitted_temperature


def drawn(temperature: float, clips: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose labels are drawn from their softmax over `temperature`."""
    rng = np.random.default_rng(0)
    scores = 3 * rng.normal(size=(clips, 4))
    sums = softmax(scores / temperature, axis=1).cumsum(axis=1)
    return scores, (rng.random((clips, 1)) > sums).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_finds_the_temperature_that_the_labels_were_drawn_with(temperature: float) -> None:
    assert fitted_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


@given(st.integers(0, 1_000))
def test_no_other_temperature_has_less_cross_entropy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(30, 3)), np.arange(30) % 3
    scores[np.arange(30), labels] += rng.uniform(0, 2)
    found = fitted_temperature(scores, labels)

    def loss(temperature: float) -> float:
        return float(log_loss(labels, softmax(scores / temperature, axis=1)))

    if LEAST * 2 < found < MOST / 2:
        assert loss(found) <= min(loss(0.95 * found), loss(1.05 * found))


def test_scores_that_are_always_right_become_sure_and_those_that_are_always_wrong_say_nothing() -> None:
    labels = np.arange(9) % 3
    assert LEAST <= fitted_temperature(np.eye(3)[labels], labels) < 0.05
    assert fitted_temperature(-np.eye(3)[labels], labels) > MOST / 2
