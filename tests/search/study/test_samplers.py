"""Every sampler keeps to the space, and proposes by seed, number and history alone."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import RandomSampler

from search.driver.space import parse_knob
from search.run_folder.plan import SAMPLER_NAMES
from search.study.samplers import RANDOM_SHARE, SAMPLERS, make_sampler, suggest
from search.study.tpe import RememberingTPESampler
from spaces.knobs import Choice, Float, Int, Knob, Space, Value, When

SPACE = Space(
    knobs={
        "optim.optimizer": Choice(values=("adamw", "adam")),
        "optim.learning_rate": Float(low=1e-5, high=1e-1, log=True),
        "optim.weight_decay": Float(low=0, high=0.1, when=When(name="optim.optimizer", values=("adamw",))),
        "model.width": Int(low=16, high=64, step=16),
        "augment.time_masks": Int(low=0, high=3),
    }
)


def test_a_plan_knows_every_sampler_by_name() -> None:
    assert tuple(SAMPLERS) == SAMPLER_NAMES


def run(sampler: str, seed: int, trials: int) -> list[dict[str, Value]]:
    study = optuna.create_study(direction="maximize")
    found = []
    for number in range(trials):
        study.sampler = make_sampler(sampler, seed, number, SPACE)
        trial = study.ask()
        params = suggest(trial, SPACE)
        found.append(params)
        study.tell(trial, -abs(float(params["optim.learning_rate"]) - 0.01))
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_value_lies_in_the_space_and_conditions_hold(sampler: str) -> None:
    for params in run(sampler, seed=3, trials=14):
        assert all(SPACE.knobs[name].accepts(value) for name, value in params.items())
        assert ("optim.weight_decay" in params) == (params["optim.optimizer"] == "adamw")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_proposes_the_same_and_another_does_not(sampler: str) -> None:
    assert run(sampler, 3, 13) == run(sampler, 3, 13)
    assert run(sampler, 3, 13) != run(sampler, 4, 13)


def test_a_third_of_the_proposals_of_tpe_is_left_to_chance() -> None:
    kinds = [type(make_sampler("tpe", seed=5, number=number, space=SPACE)) for number in range(900)]
    assert set(kinds) == {RandomSampler, RememberingTPESampler}
    assert kinds.count(RandomSampler) / len(kinds) == pytest.approx(RANDOM_SHARE, abs=0.05)


def test_unknown_samplers_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown sampler 'grid'; known: tpe, curve-gp, gp, random, cmaes"):
        make_sampler("grid", 0, 0, SPACE)


@pytest.mark.parametrize(
    ("text", "old", "knob"),
    [
        ("1e-5:1e-3:log", None, Float(low=1e-5, high=1e-3, log=True)),
        ("0:1", Float(low=0, high=2), Float(low=0.0, high=1.0)),
        ("16:64", None, Int(low=16, high=64)),
        ("16:64:log", None, Int(low=16, high=64, log=True)),
        ("1e-5:1e-3", Float(low=1e-6, high=1e-2, log=True), Float(low=1e-5, high=1e-3, log=True)),
        ("1e-5:1e-3:linear", Float(low=1e-6, high=1e-2, log=True), Float(low=1e-5, high=1e-3)),
        ("8:64", Int(low=4, high=512, log=True), Int(low=8, high=64, log=True)),
        ("16:48", Int(low=16, high=64, step=8), Int(low=16, high=48, step=8)),
        ("16:17", Int(low=16, high=64, step=8), Int(low=16, high=17)),
        ("16,32", None, Choice(values=(16, 32))),
        ("adam,adamw", None, Choice(values=("adam", "adamw"))),
        ("true,false", None, Choice(values=(True, False))),
        ("0.5", None, Choice(values=(0.5,))),
    ],
)
def test_knobs_from_the_command_line(text: str, old: Knob | None, knob: Knob) -> None:
    assert parse_knob(text, old) == knob


@pytest.mark.parametrize("text", ["1:2:lin", "a:b", "5:1", "0:1:log", "", "1:2:log:3"])
def test_knobs_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"got|range"):
        parse_knob(text, None)


@given(st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_float_range_survives_its_text(low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert parse_knob(f"{low}:{high}:log", None) in (
        Float(low=low, high=high, log=True),
        Int(low=int(low), high=int(high), log=True) if low == high == 1 else None,
    )
