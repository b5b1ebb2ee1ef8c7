"""One space of several architectures: names are qualified, and each architecture's part is what it was alone."""

from __future__ import annotations

import pytest

from spaces import space_for
from spaces.knobs import Choice, Float, Int, Space, When
from spaces.several import (
    ARCHITECTURE,
    architectures_in,
    choice_of,
    chosen_settings,
    chosen_with,
    for_choice,
    is_choice,
    joined,
    named_architectures,
    own_space,
    parts_of,
)

SMALL = Space(
    knobs={
        "optim.optimizer": Choice(values=("adam", "adamw")),
        "optim.weight_decay": Float(low=0.1, high=0.2, when=When(name="optim.optimizer", values=("adamw",))),
    },
    first=({"optim.optimizer": "adam"}, {"optim.optimizer": "adamw", "optim.weight_decay": 0.1}),
)
OTHER = Space(knobs={"optim.weight_decay": Float(low=1.0, high=2.0), "model.width": Int(low=1, high=3)})


def test_every_knob_is_active_under_its_own_architecture_alone() -> None:
    space = joined({"small": SMALL, "other": OTHER})
    other = {ARCHITECTURE: "other"}
    assert [name for name in space.knobs if space.active(name, other)] == [
        ARCHITECTURE, "other/optim.weight_decay", "other/model.width"
    ]  # fmt: skip
    small = {ARCHITECTURE: "small", "small/optim.optimizer": "adamw"}
    assert [name for name in space.knobs if space.active(name, small)] == [
        ARCHITECTURE, "small/optim.optimizer", "small/optim.weight_decay"
    ]  # fmt: skip
    assert not space.active("small/optim.weight_decay", {**small, "small/optim.optimizer": "adam"})


def test_the_recipes_come_first_one_of_each() -> None:
    space = joined({"small": SMALL, "mlp": space_for("mlp")})
    assert [choice_of(params) for params in space.first] == ["small", "mlp", "small"]
    assert space.first[0] == {ARCHITECTURE: "small", "small/optim.optimizer": "adam"}


@pytest.mark.parametrize("name", ["ast", "mlp", "shallow_cnn"])
def test_its_part_of_a_joined_space_is_the_space_that_an_architecture_has_alone(name: str) -> None:
    alone = space_for(name)
    space = joined({"small": SMALL, name: alone})
    assert own_space(name, space) == alone
    assert architectures_in(space) == ("small", name)
    assert parts_of("auto", space, {"small/seed": 1, f"{name}/seed": 2})[name] == (alone, {"seed": 2})
    assert parts_of(name, alone, {"seed": 2}) == {name: (alone, {"seed": 2})}


def test_a_configuration_that_chose_has_the_settings_of_its_architecture_under_their_own_names() -> None:
    params = {**chosen_with("small", {"optim.optimizer": "adam"}), "other/optim.weight_decay": 1.5}
    assert chosen_settings(params) == {ARCHITECTURE: "small", "optim.optimizer": "adam"}
    assert chosen_settings({"optim.optimizer": "adam"}) == {"optim.optimizer": "adam"}
    assert for_choice({"small": 3, "other": 4}, params) == 3
    assert for_choice(5, params) == for_choice(5, {}) == 5


def test_names_of_a_choice_are_those_behind_its_colon() -> None:
    assert named_architectures("auto:mlp, shallow_cnn,mlp") == ("mlp", "shallow_cnn")
    assert named_architectures("auto") == named_architectures("mlp") == ()
    assert [is_choice(model) for model in ("auto", "auto:mlp,ast", "mlp")] == [True, True, False]
