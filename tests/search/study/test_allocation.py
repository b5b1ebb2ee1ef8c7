"""Who gets the next trial of a search over several architectures: seconds, trials, and evidence decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest

from search.run_folder.prospect import ENOUGH_TRIALS
from search.run_folder.records import RunRecords, TrialRecord, TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.scoring import Scoring
from search.simulation.curve_tables import Curve
from search.study.allocation import LEAST_TRIALS, Allocation, Luck
from search.study.asha import Asha
from search.study.one_architecture import OneArchitectureSampler, OwnTrials
from search.study.samplers import SAMPLERS, make_sampler, suggest
from search.study.search import Search
from search.study.storage import open_study
from ser_core.named_scores import SCORES
from ser_core.training.report import EpochReport
from spaces.knobs import Choice, Float, Int, Space, Value
from spaces.several import ARCHITECTURE, choice_of, joined
from tests.search.simulated import simulated_search
from tests.search.study.searches import check_agreement, finish, make_search
from tests.search.study.test_recovery import Killed, kill_after

CHEAP = Space(
    knobs={"optim.learning_rate": Float(low=1e-3, high=1e-1, log=True), "model.width": Choice(values=(8, 16))},
    first=({"optim.learning_rate": 1e-2, "model.width": 8}, {"optim.learning_rate": 3e-2}),
)
DEAR = Space(
    knobs={"optim.learning_rate": Float(low=1e-4, high=1e-2, log=True), "model.layers": Int(low=1, high=3)},
    first=({"optim.learning_rate": 1e-3, "model.layers": 1},),
)
SPACE = joined({"cheap": CHEAP, "dear": DEAR})
EPOCHS = {"cheap": 9, "dear": 18}
LUCK = Luck(clips=200)


def ashas() -> dict[str, Asha]:
    return {name: Asha(epochs, epochs // 3, 3) for name, epochs in EPOCHS.items()}


def level(params: Mapping[str, Value]) -> Curve:
    """Both architectures are alike but for their cost: an epoch of the dear one takes ten times as long."""
    dear = params[ARCHITECTURE] == "dear"
    end = 0.5 + 0.02 * Random(repr(sorted(params.items()))).random()
    return Curve(params=params, val_uar=[end] * EPOCHS[str(params[ARCHITECTURE])], seconds=10.0 if dear else 1.0)


def unequal(params: Mapping[str, Value]) -> Curve:
    """The cheap one is thirty points below the other."""
    curve = level(params)
    lower = 0.3 if params[ARCHITECTURE] == "cheap" else 0.0
    return Curve(params=params, val_uar=[value - lower for value in curve.val_uar], seconds=curve.seconds)


def search(folder: Path, curve_of: Callable[[Mapping[str, Value]], Curve], **options: Any) -> RunRecords:
    folder.mkdir(exist_ok=True)
    given: dict[str, Any] = {"workers": 2, "trials": 30, "seed": 3, "luck": LUCK, **options}
    return simulated_search(folder, SPACE, curve_of, ashas(), **given)  # type: ignore[arg-type]


def seconds_of(records: RunRecords) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    for trial in records.trials.values():
        seconds[choice_of(trial.params)] += trial.train_seconds
    return dict(seconds)


def counts(records: RunRecords) -> Counter[str]:
    return Counter(choice_of(trial.params) for trial in records.trials.values())


def test_the_recipe_of_each_comes_first_and_an_architecture_tries_its_own_first_configurations(tmp_path: Path) -> None:
    trials = search(tmp_path, level).trials
    assert [choice_of(trials[number].params) for number in (0, 1)] == ["cheap", "dear"]
    own = [trial for trial in trials.values() if choice_of(trial.params) == "cheap"]
    assert [trial.origin for trial in own[:3]] == ["first", "first", "sampler"]
    assert own[1].params["cheap/optim.learning_rate"] == 3e-2
    for trial in trials.values():
        name = choice_of(trial.params)
        assert all(knob == ARCHITECTURE or knob.startswith(f"{name}/") for knob in trial.params)


def test_seconds_are_divided_evenly_so_that_the_cheap_one_has_more_trials(tmp_path: Path) -> None:
    started: list[float] = []

    def left() -> float:
        return 2_000.0 - sum(started)

    records = search(tmp_path, lambda params: spent(level(params), started), trials=500, workers=1, time_left=left)
    seconds = seconds_of(records)
    assert abs(seconds["dear"] - seconds["cheap"]) <= 180  # a whole trial of the dear one
    assert counts(records)["cheap"] > 5 * counts(records)["dear"]


def spent(curve: Curve, started: list[float]) -> Curve:
    started.append(curve.seconds * len(curve.val_uar))
    return curve


def test_a_limit_of_trials_is_divided_evenly_while_both_can_win(tmp_path: Path) -> None:
    assert counts(search(tmp_path, level)) == {"cheap": 15, "dear": 15}


def test_one_that_cannot_win_is_given_up_and_the_other_has_the_rest(tmp_path: Path) -> None:
    lines: list[str] = []
    records = search(tmp_path, unequal, log=lines.append, workers=1)
    assert counts(records) == {"cheap": LEAST_TRIALS, "dear": 30 - LEAST_TRIALS}
    assert lines[0].startswith("No more trials of cheap: its best score, UAR 2")
    assert " points below that of dear, and luck explains up to" in lines[0]


def test_one_whose_trials_all_fail_is_given_up_before_the_search_stops_itself(tmp_path: Path) -> None:
    def broken(params: Mapping[str, Value]) -> Curve:
        if params[ARCHITECTURE] == "dear":
            return Curve(params=params, val_uar=[], seconds=0.0, reason="bad configuration: no such encoder")
        return level(params)

    records = search(tmp_path, broken)
    assert LEAST_TRIALS <= counts(records)["dear"] <= LEAST_TRIALS + 1  # one may be at work by then


def trial(number: int, name: str, value: float, epochs: int = 9, **changes: Any) -> TrialRecord:
    reports = [EpochReport.of_score(epoch, value, 1.0) for epoch in range(1, epochs + 1)]
    facts = {"state": TrialState.COMPLETE, "epochs": reports, "ended": 1.0, **changes}
    return TrialRecord(number=number, params={ARCHITECTURE: name}, origin="sampler", started=0.0, **facts)


def contenders(trials: list[TrialRecord], luck: Luck = LUCK) -> str:
    allocation = Allocation(("cheap", "dear"), (), {each.number: each for each in trials}, luck, lambda line: None)
    return str(allocation.next(limit=1000)[0][ARCHITECTURE])


def test_luck_shrinks_with_clips_and_folds_and_so_does_the_lead_that_decides() -> None:
    """Eight points are luck on 200 clips and none on 2,000; the dear one leads, and has had more seconds."""
    trials = [trial(number, "cheap", 0.5) for number in range(LEAST_TRIALS)]
    trials.append(trial(99, "dear", 0.58, epochs=1000))
    assert contenders(trials) == "cheap"
    assert contenders(trials, Luck(clips=2000)) == "dear"
    assert contenders(trials, Luck(clips=200, folds=5)) == "dear"
    assert contenders(trials[1:], Luck(clips=2000)) == "cheap"  # too few trials to be given up
    of_two_folds = trial(0, "cheap", 0.5, epochs=18, scoring=Scoring("best", 9))
    assert LUCK.variance(of_two_folds) == pytest.approx(LUCK.variance(trials[0]) / 2)


def test_luck_is_that_of_the_objective() -> None:
    """A concordance of 0.5 over 200 clips has the variance (1 - 0.25)^2 / 200, one of -0.5 as well."""
    rated = Luck(clips=200, score=SCORES["ccc"])
    expected = pytest.approx(0.02**2 + 0.75**2 / 200)
    assert rated.variance(trial(0, "cheap", 0.5)) == rated.variance(trial(0, "cheap", -0.5)) == expected
    assert LUCK.variance(trial(0, "cheap", 0.5)) == pytest.approx(0.02**2 + 0.25 / 200)
    trials = [trial(number, "cheap", 0.1) for number in range(LEAST_TRIALS)] + [trial(99, "dear", 0.8, epochs=9)]
    told: list[str] = []
    Allocation(("cheap", "dear"), (), {each.number: each for each in trials}, rated, told.append).next(limit=1000)
    (line,) = told
    assert "its best score, CCC 0.100, lies 0.700 below that of dear, and luck explains up to 0.15" in line


def test_trials_at_work_count_with_what_the_ended_ones_took() -> None:
    """Otherwise every worker that is free would go to whoever has just begun."""
    ended = [trial(0, "cheap", 0.5, epochs=9), trial(1, "dear", 0.5, epochs=10)]
    at_work = trial(2, "cheap", 0.5, epochs=1, state=TrialState.RUNNING, ended=None)
    assert contenders(ended) == "cheap"
    assert contenders([*ended, at_work]) == "dear"


def test_what_a_first_trial_will_take_is_not_known_and_no_second_joins_it_where_another_may_begin() -> None:
    first = trial(1, "dear", 0.5, epochs=0, state=TrialState.RUNNING, ended=None)
    assert contenders([trial(0, "cheap", 0.5, epochs=1000), first]) == "cheap"
    second = trial(0, "cheap", 0.5, epochs=0, state=TrialState.RUNNING, ended=None)
    assert contenders([second, first]) == "cheap"  # of neither anything is known, and both have one
    assert contenders([second, first, trial(2, "cheap", 0.5, state=TrialState.RUNNING, ended=None)]) == "dear"


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_proposes_for_an_architecture_from_its_own_trials(sampler: str) -> None:
    """In one study of both, what is proposed for one is the same whatever the other scores, and learns from its own."""
    proposed = [proposals(sampler, *values) for values in ((0.1, 1.0), (0.9, 1.0), (0.1, -1.0))]
    assert len(proposed[0]) == 12
    assert proposed[0] == proposed[1]
    assert (proposed[0] == proposed[2]) == (sampler == "random")
    assert all(set(params) == {ARCHITECTURE, *(f"cheap/{name}" for name in CHEAP.knobs)} for params in proposed[0])


def proposals(sampler: str, dear: float, sign: float) -> list[dict[str, Any]]:
    """What is proposed for the cheap one, whose score is its learning rate; the dear one scores always the same."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    own = {name: OwnTrials(study, name) for name in EPOCHS}
    for number in range(24):
        name = ("cheap", "dear")[number % 2]
        made = make_sampler(sampler, 5, number, SPACE.fixed({ARCHITECTURE: name}))
        study.sampler = OneArchitectureSampler(made, own[name])
        study.enqueue_trial({ARCHITECTURE: name})
        asked = study.ask()
        params = suggest(asked, SPACE)
        study.tell(asked, dear if name == "dear" else sign * float(params["cheap/optim.learning_rate"]))
    return [trial.params for trial in study.trials if trial.params[ARCHITECTURE] == "cheap"]


