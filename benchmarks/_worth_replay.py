"""Procedures replayed on a truth table: what they choose, and what that is worth on speakers that nothing saw.

A procedure searches on the validation curves of one outer fold, takes the configuration that looks best, and refits it.
Ours repeats finalists, the recipe among them, on inner folds before it chooses; their epochs come from the same budget.
Its gain is the test UAR of that, less that of the recipe refitted to the end of its schedule, on the same speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from _contestants import CONTESTANTS, FINALISTS, SEEDS, run
from _objectives import Objective
from _worth_table import RECIPE, TruthTable
from _worth_variance import Estimate, validation_scores

from search.run_folder.prospect import LUCK
from search.run_folder.records import RunRecords
from search.simulation.curve_tables import Curve
from search.study.curve_gp.sampler import posterior_means
from search.study.rebuild import rebuild
from spaces.knobs import Space, Value

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


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Our search as a run has it: the recipe first, then the sampler, then finals with the recipe among them.

    Attributes:
        title: for readers. contestant: in `_contestants.CONTESTANTS`.
        in_turn: trials train inner folds one after another; otherwise on the split's own parts.
        by_mean: finalists have the highest posterior means of the Gaussian process, not the highest scores.
    """

    title: str
    contestant: str
    in_turn: bool = True
    by_mean: bool = False


PROCEDURES: Mapping[str, Procedure] = {
    "finals": Procedure(title="ours, finals", contestant="ours", in_turn=False),
    "folds": Procedure(title="ours, folds in turn, finals", contestant="ours"),
    "folds-gp": Procedure(title="ours, curve-gp, folds in turn, finals", contestant="ours-gp"),
    "folds-gp-mean": Procedure(title="…, finalists by posterior mean", contestant="ours-gp", by_mean=True),
    "folds-random": Procedure(title="random, our ASHA, folds in turn, finals", contestant="random-asha"),
}


def procedure_gain(table: TruthTable, procedure: Procedure, *, seeds: int, workers: int, full_lengths: int) -> Gain:
    """The gain of one of `PROCEDURES`; see `search_gains`.

    Raises:
        ValueError: a budget that the finals alone use up, or a table with fewer inner folds than the finals have seeds.
    """
    if table.header.inner < SEEDS:
        raise ValueError(f"the finals go over {SEEDS} inner folds; the table has {table.header.inner}")
    if full_lengths <= finals_lengths():
        raise ValueError(f"the finals alone take {finals_lengths()} trials of full length; got {full_lengths}")
    chosen = np.array([
        [_concluded(table, procedure, fold, seed, workers, full_lengths) for seed in range(seeds)]
        for fold in range(len(table.header.outer))
    ])  # (folds, seeds)  # fmt: skip
    return _gain(table, procedure.title, f"{SEEDS} inner, best epochs", "end", chosen, guarded=True)


def finals_lengths() -> int:
    """Trainings of full length that the finals take: the finalists and the recipe, each with all seeds."""
    return (FINALISTS + 1) * SEEDS


def _concluded(table: TruthTable, procedure: Procedure, fold: int, seed: int, workers: int, full_lengths: int) -> int:
    """The configuration that a search and its finals end with."""
    objective = objective_of(table, fold, in_turn=procedure.in_turn, recipe_first=True)
    budget = (full_lengths - finals_lengths()) * table.header.epochs
    meter = run(CONTESTANTS[procedure.contestant], objective, workers=workers, seed=seed, budget=budget)
    return final_winner(table, fold, finalists_of(table, _ranked(meter.records, objective, by_mean=procedure.by_mean)))


def finalists_of(table: TruthTable, ranked: Sequence[Mapping[str, Value]]) -> list[int]:
    """The recipe and the best other configurations of a search, each of the table's once."""
    found = dict.fromkeys(table.nearest(params) for params in ranked)
    return [RECIPE, *[number for number in found if number != RECIPE][:FINALISTS]]


