"""Who is a finalist, and on which folds: what the driver holds its finals by, and every page counts them by."""

from __future__ import annotations

from search.jobs import inner_fold
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords, TrialRecord, TrialState

LEAD_BEYOND_LUCK = 3
"""The rule from which on a challenger must lead the recipe by more than luck explains, see `SearchPlan`."""


def recipe_trial(records: RunRecords) -> TrialRecord | None:
    """The trial of the recipe, the first of the space's own configurations; None where the space has none.

    A run starts with it, whatever else it is to try, so it is what `--trials 1` would have trained: the settings that
    the recipe names, and what was drawn or fixed for the others. A run that searches nothing has no recipe.
    """
    trial = records.trials.get(0)
    return trial if trial is not None and trial.origin == "first" else None


def finalists_of(plan: SearchPlan, records: RunRecords) -> list[TrialRecord]:
    """The best trials by search score, and the recipe beside them, however early its trial ended, unless it failed.

    Complete trials come first, then those that ASHA ended, the further ones first. Empty before any trial has a score.
    """
    best = records.ranked()[: plan.finalists]
    recipe = recipe_trial(records) if plan.finals_rule > 1 else None
    if not best or recipe is None or recipe in best or recipe.state in (TrialState.FAIL, TrialState.RUNNING):
        return best
    return [*best, recipe]


def folds_of_seed(plan: SearchPlan, seed: int) -> str:
    """Key of the worker's folds on which a finalist with this seed, from 1, trains: one of `plan.final_folds`.

    The seeds go over the folds in turn, so that their mean covers luck and speakers at once, and every finalist has the
    same pairs of seed and fold. Where the plan names no folds, all seeds train on those of the search.
    """
    return inner_fold((seed - 1) % len(plan.final_folds) + 1) if plan.final_folds else "search"
