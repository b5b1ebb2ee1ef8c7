"""Proposals follow from seed and study alone, keep away from what failed, and cost no more in a long study."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from search.study.curve_gp import memory as memory_module
from search.study.curve_gp import sampler as sampler_module
from search.study.curve_gp.memory import Memory, memory_of
from search.study.curve_gp.process import Posterior, fitted
from search.study.curve_gp.sampler import CurveGPSampler, expected_improvement, posterior_means
from search.study.samplers import CURVE_GP_RANDOM_SHARE, make_sampler, suggest
from spaces.knobs import Choice, Float, Int, Space, Value, When

SPACE = Space(
    knobs={
        "optim.optimizer": Choice(values=("adamw", "sgd")),
        "optim.learning_rate": Float(low=1e-5, high=1e-1, log=True),
        "optim.momentum": Float(low=0, high=0.99, when=When(name="optim.optimizer", values=("sgd",))),
        "model.width": Int(low=16, high=64, step=16),
    }
)
LINE = Space(knobs={"x": Float(low=0.0, high=1.0)})


def worth(params: dict[str, Value]) -> float:
    return (
        0.6
        - 0.1 * abs(math.log10(float(params["optim.learning_rate"])) + 2.5)
        + 0.1 * float(params.get("optim.momentum", 0.4))
    )


def end(study: optuna.Study, trial: optuna.Trial, value: float, rng: np.random.Generator) -> None:
    """A curve of 9 epochs, ended at a rung for most; some trials fail, some have epochs without a number."""
    stop = int(rng.choice([2, 4, 9], p=[0.5, 0.2, 0.3]))
    for epoch in range(2, stop + 1):  # one at work may have reported its first
        noisy = value * (1 - math.exp(-epoch / 3)) + 0.02 * rng.normal()
        trial.report(math.nan if rng.random() < 0.05 else noisy, epoch)
    if rng.random() < 0.1:
        trial.set_user_attr("reason", str(rng.choice(["out of memory: a", "diverged: b", "error KeyError: c"])))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value if stop == 9 else None, state=TrialState.COMPLETE if stop == 9 else TrialState.PRUNED)


def proposals(
    trials: int, workers: int, *, storage: Any = None, forget_at: tuple[int, ...] = ()
) -> list[dict[str, Value]]:
    """What a search proposes whose trials end out of order; at `forget_at` another process takes over."""
    rng, found = np.random.default_rng(0), []
    storage = storage or optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="one", storage=storage, direction="maximize")
    running: list[tuple[optuna.Trial, float]] = []
    for number in range(trials):
        if number in forget_at:
            study = optuna.load_study(study_name="one", storage=storage)
        study.sampler = CurveGPSampler(seed=number, space=SPACE)
        trial = study.ask()
        found.append(suggest(trial, SPACE))
        running.append((trial, worth(found[-1])))
        for waiting, value in running:  # what is at work has reported something
            reported = study._storage.get_trial(waiting._trial_id).intermediate_values
            if rng.random() < 0.5 and not reported:
                waiting.report(0.3 * value, 1)
        while len(running) >= workers and rng.random() < 0.95:
            end(study, *running.pop(int(rng.integers(len(running)))), rng)
    return found


def test_another_process_that_takes_over_proposes_the_same() -> None:
    assert proposals(60, 4) == proposals(60, 4, forget_at=(7, 8, 17, 33, 46, 59))


def test_conditions_hold_and_values_lie_in_the_space() -> None:
    for params in proposals(30, 3):
        assert ("optim.momentum" in params) == (params["optim.optimizer"] == "sgd")
        assert all(SPACE.knobs[name].accepts(value) for name, value in params.items())


def test_half_of_the_proposals_are_left_to_chance() -> None:
    kinds = [type(make_sampler("curve-gp", seed=5, number=number, space=SPACE)) for number in range(900)]
    assert set(kinds) == {RandomSampler, CurveGPSampler}
    assert kinds.count(RandomSampler) / len(kinds) == pytest.approx(CURVE_GP_RANDOM_SHARE, abs=0.05)


def study_on_a_line(places: np.ndarray, *, bad: float = 2.0, reason: str = "") -> optuna.Study:
    """Complete trials whose value is highest at x = 0.7; those above `bad` have failed."""
    study = optuna.create_study(direction="maximize")
    for x in places:
        study.enqueue_trial({"x": float(x)})
        trial = study.ask()
        suggest(trial, LINE)
        if x > bad:
            trial.set_user_attr("reason", reason)
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, 1 - (x - 0.7) ** 2)
    return study


def proposed(study: optuna.Study, seeds: int = 12) -> list[float]:
    """What is proposed next, by many seeds; none of it is kept as a trial's score."""
    found = []
    for seed in range(seeds):
        study.sampler = CurveGPSampler(seed=seed, space=LINE)
        trial = study.ask()
        found.append(float(suggest(trial, LINE)["x"]))
        study.tell(trial, state=TrialState.FAIL)
    return found


def test_proposals_lie_where_the_best_is() -> None:
    near = proposed(study_on_a_line(np.linspace(0, 1, 25)))
    assert np.abs(np.array(near) - 0.7).max() < 0.2