def test_a_study_as_one_architecture_sees_it_holds_its_trials_and_knobs_alone() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    own = OwnTrials(study, "dear")
    for number, name in enumerate(("cheap", "dear", "cheap", "dear")):
        study.enqueue_trial({ARCHITECTURE: name})
        asked = study.ask()
        asked.suggest_categorical(ARCHITECTURE, ("cheap", "dear"))
        asked.suggest_float(f"{name}/optim.learning_rate", 1e-3, 1e-1)
        assert len(own.get_trials()) == (number + 1) // 2
        if number < 3:
            study.tell(asked, number / 10)
    seen = own.get_trials(deepcopy=False)
    assert [trial.number for trial in seen] == [0, 1]
    assert [list(trial.params) for trial in seen] == [["dear/optim.learning_rate"]] * 2
    assert [trial.state.name for trial in seen] == ["COMPLETE", "RUNNING"]
    assert [len(trial.params) for trial in study.trials] == [2] * 4  # the study itself is as it was


def make(folder: Path) -> tuple[Search, Any]:
    return make_search(folder, space=SPACE, asha=ashas(), luck=LUCK, fixed={}, trials=14)


def test_killed_anywhere_and_resumed_a_choice_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, random = tmp_path / "unbroken", Random(2)
    finish(*make(unbroken))
    whole = read_records(unbroken / "records.jsonl").trials
    for round_ in range(8):
        folder = tmp_path / f"killed-{round_}"
        for _ in range(3):
            broken, writer = make(folder)
            kill_after(broken, writer, random.randint(0, 150))
            try:
                finish(broken, writer)
            except Killed:
                writer.close()
        finish(*make(folder))
        check_agreement(folder, 14)
        ours = read_records(folder / "records.jsonl").trials
        facts = [[(t.params, t.origin, t.state, t.value) for t in each.values()] for each in (ours, whole)]
        assert facts[0] == facts[1]


