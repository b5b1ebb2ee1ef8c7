"""What a run came to, in words: what tuning was worth, why the search ended early, and who is served worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.run_folder.prospect import LUCK, Prospect
from search.run_folder.run_score import headline_of
from search.wording import count, is_number
from ser_core.named_scores import Score
from spaces.several import SEVERAL


def tuning_sentence(result: Mapping[str, Any]) -> str:
    """The part `tuning` of result.json in a sentence or two; "" for a run that has none.

    "Tuning was worth +2.1 points UAR over the recipe on 16 validation speakers (95 % interval +0.4 to +3.9)."
    """
    tuning = result.get("tuning")
    if tuning is None:
        return ""
    of = f" of {result['winner']['architecture']}" if result.get("model") == SEVERAL else ""
    failed = f" The recipe{of} failed: {tuning['recipe_failed']}." if tuning["recipe_failed"] else ""
    if tuning["challenger"] is None:
        return f"The recipe{of} stands: no other configuration{of} came to the end of the finals.{failed}"
    score = headline_of(result)
    difference = tuning[f"{score.name}_difference"]
    if not is_number(difference):
        return f"What tuning was worth cannot be said.{failed}"
    lead, low, high = (score.signed(share) for share in (difference, *tuning["interval"]))
    edges = f"95 % interval {low} to {high}" if is_number(tuning["interval"][0]) else "no interval"
    where = f"on {count(tuning['speakers'], 'validation speaker')} ({edges})"
    if tuning["recipe_stands"]:
        best = f"the best challenger, trial {tuning['challenger']},"
        luck = ", which luck explains" if difference > 0 else ""
        return f"The recipe{of} stands: {best} is {lead} {score.points} from it {where}{luck}."
    return f"Tuning was worth {lead} {score.points} over the recipe{of} {where}.{failed}"


def prospect_sentence(found: Mapping[str, Prospect], started: int, asked: int, score: Score) -> str:
    """Why a search ends before all of its trials.

    Args:
        found: by architecture, of those that could still win; by "" where trials choose none.
        score: what the run is judged by.
    """
    recipe = "the recipe" if "" in found else "the recipe of its architecture"
    return (
        f"The search ends after {started} of {count(asked, 'trial')}: none leads {recipe} by more than luck explains. "
        f"{' '.join(_closest(name, own, score) for name, own in found.items())} --all-trials starts them all."
    )


def _closest(architecture: str, found: Prospect, score: Score) -> str:
    of = f" of {architecture}" if architecture else ""
    return (
        f"Trial {found.best}{of} comes closest, with {score.signed(found.lead)} {score.points} over the folds that "
        f"both trained; luck alone makes up to {score.digits(LUCK * found.luck)}."
    )


def tuning_note(result: Mapping[str, Any]) -> str:
    """What readers of the sentence's difference should know, where there is room for it; "" without a difference."""
    tuning = result.get("tuning") or {}
    if not is_number(tuning.get(f"{headline_of(result).name}_difference")):
        return ""
    return "The challenger was chosen on these speakers, which flatters it."


def group_sentences(test: Mapping[str, Any], score: Score) -> list[str]:
    """The worst group of each column in the part `test` of result.json, a sentence a column, by what is judged.

    "Gender: male is recognised worst, 41.0 % UAR, 8.3 points below the others (-14.1 to -2.5; p = 0.008): shown."
    """
    recalls = test.get("per_class_recall", {}).values()
    classes = sum(is_number(recall["mean"]) for recall in recalls)
    return [_group_sentence(column, numbers, score, classes) for column, numbers in test.get("per_group", {}).items()]


def _group_sentence(column: str, numbers: Mapping[str, Any], score: Score, classes: int) -> str:
    """`classes`: how many there are among all test clips; a group has a score over its own, a difference over those of
    both sides."""
    worst = numbers["differences"][0]
    name, value = worst["group"], score.text(numbers["groups"][worst["group"]][score.name]["value"])
    difference, title = worst[score.name], f"{column[:1].upper()}{column[1:]}"
    start = f"{title}: {name} is recognised "
    if not is_number(difference):
        return f"{start}with a {score.label} of {value}, and shares no emotion with the others."
    if difference == 0 and not is_number(worst["p_holm"]):
        return f"{title}: all groups are recognised alike, with a {score.label} of {value}."
    below = f"worst, {value} {score.label}, {score.distance(difference)} below the others"
    if any(group.get("classes", classes) < classes for group in numbers["groups"].values()):
        below += " on the emotions that both have"
    if not is_number(worst["p_holm"]):
        return f"{start}{below}: cannot be tested with so few speakers."
    low, high = map(score.signed, worst["interval"])
    p = worst["p_holm"]
    return (
        f"{start}{below} ({low} to {high}; {'p < 0.001' if p < 0.001 else f'p = {p:.2g}'}): "
        f"{'shown' if worst['shown'] else 'not shown'}."
    )
