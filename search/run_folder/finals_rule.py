"""Who is a finalist, and on which folds: what the driver holds its finals by, and every page counts them by."""

from __future__ import annotations

from math import isfinite

from search.jobs import inner_fold
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords, TrialRecord, TrialState
from spaces.several import choice_of

LEAD_BEYOND_LUCK = 3
"""The rule from which on a challenger must lead the recipe by more than luck explains, see `SearchPlan`."""


def recipe_trial(records: RunRecords, architecture: str = "") -> TrialRecord | None:
    """The trial of the recipe, the first of the space's own configurations; None where the space has none.

    A run starts with it, whatever else it is to try, so it is what `--trials 1` would have trained: the settings that
    the recipe names, and what was drawn or fixed for the others. A run that searches nothing has no recipe, and one
    whose trials choose an architecture has a recipe of each, which `architecture` names.
    """
    own = (trial for trial in records.trials.values() if choice_of(trial.params) == architecture)
    trial = next(own, None)  # trials stand in the order in which they began
    return trial if trial is not None and trial.origin == "first" else None


def finalists_of(plan: SearchPlan, records: RunRecords) -> list[TrialRecord]:
    """The best trials by search score, and the recipe beside them, however early its trial ended, unless it failed.

    Complete trials come first, then those that ASHA ended, the further ones first. Empty before any trial has a score.
    The best may be of several architectures; then the recipe of each is there.
    """
    best = records.ranked()[: plan.finalists]
    if plan.finals_rule == 1:
        return best
    recipes = (recipe_trial(records, choice) for choice in dict.fromkeys(choice_of(trial.params) for trial in best))
    unable = (TrialState.FAIL, TrialState.RUNNING)
    return [*best, *(each for each in recipes if each is not None and each not in best and each.state not in unable)]


def certain_finalists(plan: SearchPlan, records: RunRecords, *, all_begun: bool) -> list[TrialRecord]:
    """Those who will be finalists whatever becomes of the trials that are at work or to come.

    Args:
        all_begun: no trial is to come.
    """
    if plan.finals_rule == 1:
        return []
    open_places = sum(trial.state is TrialState.RUNNING for trial in records.trials.values())
    places = max(0, plan.finalists - open_places) if all_begun else 0
    certain = records.ranked()[:places]
    choices = {choice_of(trial.params) for trial in certain} or {""}  # that of a run with one architecture
    recipes = (recipe_trial(records, choice) for choice in sorted(choices))
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [
        *certain,
        *(each for each in recipes if each and each not in certain and each.state in ended and isfinite(each.value)),
    ]


def folds_of_seed(plan: SearchPlan, seed: int) -> str:
    """Key of the worker's folds on which a finalist with this seed, from 1, trains: one of `plan.final_folds`.

    The seeds go over the folds in turn, so that their mean covers luck and speakers at once, and every finalist has the
    same pairs of seed and fold. Where the plan names no folds, all seeds train on those of the search.
    """
    return inner_fold((seed - 1) % len(plan.final_folds) + 1) if plan.final_folds else "search"