def test_a_lost_study_of_several_architectures_is_rebuilt_from_the_records(tmp_path: Path) -> None:
    begun, writer = make(tmp_path / "run")
    finish(begun, writer)
    writer.close()
    for file in (tmp_path / "run").glob("study.journal*"):
        file.unlink()
    again, _ = make_search(
        tmp_path / "run", space=SPACE, asha=ashas(), luck=LUCK, fixed={}, trials=16, may_rebuild=True
    )
    finish(again, _)
    check_agreement(tmp_path / "run", 16)
    study, _ = open_study(tmp_path / "run", "", is_new=False)
    assert set(study.best_trial.params) >= {ARCHITECTURE}


FOLDS = 3


def is_recipe(settings: Mapping[str, Value]) -> bool:
    """Whether a job has the settings of its architecture's recipe."""
    recipe = {"cheap": CHEAP, "dear": DEAR}[str(settings[ARCHITECTURE])].first[0]
    return all(settings[name] == value for name, value in recipe.items())


def uneven(params: Mapping[str, Value]) -> Curve:
    """Recipes are the best there is: scores of three folds that differ, others a little below."""
    draw = Random(repr(sorted(params.items())))
    below = 0.0 if is_recipe(params) else 0.03
    folds = [base - below + 0.01 * draw.random() for base in (0.5, 0.6, 0.55)]
    cost = 10.0 if params[ARCHITECTURE] == "dear" else 1.0
    epochs = EPOCHS[str(params[ARCHITECTURE])]
    return Curve(params=params, val_uar=[value for value in folds for _ in range(epochs)], seconds=cost)


