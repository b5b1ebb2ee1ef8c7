"""What trials say about finding something better than the recipe, against values computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from search.run_folder.prospect import ENOUGH_TRIALS, LUCK, Prospect, prospect
from search.run_folder.records import RunRecords, TrialRecord, TrialState
from search.run_folder.scoring import Scoring
from search.run_folder.verdict import prospect_sentence
from ser_core.named_scores import UAR
from ser_core.training.report import EpochReport
from spaces.several import ARCHITECTURE

EPOCHS = 3


def trial(number: int, *folds: float, state: TrialState = TrialState.PRUNED, origin: str = "sampler") -> TrialRecord:
    """A trial whose complete folds have these scores, each with its best epoch in the middle."""
    curve = [value for uar in folds for value in (uar / 2, uar, uar / 4)]
    reports = [EpochReport.of_score(epoch, value) for epoch, value in enumerate(curve, 1)]
    return TrialRecord(
        number=number, params={}, origin=origin, started=0.0, state=state, epochs=reports,
        scoring=Scoring("best", EPOCHS),
    )  # fmt: skip


def recipe(*folds: float, **changes: Any) -> TrialRecord:
    return trial(0, *folds, **{"state": TrialState.COMPLETE, "origin": "first", **changes})


def records_of(trials: Sequence[TrialRecord]) -> RunRecords:
    return RunRecords(trials={each.number: each for each in trials})


def test_every_complete_fold_has_a_score_of_its_own() -> None:
    assert trial(1, 0.4, 0.6).fold_scores == (0.4, 0.6)


def test_the_lead_that_luck_explains_least_is_found_with_its_standard_error() -> None:
    """Leads over the recipe's folds: 0, 0, 0.03 (mean 0.01); 0.02, 0.04; 0.01. Within them, squares are 6e-4 + 2e-4."""
    found = prospect(
        records_of([
            recipe(0.5, 0.6, 0.4, 0.5, 0.5),
            trial(1, 0.5, 0.6, 0.43),
            trial(2, 0.52, 0.64),
            trial(3, 0.51),
            trial(4, 0.3, 0.4, state=TrialState.RUNNING),  # -0.2, -0.2: no square
            trial(5, 0.9, 0.9, state=TrialState.FAIL),
        ])
    )  # fmt: skip
    assert found is not None
    assert (found.trials, found.running, found.best) == (3, 1, 2)
    assert found.lead == pytest.approx(0.03)
    assert found.luck == pytest.approx(math.sqrt(8e-4 / (2 + 1 + 1)) / math.sqrt(2))


def test_without_a_recipe_on_all_folds_or_enough_pairs_there_is_nothing_to_say() -> None:
    others = [trial(number, 0.5, 0.4) for number in range(1, 7)]
    assert prospect(records_of([recipe(0.5, 0.5), *others])) is not None
    assert prospect(records_of([recipe(0.5, 0.5, state=TrialState.PRUNED), *others])) is None
    assert prospect(records_of([recipe(0.5, 0.5, origin="warm"), *others])) is None
    assert prospect(records_of([recipe(0.5), *others])) is None
    assert prospect(records_of([recipe(0.5, 0.5), *others[:3]])) is None
    assert prospect(RunRecords()) is None


def test_trials_are_held_against_the_recipe_of_their_own_architecture() -> None:
    own = [recipe(0.5, 0.5), *(trial(number, 0.5, 0.4) for number in range(1, 7))]
    others = [replace(each, number=10 + each.number, params={ARCHITECTURE: "other"}) for each in own]
    others[0] = replace(others[0], epochs=recipe(0.9, 0.9).epochs)
    records = records_of([*(replace(each, params={ARCHITECTURE: "one"}) for each in own), *others])
    one, other = prospect(records, "one"), prospect(records, "other")
    assert one is not None
    assert other is not None
    assert (one.trials, one.lead) == (6, pytest.approx(-0.05))
    assert (other.trials, other.lead) == (6, pytest.approx(-0.45))
    assert prospect(records) is None


def test_a_search_is_given_up_after_enough_trials_without_a_lead_beyond_luck() -> None:
    def given_up(trials: int, lead: float) -> bool:
        return Prospect(trials=trials, running=0, best=1, lead=lead, luck=0.01).nothing_to_gain

    assert given_up(ENOUGH_TRIALS, 0.019)
    assert not given_up(ENOUGH_TRIALS - 1, 0.019)
    assert not given_up(ENOUGH_TRIALS, LUCK * 0.01 + 1e-9)


def test_why_a_search_ends_is_said_in_points() -> None:
    found = Prospect(trials=20, running=0, best=7, lead=0.0061, luck=0.011)
    assert prospect_sentence({"": found}, 21, 50, UAR) == (
        "The search ends after 21 of 50 trials: none leads the recipe by more than luck explains. Trial 7 comes "
        "closest, with +0.6 points UAR over the folds that both trained; luck alone makes up to 2.2. --all-trials "
        "starts them all."
    )
    other = Prospect(trials=22, running=0, best=9, lead=-0.004, luck=0.01)
    assert prospect_sentence({"mlp": found, "svm": other}, 44, 50, UAR) == (
        "The search ends after 44 of 50 trials: none leads the recipe of its architecture by more than luck explains. "
        "Trial 7 of mlp comes closest, with +0.6 points UAR over the folds that both trained; luck alone makes up to "
        "2.2. Trial 9 of svm comes closest, with -0.4 points UAR over the folds that both trained; luck alone makes up "
        "to 2.0. --all-trials starts them all."
    )
