"""What it costs and saves to end a search with nothing to gain (`search.run_folder.prospect`), on a truth table.

Configurations of a table take the recipe's place in turn, from the best to a poor one. Behind a good one there is
nothing to find, and a search should end early; behind a poor one it should go on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from _contestants import OURS_TO_THE_END, run
from _worth_replay import final_winner, finalists_of, objective_of, worth
from _worth_table import RECIPE, TruthTable

from search.run_folder.prospect import ENOUGH_TRIALS, prospect
from search.run_folder.records import RunRecords, TrialState

RANKS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Of the configurations that take the recipe's place, as shares of the table, by test UAR."""


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """Searches behind one recipe.

    Attributes:
        rank: of the recipe. recipe: its test UAR in points.
        stopped: share of the searches that ended early. epochs: trained, as a share of the budget.
        whole, early: gain over the recipe in points, searching to the end of the budget, and ending early.
    """

    rank: float
    recipe: float
    stopped: float
    epochs: float
    whole: float
    early: float


def stopping(table: TruthTable, *, seeds: int, workers: int, full_lengths: int) -> list[Stopping]:
    """Our searches, folds in turn, behind recipes of every rank; see `_worth_replay.procedure_gain`."""
    order = np.argsort(-worth(table, "end").mean(axis=1), kind="stable")
    found = []
    for rank in RANKS:
        moved = _with_recipe(table, int(order[round(rank * (len(order) - 1))]))
        searches = [
            _searched(moved, fold, seed, workers, full_lengths * table.header.epochs)
            for fold in range(len(table.header.outer))
            for seed in range(seeds)
        ]
        stopped, epochs, whole, early = np.mean(searches, axis=0)
        recipe = float(worth(moved, "end")[RECIPE].mean())
        found.append(Stopping(rank=rank, recipe=recipe, stopped=stopped, epochs=epochs, whole=whole, early=early))
    return found


def _with_recipe(table: TruthTable, number: int) -> TruthTable:
    """The same table with another configuration first."""
    order = [number, *(other for other in range(len(table.params)) if other != number)]
    return replace(
        table,
        params=[table.params[own] for own in order],
        inner=table.inner[order],
        own=table.own[order],
        test=table.test[order],
        seconds=table.seconds[order],
    )


def _searched(table: TruthTable, fold: int, seed: int, workers: int, budget: int) -> tuple[float, float, float, float]:
    """Whether one search ends early, the share of its epochs, and both gains."""
    objective = objective_of(table, fold, in_turn=True, recipe_first=True)
    trials = run(OURS_TO_THE_END, objective, workers=workers, seed=seed, budget=budget).records.trials
    points = worth(table, "end")[:, fold]

    def gain(records: RunRecords) -> float:
        return float(
            points[final_winner(table, fold, finalists_of(table, [trial.params for trial in records.ranked()]))]
            - points[RECIPE]
        )

    whole = gain(RunRecords(trials=trials))
    for started in range(1 + ENOUGH_TRIALS, len(trials)):
        first = RunRecords(trials={number: trials[number] for number in range(started)})
        if any(trial.state is TrialState.RUNNING for trial in first.trials.values()):
            break
        said = prospect(first)
        if said is not None and said.nothing_to_gain:
            return 1.0, _epochs(first) / _epochs(RunRecords(trials=trials)), whole, gain(first)
    return 0.0, 1.0, whole, whole


def _epochs(records: RunRecords) -> int:
    return sum(len(trial.epochs) for trial in records.trials.values())