def over_folds(folder: Path, curve_of: Callable[[Mapping[str, Value]], Curve], **options: Any) -> RunRecords:
    asha = {name: Asha(epochs, epochs // 3, 3, FOLDS) for name, epochs in EPOCHS.items()}
    scoring = {name: Scoring("best", epochs) for name, epochs in EPOCHS.items()}
    folder.mkdir(exist_ok=True)
    given: dict[str, Any] = {"workers": 2, "trials": 80, "seed": 3, "luck": LUCK, "scoring": scoring, **options}
    return simulated_search(folder, SPACE, curve_of, asha, **given)  # type: ignore[arg-type]


def test_a_search_ends_early_when_no_architecture_has_anything_to_gain(tmp_path: Path) -> None:
    lines: list[str] = []
    records = over_folds(tmp_path / "run", uneven, log=lines.append, workers=1)
    assert all(ENOUGH_TRIALS < started < 30 for started in counts(records).values())
    assert sorted(line.partition(":")[0] for line in lines) == [
        "No more trials of cheap",
        "No more trials of dear",
        f"The search ends after {len(records.trials)} of 80 trials",
    ]
    assert records.gave_up == lines[-1]
    assert "Trial " in records.gave_up
    assert len(over_folds(tmp_path / "all", uneven, all_trials=True).trials) == 80


def test_where_one_architecture_has_nothing_to_gain_the_other_has_the_rest(tmp_path: Path) -> None:
    """Of the dear one, every other trial beats the recipe."""

    def curve_of(params: Mapping[str, Value]) -> Curve:
        curve = uneven(params)
        better = 0.05 if params[ARCHITECTURE] == "dear" and not is_recipe(params) else 0.0
        return Curve(params=params, val_uar=[value + better for value in curve.val_uar], seconds=curve.seconds)

    records = over_folds(tmp_path / "run", curve_of, workers=1)
    assert ENOUGH_TRIALS < counts(records)["cheap"] < 30
    assert len(records.trials) == 80
    assert records.gave_up == ""


def test_no_rung_ends_the_recipe_of_an_architecture_where_folds_follow_one_another(tmp_path: Path) -> None:
    def curve_of(params: Mapping[str, Value]) -> Curve:
        curve = uneven(params)
        worse = 0.2 if is_recipe(params) else 0.0
        return Curve(params=params, val_uar=[value - worse for value in curve.val_uar], seconds=curve.seconds)

    trials = over_folds(tmp_path / "run", curve_of, trials=30, luck=Luck(clips=20)).trials
    assert [trials[number].folds for number in (0, 1)] == [FOLDS, FOLDS]
    assert TrialState.PRUNED in {trial.state for trial in trials.values()}
