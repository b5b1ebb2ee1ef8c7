"""The remembering TPE proposes exactly what Optuna's own does, but for what it does better."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from search.study.samplers import suggest
from search.study.tpe import MOST_OTHERS, RememberingTPESampler, _Memory
from spaces.knobs import Choice, Float, Int, Space, Value, When

SPACE = Space(
    knobs={
        "optim.optimizer": Choice(values=("adamw", "adam", "sgd")),
        "optim.learning_rate": Float(low=1e-5, high=1e-1, log=True),
        "optim.weight_decay": Float(low=0, high=0.1, when=When(name="optim.optimizer", values=("adamw",))),
        "optim.momentum": Float(low=0, high=0.99, when=When(name="optim.optimizer", values=("sgd",))),
        "model.width": Int(low=16, high=64, step=16),
        "model.depth": Int(low=1, high=64, log=True),
    }
)


def stock(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def remembering(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RememberingTPESampler(seed=seed)


def proposals(
    make: Callable[[int], BaseSampler], seed: int, trials: int, workers: int, direction: str, fresh: bool
) -> list[dict[str, Value]]:
    """What a search proposes whose trials end in all ways and out of order, some of them never."""
    rng = np.random.default_rng(seed)
    study = optuna.create_study(direction=direction)
    running: list[optuna.Trial] = []
    found = []
    sampler = make(seed)
    for number in range(trials):
        if number < 8:  # a start that costs nothing
            study.sampler = RandomSampler(seed=seed + number)
        else:
            study.sampler = make(seed + number) if fresh else sampler
        trial = study.ask()
        found.append(suggest(trial, SPACE))
        running.append(trial)
        while len(running) >= workers and rng.random() < 0.95:
            end(study, running.pop(int(rng.integers(len(running)))), rng)
    return found


def end(study: optuna.Study, trial: optuna.Trial, rng: np.random.Generator) -> None:
    """Values are coarse, so that some are equal; a pruned trial may have none, or NaN."""
    value = round(float(rng.random()), 1)
    for step in range(1, int(rng.integers(0, 4))):
        trial.report(math.nan if rng.random() < 0.1 else value + step, step)
    kind = rng.choice(["COMPLETE", "PRUNED", "FAIL"], p=[0.3, 0.6, 0.1])
    study.tell(trial, value if kind == "COMPLETE" else None, state=TrialState[kind])


@settings(max_examples=5)
@given(
    seed=st.integers(0, 10**6),
    trials=st.integers(12, 40),
    workers=st.integers(1, 5),
    direction=st.sampled_from(["maximize", "minimize"]),
    fresh=st.booleans(),
)
def test_it_proposes_what_optuna_does(seed: int, trials: int, workers: int, direction: str, fresh: bool) -> None:
    found = proposals(remembering, seed, trials, workers, direction, fresh)
    assert found == proposals(stock, seed, trials, workers, direction, fresh)


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), ended=st.integers(12, 40), at_work=st.integers(1, 30))
def test_a_trial_at_work_counts_as_if_it_were_pruned_now(seed: int, ended: int, at_work: int) -> None:
    """Optuna proposes the same once it is told so; trials that have reported nothing are liars to both."""
    found = []
    for make, prune in ((remembering, False), (stock, True)):
        rng = np.random.default_rng(seed)
        study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=seed))
        trials = [study.ask() for _ in range(ended + at_work)]
        for trial in trials:
            suggest(trial, SPACE)
        for trial in trials[:ended]:
            end(study, trial, rng)
        for trial in trials[ended:]:
            for step in range(1, int(rng.integers(1, 5))):
                trial.report(math.nan if rng.random() < 0.1 else float(rng.random()), step)
            if prune and study.trials[trial.number].intermediate_values:
                study.tell(trial, state=TrialState.PRUNED)
        study.sampler = make(seed)
        found.append(suggest(study.ask(), SPACE))
    assert found[0] == found[1]


def test_a_study_opened_again_gets_the_same_proposal() -> None:
    """Nothing that matters is lost with the study object: it is learnt anew from the trials."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="one", storage=storage, direction="maximize")
    rng = np.random.default_rng(0)
    for number in range(30):
        study.sampler = remembering(number)
        trial = study.ask()
        suggest(trial, SPACE)
        end(study, trial, rng)
    again = optuna.load_study(study_name="one", storage=storage)
    found = []
    for each in (study, again):
        each.sampler = remembering(99)
        trial = each.ask()
        found.append(suggest(trial, SPACE))
        each.tell(trial, state=TrialState.FAIL)
    assert found[0] == found[1]


def test_of_many_trials_the_best_are_all_taken_and_of_the_others_some_from_everywhere() -> None:
    study = optuna.create_study(direction="maximize")
    knob = optuna.distributions.FloatDistribution(0, 1)
    count = 3 * MOST_OTHERS
    study.add_trials([
        optuna.create_trial(value=float(n == 7), params={"x": n / count}, distributions={"x": knob})
        for n in range(count)
    ])  # fmt: skip
    memory = _Memory(study)
    memory.learn(study.trials)
    best = memory.best([])
    assert best[0] == 7
    below, above = memory.observations({"x": knob}, {}, best)
    assert sorted(below["x"] * count) == pytest.approx(sorted(best))
    numbers = (above["x"] * count).round().astype(int)
    assert len(numbers) == len(set(numbers)) == MOST_OTHERS
    assert not set(numbers) & set(best)
    assert (np.diff(numbers) <= 4).all()
    assert (numbers[0], numbers[-1]) == (min(set(range(count)) - set(best)), count - 1)


def test_a_list_of_trials_that_is_not_in_order_is_refused() -> None:
    study = optuna.create_study()
    study.add_trials([optuna.create_trial(value=float(v)) for v in range(2)])
    with pytest.raises(RuntimeError, match="trial at place 0 has number 1"):
        _Memory(study).learn(study.trials[::-1])


def test_a_trial_without_memory_counts_as_the_worst_and_other_failures_as_nothing() -> None:
    """Proposals keep away from where trials ran out of memory, which Optuna's own never hears of."""
    space = Space(knobs={"model.width": Float(low=0.0, high=1.0)})

    def proposed(reason: str) -> list[float]:
        study = optuna.create_study(direction="maximize")
        for number in range(60):
            study.sampler = RandomSampler(seed=number)
            trial = study.ask()
            width = float(suggest(trial, space)["model.width"])
            if width > 0.7:
                trial.set_user_attr("reason", reason)
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, width)  # the wider the better, up to where it fails
        found = []
        for seed in range(40):
            study.sampler = remembering(seed)
            trial = study.ask()
            found.append(float(suggest(trial, space)["model.width"]))
            study.tell(trial, state=TrialState.FAIL)
        return found

    warned, unwarned = proposed("out of memory: CUDA out of memory"), proposed("error ValueError: no")
    assert sum(width > 0.7 for width in warned) < sum(width > 0.7 for width in unwarned) / 2
