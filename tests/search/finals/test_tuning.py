"""What tuning was worth: the challenger against the recipe, pair by pair, and how that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from search.finals.finalists import FinalChoice
from search.finals.lead import difference_of, validation_lead
from search.finals.tuning import tuning_numbers
from search.run_folder.paths import validation_file
from search.run_folder.predictions import read_predictions
from search.run_folder.records import TrialState
from search.run_folder.verdict import tuning_note, tuning_sentence
from ser_core.config import ConfigError
from tests.search.finals.test_finalists import SPEAKERS, final, plan_of, recipe, records_of, trial, write_run

RECIPE = {"a": 10, "b": 12, "c": 10, "d": 14, "e": 10, "f": 12}
CHALLENGER = {"a": 12, "b": 14, "c": 14, "d": 14, "e": 14, "f": 14}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two finalists with three seeds, each of which validates two speakers of its own."""
    for seed, speakers in enumerate(("ab", "cd", "ef"), 1):
        write_run(tmp_path, 0, seed, speakers, RECIPE)
        write_run(tmp_path, 1, seed, speakers, CHALLENGER)
    return tmp_path


def numbers(folder: Path, *, winner: int = 1, **changes: Any) -> dict[str, Any]:
    records = records_of(recipe(TrialState.PRUNED, 0.1), trial(1, TrialState.COMPLETE, 0.9))
    lead = validation_lead(folder, 3, 1, 0, SPEAKERS, "uar")
    choice = FinalChoice(finalists=[], scores={}, recipe=0, challenger=1, lead=lead, winner=winner)
    found = tuning_numbers(plan_of(seeds=3), records, replace(choice, **changes))
    assert found is not None
    return found


def test_the_difference_pairs_seeds_and_speakers(folder: Path) -> None:
    """Every speaker has both emotions equally often here, so that UAR is a mean over speakers."""
    found = numbers(folder)
    differences = [(CHALLENGER[speaker] - RECIPE[speaker]) / 20 for speaker in "abcdef"]
    assert found["uar_difference"] == pytest.approx(np.mean(differences))
    expected = stats.ttest_1samp(differences, 0).confidence_interval()
    assert found["interval"] == pytest.approx([expected.low, expected.high], abs=3e-3)
    assert (found["clips"], found["speakers"], found["seeds"]) == (120, 6, 3)
    assert (found["recipe"], found["challenger"], found["recipe_stands"]) == (0, 1, False)
    assert "flatters" in found["note"]


def test_a_clip_that_several_seeds_validate_counts_once(tmp_path: Path) -> None:
    """Seeds 1 and 3 share a fold: its speakers weigh no more than those of the other."""
    for seed, speakers in enumerate(("ab", "cd", "ab"), 1):
        write_run(tmp_path, 0, seed, speakers, RECIPE)
        write_run(tmp_path, 1, seed, speakers, {**RECIPE, "a": 20} if seed == 1 else RECIPE)
    found = numbers(tmp_path)
    assert found["uar_difference"] == pytest.approx(10 / 20 / 2 / 4)  # half a run of one speaker of four
    assert (found["clips"], found["speakers"], found["seeds"]) == (80, 4, 3)


def test_a_seed_that_one_of_both_did_not_finish_is_left_out(folder: Path) -> None:
    (folder / validation_file(0, 2)).unlink()
    assert (numbers(folder)["speakers"], numbers(folder)["seeds"]) == (4, 2)
    (folder / validation_file(0, 1)).unlink()
    (folder / validation_file(1, 3)).unlink()
    found = numbers(folder)
    assert (found["uar_difference"], found["interval"], found["seeds"]) == (None, None, None)
    assert tuning_sentence({"tuning": found}) == "What tuning was worth cannot be said."


def test_finalists_on_different_clips_are_not_compared(folder: Path) -> None:
    pair = (read_predictions(folder / validation_file(0, 1)), read_predictions(folder / validation_file(1, 2)))
    with pytest.raises(ConfigError, match="the finalists predict different validation clips"):
        difference_of([pair], SPEAKERS)


def test_a_run_without_a_recipe_or_of_the_first_rule_has_no_such_numbers() -> None:
    choice = FinalChoice(finalists=[], scores={}, recipe=None, challenger=0, lead=None, winner=0)
    taken = records_of(recipe(TrialState.COMPLETE, 0.9, origin="warm"))
    assert tuning_numbers(plan_of(), taken, choice) is None
    first = records_of(recipe(TrialState.COMPLETE, 0.9))
    assert tuning_numbers(plan_of(finals_rule=1), first, choice) is None
    assert tuning_sentence({"tuning": None}) == tuning_sentence({}) == ""


def test_a_recipe_that_failed_is_named_with_its_reason() -> None:
    failed = records_of(recipe(TrialState.FAIL, 0.1), trial(1, TrialState.COMPLETE, 0.9))
    choice = FinalChoice(finalists=[], scores={}, recipe=None, challenger=1, lead=None, winner=1)
    found = tuning_numbers(plan_of(), failed, choice)
    assert found is not None
    assert (found["recipe_failed"], found["recipe_stands"]) == ("why: so", False)
    assert tuning_sentence({"tuning": found}) == "What tuning was worth cannot be said. The recipe failed: why: so."
    later = records_of(
        recipe(TrialState.COMPLETE, 0.9), finals=[final(0, 1, 0.5), final(0, 2, 0.5, reason="diverged: NaN")]
    )
    found = tuning_numbers(plan_of(), later, replace(choice, challenger=None, winner=0, recipe=0))
    assert found is not None
    assert found["recipe_failed"] == "seed 2: diverged: NaN"


def test_what_tuning_was_worth_is_one_sentence(folder: Path) -> None:
    found = {**numbers(folder), "uar_difference": 0.0213, "interval": [0.004, 0.0391], "speakers": 16}
    assert tuning_sentence({"tuning": found}) == (
        "Tuning was worth +2.1 points UAR over the recipe on 16 validation speakers (95 % interval +0.4 to +3.9)."
    )
    stands = {**found, "recipe_stands": True, "uar_difference": -0.008, "interval": [-0.02, 0.004]}
    assert tuning_sentence({"tuning": stands}) == (
        "The recipe stands: the best challenger, trial 1, is -0.8 points UAR from it on 16 validation speakers "
        "(95 % interval -2.0 to +0.4)."
    )
    assert "which flatters it" in tuning_note({"tuning": found})
    assert "(no interval)" in tuning_sentence({"tuning": {**found, "interval": [None, None]}})
    alone = {**found, "recipe_stands": True, "challenger": None}
    assert tuning_sentence({"tuning": alone}) == (
        "The recipe stands: no other configuration came to the end of the finals."
    )
    assert tuning_note({"tuning": {**alone, "uar_difference": None}}) == tuning_note({}) == ""
