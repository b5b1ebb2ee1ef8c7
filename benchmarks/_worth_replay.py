"""Procedures replayed on a truth table: what they choose, and what that is worth on speakers that nothing saw.

A procedure searches on the validation curves of one outer fold, takes the configuration that looks best, and refits it.
Its gain is the test UAR of that, less that of the recipe refitted to the end of its schedule, on the same speakers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from _contestants import CONTESTANTS, run
from _objectives import Objective
from _worth_table import RECIPE, TruthTable
from _worth_variance import Estimate, validation_scores

from search.simulation.curve_tables import Curve
from spaces.knobs import Value

REFITS = ("end", "best")
"""To the end of the schedule, or to the epoch that was best in validation."""
RESAMPLES = 2_000


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a procedure is worth.

    Attributes:
        procedure: what searched. score: by what it chose. refit: one of `REFITS`.
        guarded: the recipe stands unless something scores better than it.
        points: mean test UAR less the recipe's. kept: share of the searches that ended with the recipe.
    """

    procedure: str
    score: str
    refit: str
    guarded: bool
    points: Estimate
    kept: float


def search_gains(table: TruthTable, contestant: str, *, seeds: int, workers: int, full_lengths: int) -> list[Gain]:
    """Gains of one of `_contestants.CONTESTANTS`, which sees the split's own validation speakers.

    Args:
        seeds: searches on every outer fold.
        full_lengths: budget, in trials of full length.
    """
    folds, score = range(len(table.header.outer)), table.own.max(axis=-1)
    chosen = np.array([
        [_searched(table, contestant, fold, seed, workers, full_lengths) for seed in range(seeds)] for fold in folds
    ])  # (folds, seeds)  # fmt: skip
    return _gains(table, CONTESTANTS[contestant].title, "own speakers, best epoch", score, chosen)


def choice_gains(table: TruthTable, *, draws: int, repeats: int = 2_000, seed: int = 0) -> list[Gain]:
    """Gains of random search without early stopping, for every score by which it could choose.

    Args:
        draws: configurations that are trained, the recipe not among them. repeats: searches on every outer fold.

    Raises:
        ValueError: more draws than configurations.
    """
    count = len(table.params) - 1
    if draws > count:
        raise ValueError(f"the table holds {count} configurations beside the recipe; {draws} cannot be drawn from it")
    rng = np.random.default_rng(seed)
    drawn = 1 + np.array([rng.permutation(count)[:draws] for _ in range(repeats)])  # (repeats, draws)
    found = []
    for name, score in validation_scores(table).items():
        chosen = np.array([
            drawn[np.arange(repeats), score[drawn, fold].argmax(axis=1)] for fold in range(score.shape[1])
        ])  # fmt: skip
        found += _gains(table, f"random, {draws} trials", name, score, chosen)
    return found


def _gains(table: TruthTable, procedure: str, score_name: str, score: np.ndarray, chosen: np.ndarray) -> list[Gain]:
    """The gains of what was chosen, (folds, searches) numbers of configurations, for each refit and guard."""
    folds, recipe = np.arange(len(chosen))[:, None], _worth(table, "end")[RECIPE]
    found = []
    for refit in REFITS:
        worth = _worth(table, refit)  # (configurations, folds)
        for guarded in (False, True):
            better = score[chosen, folds] > score[RECIPE][:, None]
            kept = np.where(better, chosen, RECIPE) if guarded else chosen
            points = worth[kept, folds] - recipe[:, None]
            found.append(
                Gain(
                    procedure=procedure,
                    score=score_name,
                    refit=refit,
                    guarded=guarded,
                    points=_over_folds(points),
                    kept=float((kept == RECIPE).mean()),
                )
            )
    return found


def _worth(table: TruthTable, refit: str) -> np.ndarray:
    """Test UAR in points of a refit, mean over its seeds: (configurations, folds)."""
    if refit == "end":
        return 100 * table.test[..., -1].mean(axis=2)
    epochs = np.median(table.inner.argmax(axis=-1), axis=2).astype(int)  # (configurations, folds)
    return 100 * np.take_along_axis(table.test.mean(axis=2), epochs[..., None], axis=2)[..., 0]


def _over_folds(points: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of (folds, searches), with its 95 % percentile bootstrap interval over folds and searches within them."""
    rng, (folds, searches) = np.random.default_rng(seed), points.shape
    drawn = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        some = rng.integers(folds, size=folds)
        drawn[index] = points[some[:, None], rng.integers(searches, size=(folds, searches))].mean()
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(value=float(points.mean()), low=float(low), high=float(high))


def _searched(table: TruthTable, contestant: str, fold: int, seed: int, workers: int, full_lengths: int) -> int:
    """The configuration that a search of one outer fold ends with."""
    budget = full_lengths * table.header.epochs
    meter = run(CONTESTANTS[contestant], _objective(table, fold), workers=workers, seed=seed, budget=budget)
    return table.nearest(meter.incumbent(budget))


def _objective(table: TruthTable, fold: int) -> Objective:
    """What a search sees of one outer fold: the own curve of the recorded configuration that lies nearest."""
    header = table.header
    best = table.own[:, fold].max(axis=-1)

    def curve_of(params: Mapping[str, Value]) -> Curve:
        near = table.nearest(params)
        return Curve(params=params, val_uar=table.own[near, fold].tolist(), seconds=float(table.seconds[near]))

    return Objective(
        name=f"{header.model}-{header.outer[fold]}",
        title=f"{header.model} on {header.corpus}, {header.outer[fold]}",
        space=table.space,
        max_epochs=header.epochs,
        best=float(best.max()),
        curve_of=curve_of,
        final=lambda params: float(best[table.nearest(params)]),
        about=f"{len(table.params)} configurations",
    )
