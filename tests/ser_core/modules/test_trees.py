"""Trees as arrays: they say what scikit-learn's say, bit by bit, whatever size of state they are given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier
from torch import Tensor

from ser_core.modules.trees import Tree, TreeSums

STUMP = Tree(np.array([1, -2, -2]), np.array([0.5, -2.0, -2.0]), np.array([1, -1, -1]), np.array([2, -1, -1]),
             np.array([0.0, 10.0, 20.0]))  # fmt: skip
LEAF = Tree(np.array([-2]), np.array([-2.0]), np.array([-1]), np.array([-1]), np.array([3.0]))


def of(classifier: GradientBoostingClassifier) -> TreeSums:
    sums = TreeSums(classifier.estimators_.shape[1])
    rate = classifier.learning_rate
    sums.grow(
        [
            [
                Tree(each.feature, each.threshold, each.children_left, each.children_right, rate * each.value[:, 0, 0])
                for each in (estimator.tree_ for estimator in trees)
            ]
            for trees in classifier.estimators_
        ]
    )
    return sums


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("settings", [{"max_depth": 1}, {"max_depth": 4, "subsample": 0.6}, {"max_depth": None}])
def test_the_sums_are_scikit_learns_bit_by_bit(classes: int, settings: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 9)).astype(np.float32), rng.integers(0, classes, 200)
    other = np.concatenate([rng.normal(size=(300, 9)), 1e6 * rng.normal(size=(20, 9))]).astype(np.float32)
    classifier = GradientBoostingClassifier(init="zero", n_estimators=12, random_state=0, **settings).fit(x, y)
    expected = classifier.decision_function(other).reshape(320, -1)
    assert np.array_equal(of(classifier)(torch.from_numpy(other)).numpy(), expected)


def test_a_clip_on_a_threshold_goes_left_as_in_scikit_learn() -> None:
    sums = TreeSums(1)
    sums.grow([[STUMP], [LEAF]])
    on_and_beside = torch.tensor([[9.0, 0.5], [9.0, np.nextafter(np.float32(0.5), np.float32(1))], [9.0, 0.25]])
    assert sums(on_and_beside).tolist() == [[13.0], [23.0], [13.0]]
    assert sums.steps == 1


def test_without_trees_every_sum_is_zero() -> None:
    assert TreeSums(3)(torch.randn(4, 2)).tolist() == [[0.0] * 3] * 4


def test_a_state_with_more_or_fewer_trees_is_taken_whole() -> None:
    large, small = TreeSums(2), TreeSums(2)
    large.grow([[STUMP, LEAF], [LEAF, STUMP]])
    small.grow([[LEAF, LEAF]])
    x = torch.randn(6, 2)
    states = [{name: tensor.clone() for name, tensor in sums.state_dict().items()} for sums in (large, small)]
    outputs = [large(x), small(x)]
    large.load_state_dict(states[1])
    small.load_state_dict(states[0])
    assert torch.equal(large(x), outputs[1])
    assert torch.equal(small(x), outputs[0])
    assert (large.steps, small.steps) == (0, 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state["left"].fill_(99),
        lambda state: state["roots"].fill_(-1),
        lambda state: state["right"][-1:].fill_(0),
        lambda state: state.update(value=state["value"][:-1]),
        lambda state: state.update(roots=state["roots"][:, :1]),
    ],
)
def test_a_state_that_is_no_trees_is_refused(spoil: Callable[[dict[str, Tensor]], object]) -> None:
    sums = TreeSums(2)
    sums.grow([[STUMP, LEAF]])
    state = {name: tensor.clone() for name, tensor in sums.state_dict().items()}
    spoil(state)
    with pytest.raises(RuntimeError, match="no rounds of 2 trees"):
        TreeSums(2).load_state_dict(state)


def test_a_question_about_a_value_that_no_clip_has_is_refused() -> None:
    sums = TreeSums(1)
    sums.grow([[STUMP]])
    with pytest.raises((IndexError, RuntimeError), match="index 1 is out of bounds"):
        sums(torch.zeros(3, 1))
