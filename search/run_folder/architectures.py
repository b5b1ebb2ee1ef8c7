"""What a plan says of each of its architectures: of the only one, or of those among which its trials choose.

What a plan of one architecture has once, a plan of several has by architecture; `spaces.several.for_choice` finds what
a configuration needs of either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search.run_folder.plan import SearchPlan
from search.run_folder.rungs import AUTO
from search.run_folder.scoring import Scoring
from spaces.knobs import Space, Value
from spaces.several import ARCHITECTURE, choice_of, chosen_settings, parts_of


def architectures_of(plan: SearchPlan) -> tuple[str, ...]:
    """The names of all that its trials may be, in order."""
    return tuple(plan.space[ARCHITECTURE]["values"]) if _chooses(plan) else (plan.model,)


def spaces_of(plan: SearchPlan) -> dict[str, tuple[Space, dict[str, Value]]]:
    """Architecture -> its space, and the settings that all of its trials share, under its own names."""
    return parts_of(plan.model, plan.knobs, plan.settings)


def configuration_of(plan: SearchPlan, params: Mapping[str, Value]) -> tuple[str, dict[str, Value]]:
    """The architecture of a configuration, and all of its settings under the names that it has for them."""
    settings = chosen_settings({**plan.settings, **params})
    settings.pop(ARCHITECTURE, None)
    return choice_of(params) or plan.model, settings


def fixed_of(plan: SearchPlan, params: Mapping[str, Value]) -> dict[str, Value]:
    """What was set for all trials of a configuration's architecture, under the names of the plan."""
    choice = choice_of(params)
    return {name: value for name, value in plan.fixed.items() if not choice or name.startswith(f"{choice}/")}


def schedules(plan: SearchPlan) -> int | Mapping[str, int]:
    """Epochs of the schedule, which is the full budget of a trial on one fold."""
    if not _chooses(plan):
        return plan.max_epochs
    return {name: int(plan.settings[f"{name}/optim.epochs"]) for name in architectures_of(plan)}


def trial_epochs(plan: SearchPlan) -> int | Mapping[str, int]:
    """Epochs of a trial that completes, over all folds that it trains one after another."""
    own = schedules(plan)
    if isinstance(own, int):
        return own * plan.folds_in_turn
    return {name: epochs * plan.folds_in_turn for name, epochs in own.items()}


def first_rungs(plan: SearchPlan) -> int | Mapping[str, int | None] | None:
    """Epochs of ASHA's first rung, the same fraction of every schedule; None where the search is to find it."""
    own, first = schedules(plan), plan.first_rung
    if isinstance(own, int) or first is None:
        return first
    return {name: math.ceil(first * epochs / plan.max_epochs) for name, epochs in own.items()}


def scorings(plan: SearchPlan) -> Scoring | Mapping[str, Scoring]:
    """How a trial's epochs become its score."""
    own = schedules(plan)
    if isinstance(own, int):
        return plan.scoring
    return {
        name: replace(plan.scoring, fold_epochs=epochs if plan.folds == AUTO else 0) for name, epochs in own.items()
    }


def model_text(plan: SearchPlan, result: Mapping[str, Any] | None) -> str:
    """What was tuned, for readers: "mlp"; "auto (shallow_cnn)" with the winner's architecture, or with all of them.

    Args:
        result: of the run, None before it has one; what sums up the runs of several folds has no one winner.
    """
    if result is not None and "winner" in result:
        return result_model(result)
    return f"{plan.model} ({', '.join(architectures_of(plan))})" if _chooses(plan) else plan.model


def result_model(result: Mapping[str, Any]) -> str:
    """The same from result.json alone."""
    model: str = result["model"]
    architecture = result["winner"].get("architecture") or model
    return model if architecture == model else f"{model} ({architecture})"


def _chooses(plan: SearchPlan) -> bool:
    return ARCHITECTURE in plan.space
