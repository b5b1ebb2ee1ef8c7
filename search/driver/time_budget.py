"""How `--hours` is divided between the search and the finals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from search.run_folder.architectures import architectures_of, schedules
from search.run_folder.finals_rule import finalists_of
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords
from spaces.several import for_choice

RESERVE_SECONDS = 5.0
"""How often it is reckoned anew what the finals will need, and what training has taken."""


def search_clock(
    plan: SearchPlan,
    records: RunRecords,
    concurrency: Callable[[], int],
    clock: Callable[[], float] = time.time,
    *,
    shared: bool = False,
) -> Callable[[], float]:
    """A function that returns the seconds left for the search, the finals' share of `--hours` set aside.

    Time of earlier sessions counts, and what this one has spent before its search, as on features. The share is
    estimated from the epochs trained so far, and from how many trials the cluster trains at once, which may change.

    Args:
        shared: the run has the workers together with others: its time is not what the clock says, but what its training
            would have taken on all of them.
    """
    if plan.limits.hours is None:
        return lambda: math.inf
    whole = 3600 * plan.limits.hours
    reserve, trained, estimated_at = 0.0, 0.0, -math.inf

    def left() -> float:
        nonlocal reserve, trained, estimated_at
        if clock() - estimated_at >= RESERVE_SECONDS:
            reserve, estimated_at = finals_seconds(plan, records, concurrency()), clock()
            trained = trained_seconds(records) / concurrency() if shared else 0.0
        return whole - (trained if shared else _elapsed(records, clock())) - reserve

    return left


def trained_seconds(records: RunRecords) -> float:
    """What all training of a run has taken, one job after another."""
    return sum(run.train_seconds for run in (*records.trials.values(), *records.finals))


def _elapsed(records: RunRecords, now: float) -> float:
    """Of all sessions, the last of which goes on."""
    *earlier, present = records.sessions
    return now - present.started + sum(session.last - session.started for session in earlier)


def finals_seconds(plan: SearchPlan, records: RunRecords, concurrency: int) -> float:
    """About how long finals and refits will take, as if the dearest of the best trials were repeated in all of them."""
    best = finalists_of(plan, records)
    epochs = schedules(plan)
    whole = (
        for_choice(epochs, trial.params) * trial.train_seconds / len(trial.epochs) for trial in best if trial.epochs
    )
    seconds = max(whole, default=0.0)
    if plan.final_folds and isinstance(plan.folds, int):
        seconds /= plan.folds  # an epoch of the search was one of every fold
    recipes = min(plan.finalists, len(architectures_of(plan))) if plan.finals_rule > 1 and plan.first else 0
    finalists = plan.finalists + recipes
    rounds = math.ceil(finalists * plan.seeds / concurrency) + math.ceil(plan.seeds / concurrency)
    return seconds * rounds