@pytest.mark.parametrize(
    ("reason", "avoided"), [("out of memory: x", True), ("diverged: x", True), ("error: x", False)]
)
def test_where_a_configuration_made_trials_fail_is_the_worst_there_is(reason: str, avoided: bool) -> None:
    near = proposed(study_on_a_line(np.linspace(0, 1, 25), bad=0.62, reason=reason))
    assert (max(near) < 0.68) == avoided


def test_workers_are_sent_to_different_places() -> None:
    study = study_on_a_line(np.linspace(0, 1, 6))
    found = []
    for number in range(6):  # none of them ends
        study.sampler = CurveGPSampler(seed=number, space=LINE)
        found.append(float(suggest(study.ask(), LINE)["x"]))
    alone = proposed(study_on_a_line(np.linspace(0, 1, 6)), seeds=6)
    assert np.ptp(found) > np.ptp(alone)


def test_a_lucky_trial_ranks_behind_good_ones_that_agree() -> None:
    """The posterior mean leans on neighbours; the best score does not."""
    study = study_on_a_line(np.concatenate([np.linspace(0.6, 0.8, 15), np.linspace(0.0, 0.3, 15)]))
    study.enqueue_trial({"x": 0.15})
    trial = study.ask()
    suggest(trial, LINE)
    study.tell(trial, 1.02)
    means = posterior_means(study, LINE)
    assert max(study.trials, key=lambda trial: trial.value or 0.0).number == 30
    assert 0.6 < study.trials[max(means, key=lambda number: means[number])].params["x"] < 0.8
    assert sorted(means) == list(range(31))
    assert means[7] == pytest.approx(1.0, abs=0.05)


def test_a_study_that_tells_nothing_yet_has_no_posterior_and_gets_random_proposals() -> None:
    study = study_on_a_line(np.linspace(0, 1, 3))
    assert posterior_means(study, LINE) == {}
    assert np.ptp(proposed(study)) > 0.5


def test_a_study_that_minimises_is_refused() -> None:
    study = optuna.create_study(direction="minimize", sampler=CurveGPSampler(seed=0, space=LINE))
    with pytest.raises(ValueError, match="curve-gp proposes for studies that maximise"):
        suggest(study.ask(), LINE)


def test_hyperparameters_are_fitted_when_trials_have_grown_by_half_and_of_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fits: list[int] = []
    sizes: list[tuple[int, int]] = []

    def counted(points: np.ndarray, *rest: np.ndarray) -> Any:
        fits.append(len(points))
        return fitted(points, *rest)

    class Sized(Posterior):
        def __init__(self, scales: Any, points: np.ndarray, *rest: Any) -> None:
            sizes.append((len(points), len(rest[-1])))
            super().__init__(scales, points, *rest)

    monkeypatch.setattr(sampler_module, "fitted", counted)
    monkeypatch.setattr(sampler_module, "Posterior", Sized)
    monkeypatch.setattr(sampler_module, "MOST_FITTED", 30)
    monkeypatch.setattr(sampler_module, "MOST_POINTS", 40)
    study = study_on_a_line(np.linspace(0, 1, 9))
    rng = np.random.default_rng(0)
    for number in range(9, 120):
        study.sampler = CurveGPSampler(seed=number, space=LINE)
        trial = study.ask()
        study.tell(trial, 1 - (float(suggest(trial, LINE)["x"]) - 0.7) ** 2 + 0.1 * rng.normal())
    assert fits == [10, 15, 23, 30, 30, 30]
    assert max(sizes) == (40, 0)


def test_scores_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proposal in a long study costs does not include its history."""
    calls = 0

    def counted(values: Any, fold_epochs: int) -> float:
        nonlocal calls
        calls += 1
        return float(np.mean(values))

    monkeypatch.setattr(memory_module, "score", counted)
    study = study_on_a_line(np.linspace(0, 1, 50))
    memory_of(study, LINE, 0).projections(50)
    memory_of(study, LINE, 0).projections(50)
    assert calls == 50


def test_the_best_are_all_taken_of_many_and_of_the_others_some_from_everywhere() -> None:
    means = np.arange(1000.0)
    means[::2] = math.nan
    numbers = sampler_module._thinned(means, 90)
    assert len(numbers) == len(set(numbers)) == 90
    assert set(range(941, 1000, 2)) <= set(numbers)
    assert (np.diff(numbers[numbers < 940]) <= 18).all()
    assert numbers[0] == 1


def test_expected_improvement_is_the_mean_of_what_exceeds_the_best() -> None:
    rng = np.random.default_rng(0)
    drawn = 0.3 + 0.5 * rng.normal(size=400_000)
    found = expected_improvement(np.array([0.3, 0.3]), np.array([0.5, 0.0]), 0.6)
    assert found[0] == pytest.approx(np.maximum(drawn - 0.6, 0).mean(), rel=0.02)
    assert found[1] == 0.0


def test_a_trial_that_never_had_a_number_counts_as_bad() -> None:
    study = study_on_a_line(np.linspace(0, 1, 8))
    trial = study.ask()
    suggest(trial, LINE)
    trial.report(math.nan, 1)
    study.tell(trial, state=TrialState.PRUNED)
    memory = memory_of(study, LINE, 0)
    means, variances = memory.projections(9)
    assert isinstance(memory, Memory)
    assert (means[8], variances[8]) == (means[:8].min(), 0.0)
