"""The part `tuning` of `result.json`: what tuning was worth over the recipe."""

from __future__ import annotations

from typing import Any

from search.finals.finalists import FinalChoice
from search.finals.spreads import bounds_of
from search.run_folder.finals_rule import recipe_trial
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, RunRecords, TrialState
from spaces.several import choice_of

NOTE = (
    "{score} of the challenger less the recipe's on the validation clips of the finals, on which neither was trained. "
    "Each seed of one is paired with the same seed of the other, on the same fold. The 95 % interval is over speakers, "
    "for these trained models. The challenger was chosen on these clips, which flatters the difference. No test clip "
    "was used"
)


def tuning_numbers(plan: SearchPlan, records: RunRecords, choice: FinalChoice) -> dict[str, Any] | None:
    """The part `tuning` of `result.json`; None for a run without a recipe, or one whose finals did not hold it."""
    recipe = recipe_trial(records, choice_of(records.trials[choice.winner].params))
    if recipe is None or plan.finals_rule == 1:
        return None
    lead = choice.lead
    return {
        "recipe": recipe.number,
        "recipe_failed": _failure(records, recipe.number),
        "recipe_stands": choice.winner == recipe.number,
        "challenger": choice.challenger,
        f"{plan.objective}_difference": lead and lead.difference.value,
        "interval": lead and bounds_of(lead.difference.interval),
        "clips": lead and lead.clips,
        "speakers": lead and lead.speakers,
        "seeds": lead and lead.seeds,
        "note": NOTE.format(score=plan.headline.label),
    }


def _failure(records: RunRecords, recipe: int) -> str:
    """Why the recipe is no finalist, or cannot be compared with one that finished all its seeds; "" if it can."""
    runs = [run for run in records.finals if run.phase is Phase.FINALIST and run.trial == recipe and run.reason]
    trial = records.trials[recipe]
    if runs:
        return f"seed {runs[0].seed}: {runs[0].reason}"
    return trial.reason if trial.state is TrialState.FAIL else ""
