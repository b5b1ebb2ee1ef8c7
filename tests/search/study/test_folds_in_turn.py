"""Searches whose trials train folds one after another: where they are judged, and that a kill changes nothing."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.run_folder.prospect import ENOUGH_TRIALS
from search.run_folder.records import TrialState
from search.run_folder.rungs import fold_rungs, rung_epochs
from search.run_folder.scoring import STATISTICS, Scoring
from search.simulation.curve_tables import Curve, drawn
from search.study.asha import Asha
from spaces.knobs import Space, Value
from tests.search.simulated import simulated_search
from tests.search.studies import study_of
from tests.search.study.searches import MAX_EPOCHS, SPACE, check_agreement, finish, make_search
from tests.search.study.test_golden_searches import TABLE, rounded
from tests.search.study.test_recovery import Killed, kill_after, same_trials

FOLDS = 5
BEST = {"optim.learning_rate": 10**-1.8, "optim.batch_size": 16}
GOLDEN = Path(__file__).with_name("golden_folds.json")


def test_rungs_follow_epochs_within_the_first_fold_and_folds_from_then_on() -> None:
    assert rung_epochs(40, 8, 3, 5) == (8, 24, 40, 120)
    assert rung_epochs(40, 40, 2, 5) == (40, 80, 160)
    assert fold_rungs(40, 1.5, 5) == (40, 80, 120)
    assert fold_rungs(40, 3, 1) == ()


@given(
    epochs=st.integers(1, 100), grace=st.integers(1, 100), reduction=st.floats(1.01, 10), folds=st.integers(1, 9),
)  # fmt: skip
def test_no_rung_lies_within_a_later_fold_and_none_at_the_end(
    epochs: int, grace: int, reduction: float, folds: int
) -> None:
    rungs = rung_epochs(epochs, grace, reduction, folds)
    assert list(rungs) == sorted(set(rungs))
    assert all(1 <= rung < epochs * folds for rung in rungs)
    assert all(rung % epochs == 0 for rung in rungs if rung > epochs)
    assert [rung for rung in rungs if rung < epochs] == list(rung_epochs(epochs, grace, reduction))
    assert (epochs in rungs) == (folds > 1)
    ends = [rung // epochs for rung in rungs if rung >= epochs]
    assert all(later == math.ceil(fold * reduction) for fold, later in pairwise(ends))


def search_of(folder: Path, grace: int | None, score: str, **options: Any) -> Any:
    return make_search(
        folder, asha=Asha(MAX_EPOCHS, grace, 2, FOLDS), scoring=Scoring(score, MAX_EPOCHS), **options
    )  # fmt: skip


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kills=st.lists(st.integers(0, 300), min_size=1, max_size=4),
    grace=st.sampled_from([3, None]),
    score=st.sampled_from([*STATISTICS]),
)
def test_killed_anywhere_and_resumed_ends_like_an_unbroken_search(
    kills: list[int], grace: int | None, score: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, unbroken = (tmp_path_factory.mktemp(name) / "run" for name in ("killed", "unbroken"))
    for steps in kills:
        search, writer = search_of(folder, grace, score)
        kill_after(search, writer, steps)
        try:
            finish(search, writer)
        except Killed:
            writer.close()
    search, writer = search_of(folder, grace, score)
    finish(search, writer)
    check_agreement(folder, 12)
    whole, whole_writer = search_of(unbroken, grace, score)
    finish(whole, whole_writer)
    assert search._asha.rungs == whole._asha.rungs
    assert same_trials(study_of(folder), study_of(unbroken))
    folds = [trial.folds for trial in whole_writer.records.trials.values()]
    assert FOLDS in folds
    assert any(1 <= own < FOLDS for own in folds)


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(study=st.floats(0, 1), records=st.just(1.0) | st.floats(0, 1))
def test_a_power_cut_at_any_byte_of_study_and_records_costs_nothing_that_was_reported(
    study: float, records: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, unbroken = (tmp_path_factory.mktemp(name) / "run" for name in ("cut", "unbroken"))
    finish(*search_of(folder, 3, "best-third", trials=8))
    for name, share in (("study.journal", study), ("records.jsonl", records)):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: round(share * len(whole))])
    finish(*search_of(folder, 3, "best-third", trials=8))
    check_agreement(folder, 8)
    finish(*search_of(unbroken, 3, "best-third", trials=8))
    ours, theirs = study_of(folder).trials, study_of(unbroken).trials
    assert [(t.params, t.state, t.value) for t in ours] == [(t.params, t.state, t.value) for t in theirs]


def curve_of(params: Mapping[str, Value]) -> Curve:
    """The curves of as many neighbours of a configuration as there are folds stand for its folds."""
    first = drawn(rounded(params), len(TABLE.curves))
    near = [
        TABLE.curve_of(rounded(params)),
        *(TABLE.curves[(first + fold) % len(TABLE.curves)] for fold in range(1, FOLDS)),
    ]
    return Curve(params=params, val_uar=[uar for curve in near for uar in curve.val_uar], seconds=near[0].seconds)


def test_a_search_over_folds_proposes_and_judges_as_it_did_when_it_was_first_written(tmp_path: Path) -> None:
    each = TABLE.header.epochs
    records = simulated_search(
        tmp_path, TABLE.space, curve_of, Asha(each, math.ceil(each / 5), 2, FOLDS), workers=4, trials=30, seed=3,
        chunk_seconds=1.0, scoring=Scoring("best-third", each),
    )  # fmt: skip
    found = [
        {
            "params": rounded(trial.params), "state": trial.state.value, "reason": trial.reason,
            "epochs": len(trial.epochs), "value": round(trial.value, 6),
        }
        for trial in records.trials.values()
    ]  # fmt: skip
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert {trial.state for trial in records.trials.values()} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert {trial.folds for trial in records.trials.values()} >= {0, 1, 2, FOLDS}


def endless(folder: Path, **options: Any) -> Any:
    """A search of 60 trials whose recipe is the best there is, on folds that differ."""
    return search_of(folder, 3, "best-third", space=Space(knobs=SPACE.knobs, first=(BEST,)), trials=60, **options)


def test_a_search_with_nothing_to_gain_ends_early_and_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    search, writer = endless(tmp_path / "run", log=said.append)
    finish(search, writer)
    started = len(writer.records.trials)
    assert started == 1 + ENOUGH_TRIALS
    assert [line.partition(":")[0] for line in said] == [f"The search ends after {started} of 60 trials"]
    assert endless(tmp_path / "run")[0].next_job() is None  # resumed, it knows
    assert endless(tmp_path / "run", all_trials=True)[0].next_job() is not None


def test_a_search_that_may_still_find_something_goes_on(tmp_path: Path) -> None:
    """The recipe is one of the worst here."""
    worst = {"optim.learning_rate": 1e-1, "optim.batch_size": 16}
    search, writer = search_of(
        tmp_path / "run", 3, "best-third", space=Space(knobs=SPACE.knobs, first=(worst,)), trials=30
    )  # fmt: skip
    finish(search, writer)
    assert len(writer.records.trials) == 30


def test_a_search_that_was_killed_ends_early_like_one_that_was_not(tmp_path: Path) -> None:
    for steps in (0, 7, 40, 90):
        search, writer = endless(tmp_path / "killed")
        kill_after(search, writer, steps)
        with contextlib.suppress(Killed):
            finish(search, writer)
            writer.close()
    finish(*endless(tmp_path / "killed"))
    finish(*endless(tmp_path / "unbroken"))
    assert same_trials(study_of(tmp_path / "killed"), study_of(tmp_path / "unbroken"))


def test_no_rung_ends_the_recipe_since_all_its_folds_are_needed(tmp_path: Path) -> None:
    """A poor recipe, also of a search that was killed."""
    worst = {"optim.learning_rate": 1e-1, "optim.batch_size": 16}
    space = Space(knobs=SPACE.knobs, first=({"optim.learning_rate": 1e-2}, worst))
    for first in (space, Space(knobs=SPACE.knobs, first=space.first[::-1])):
        folder = tmp_path / str(first.first[0]["optim.learning_rate"])
        for steps in (5, 60, 10**6):
            search, writer = search_of(folder, 3, "best-third", space=first)
            kill_after(search, writer, steps)
            with contextlib.suppress(Killed):
                finish(search, writer)
                writer.close()
        trials = writer.records.trials
        assert (trials[0].state, trials[0].folds) == (TrialState.COMPLETE, FOLDS)
        assert trials[1].origin == "first"
        assert TrialState.PRUNED in {trial.state for trial in trials.values()}