def final_winner(table: TruthTable, fold: int, finalists: Sequence[int]) -> int:
    """The finalist with the best mean of best epochs over inner folds, if it leads the recipe beyond luck.

    A run trains each finalist anew. A table holds one training on each inner fold, so the last folds are taken, which
    fewest trials have reached. Nor does it hold predictions, from which a run has the error of a lead: here it comes
    from how much all configurations' leads differ between inner folds.

    Args:
        finalists: the recipe first.
    """
    leads = table.inner[:, fold].max(axis=-1) - table.inner[RECIPE, fold].max(axis=-1)  # (configurations, inner)
    others = np.arange(len(leads)) != RECIPE
    luck = np.sqrt(leads[others].var(axis=1, ddof=1).mean() / SEEDS)
    means = leads[list(finalists), -SEEDS:].mean(axis=1)
    return finalists[int(means.argmax())] if means.max() > LUCK * luck else RECIPE


def _ranked(records: RunRecords, objective: Objective, *, by_mean: bool) -> list[Mapping[str, Value]]:
    """Configurations of a search, the best first."""
    best = {trial.number: trial.params for trial in records.ranked()}
    if not by_mean:
        return list(best.values())
    study = optuna.create_study(direction="maximize")
    rebuild(study, objective.space, records.trials)
    means = posterior_means(study, objective.space, objective.max_epochs if objective.folds > 1 else 0)
    return [best[number] for number in sorted(best, key=lambda number: -means.get(number, -np.inf))]


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
    better = score[chosen, np.arange(len(chosen))[:, None]] > score[RECIPE][:, None]
    guarded = np.where(better, chosen, RECIPE)
    return [
        _gain(table, procedure, score_name, refit, guarded if guard else chosen, guarded=guard)
        for refit in REFITS
        for guard in (False, True)
    ]


def _gain(table: TruthTable, procedure: str, score_name: str, refit: str, chosen: np.ndarray, *, guarded: bool) -> Gain:
    """The gain of what was chosen, (folds, searches) numbers of configurations."""
    folds, recipe = np.arange(len(chosen))[:, None], worth(table, "end")[RECIPE]
    points = worth(table, refit)[chosen, folds] - recipe[:, None]
    return Gain(
        procedure=procedure,
        score=score_name,
        refit=refit,
        guarded=guarded,
        points=_over_folds(points),
        kept=float((chosen == RECIPE).mean()),
    )


def worth(table: TruthTable, refit: str) -> np.ndarray:
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
    meter = run(CONTESTANTS[contestant], objective_of(table, fold), workers=workers, seed=seed, budget=budget)
    return table.nearest(meter.incumbent(budget))


def objective_of(table: TruthTable, fold: int, *, in_turn: bool = False, recipe_first: bool = False) -> Objective:
    """What a search sees of one outer fold, of the recorded configuration that lies nearest.

    Args:
        in_turn: the curves on the inner folds, joined; otherwise the one on the own parts.
        recipe_first: the space begins with the recipe.
    """
    header = table.header
    curves = table.inner[:, fold].reshape(len(table.params), -1) if in_turn else table.own[:, fold]
    best = curves.max(axis=-1)
    first = (table.params[RECIPE],) if recipe_first else ()

    def curve_of(params: Mapping[str, Value]) -> Curve:
        near = table.nearest(params)
        return Curve(params=params, val_uar=curves[near].tolist(), seconds=float(table.seconds[near]))

    return Objective(
        name=f"{header.model}-{header.outer[fold]}",
        title=f"{header.model} on {header.corpus}, {header.outer[fold]}",
        space=Space(knobs=table.space.knobs, first=first),
        max_epochs=header.epochs,
        best=float(best.max()),
        curve_of=curve_of,
        final=lambda params: float(best[table.nearest(params)]),
        about=f"{len(table.params)} configurations",
        folds=header.inner if in_turn else 1,
    )
