"""A truth table taken apart: how much of a test score is the configuration, how much the speakers, how much luck.

Random-effects analysis of variance in two crossed ways with repeats (Searle, Casella, McCulloch 1992, "Variance
Components", section 4.3): score = fold + configuration + configuration x fold + seed. The fold's own level is taken
out, since a search compares configurations on the same speakers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from _worth_table import RECIPE, TruthTable

from spaces.knobs import Choice, Knob, Value

RESAMPLES = 2_000
KNOB_GROUPS = 4
"""Groups of equal size into which the values of a range are divided."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Standard deviations in points, with intervals from resampled configurations.

    Configurations are resampled and folds are not: of three or four folds a resample holds some twice, whose
    interaction then looks smaller than it is.

    Attributes:
        configuration: between configurations, over speakers in general: what a search can gain from.
        interaction: of a configuration from one fold's speakers to another's.
        seed: of one training.
        recipe: how far the recipe lies above the mean configuration. best: how far the best one does, luck included.
        rank: of the recipe, from 1.
    """

    configuration: Estimate
    interaction: Estimate
    seed: Estimate
    recipe: float
    best: float
    rank: int


def final_scores(table: TruthTable, last: int = 1) -> np.ndarray:
    """(configurations, outer folds, repeats) test UAR in points, mean over the `last` epochs of the schedule."""
    return 100 * table.test[..., -last:].mean(axis=-1)


def components(scores: np.ndarray) -> tuple[float, float, float]:
    """Variances of configuration, configuration x fold and seed, from (configurations, folds, repeats).

    The estimators of the analysis of variance; one that comes out below 0 counts as 0.

    Raises:
        ValueError: fewer than two of any of the three.
    """
    configurations, folds, repeats = scores.shape
    if min(scores.shape) < 2:
        raise ValueError(f"each of configurations, folds and repeats must number at least 2; got {scores.shape}")
    cells = scores.mean(axis=2)
    mean = cells.mean()
    main, fold = cells.mean(axis=1) - mean, cells.mean(axis=0) - mean
    left = cells - mean - main[:, None] - fold
    between = folds * repeats * np.square(main).sum() / (configurations - 1)
    crossed = repeats * np.square(left).sum() / ((configurations - 1) * (folds - 1))
    within = np.square(scores - cells[..., None]).sum() / (configurations * folds * (repeats - 1))
    return max(0.0, (between - crossed) / (folds * repeats)), max(0.0, (crossed - within) / repeats), within


def take_apart(table: TruthTable, seed: int = 0) -> Parts:
    """The parts of a table's test scores at the end of the schedule."""
    scores = final_scores(table)
    estimates = [_estimate(scores, lambda some, part=part: components(some)[part] ** 0.5, seed) for part in range(3)]
    means = scores.mean(axis=(1, 2))
    return Parts(
        configuration=estimates[0],
        interaction=estimates[1],
        seed=estimates[2],
        recipe=float(means[RECIPE] - means.mean()),
        best=float(means.max() - means.mean()),
        rank=int((means > means[RECIPE]).sum()) + 1,
    )


def knob_effects(table: TruthTable, seed: int = 0) -> Mapping[str, Estimate]:
    """Knob -> standard deviation in points of its groups' true means, the other knobs averaged out.

    Groups are the values of a choice, or quarters of a range. One-way random effects: what the mean of a group varies
    by through its few configurations is taken off. A knob whose interval begins at 0 may as well be fixed,
    and one that no configuration had active is left out.
    """
    means = final_scores(table).mean(axis=(1, 2))
    found = {}
    for name, knob in table.space.knobs.items():
        rows = np.flatnonzero([name in params for params in table.params])
        if not len(rows):
            continue
        groups = _groups(knob, [table.params[row][name] for row in rows])
        data = np.column_stack([means[rows], groups])
        found[name] = _estimate(data, lambda some: between_groups(some[:, 0], some[:, 1]) ** 0.5, seed)
    return found


def between_groups(values: np.ndarray, groups: np.ndarray) -> float:
    """Variance of the groups' means without that of their members: one-way random effects; 0 for a single group."""
    members = [values[groups == group] for group in np.unique(groups)]
    sizes, count = np.array([len(own) for own in members]), len(values)
    if len(members) < 2 or count <= len(members):
        return 0.0
    within = sum(np.square(own - own.mean()).sum() for own in members) / (count - len(members))
    between = sum(len(own) * (own.mean() - values.mean()) ** 2 for own in members) / (len(members) - 1)
    size = (count - np.square(sizes).sum() / count) / (len(members) - 1)
    return max(0.0, float((between - within) / size))


def _groups(knob: Knob, values: list[Value]) -> np.ndarray:
    """The group of each value, a whole number."""
    if isinstance(knob, Choice):
        return np.array([knob.values.index(value) for value in values])
    ranks = np.argsort(np.argsort([float(value) for value in values], kind="stable"), kind="stable")
    return ranks * KNOB_GROUPS // max(1, len(values))


def _estimate(rows: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int) -> Estimate:
    """A statistic of the rows, and its percentile bootstrap interval over them."""
    rng = np.random.default_rng(seed)
    drawn = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(value=float(statistic(rows)), low=float(low), high=float(high))


# -- how well a score tells what is true -----------------------------------------------------------------------------


def agreement(table: TruthTable) -> Mapping[str, float]:
    """What a configuration could be scored by -> correlation with the test score, mean over the outer folds."""
    truth = final_scores(table).mean(axis=2)  # (configurations, folds)
    return {name: _mean_correlation(score, truth) for name, score in validation_scores(table).items()}


def validation_scores(table: TruthTable) -> Mapping[str, np.ndarray]:
    """What a search could score a configuration by, in [0, 1]: each (configurations, outer folds)."""
    last = max(1, table.header.epochs // 8)
    scores = {
        "own speakers, best epoch": table.own.max(axis=-1),
        f"own speakers, last {last} epochs": table.own[..., -last:].mean(axis=-1),
    }
    for folds in range(1, table.header.inner + 1):
        some = table.inner[:, :, :folds]
        scores[f"{folds} inner, best epochs"] = some.max(axis=-1).mean(axis=2)
        scores[f"{folds} inner, last {last} epochs"] = some[..., -last:].mean(axis=(2, 3))
    return scores


def _mean_correlation(score: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(score[:, fold], truth[:, fold])[0, 1] for fold in range(truth.shape[1])]))
