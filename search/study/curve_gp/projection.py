"""Where a learning curve that was ended early would have come to, and how far that can be trusted.

Trials are compared at checkpoints: the epochs at which early stopping ended trials, and the last one. The score at each
is regressed on the score at the one before, over all trials that reached both, and a trial's score is carried from
checkpoint to checkpoint up to the end. That the weak ones are missing at the later checkpoint does not bend the
regression, since it was the score at the earlier one that ended them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.run_folder.scoring import best_third

LEAST_ENDED = 3
"""Trials that early stopping ended at an epoch, for it to be a checkpoint."""
MOST_CHECKPOINTS = 12
"""The last epoch among them, and of the others those at which most trials ended."""
SLOPE, PAIRS = 0.8, 5.0
"""What a regression is drawn towards, and the number of pairs of scores for which that counts."""


def score(values: Sequence[float], fold_epochs: int = 0) -> float:
    """Mean of the best third of the epochs so far, of three at least: one lucky epoch does not make it.

    Args:
        values: after each epoch; NaN counts as nothing.
        fold_epochs: of each fold where folds are trained one after another, 0 otherwise. From the second fold on the
            values are scores already, each over the folds that are complete.

    Returns:
        NaN without a number.
    """
    return values[-1] if fold_epochs and len(values) > fold_epochs else best_third(values)


def checkpoints(stopped: np.ndarray, complete: np.ndarray) -> list[int]:
    """Epochs at which trials are compared, the last one among them.

    Args:
        stopped: (trials,) last epochs of those that were ended early. complete: of those that were not.

    Returns:
        Nothing while no trial has ended.
    """
    ended = complete if len(complete) else stopped
    if not len(ended):
        return []
    end = int(ended.max())
    epochs, counts = np.unique(stopped[stopped < end], return_counts=True)
    common = [(count, epoch) for epoch, count in zip(epochs.tolist(), counts.tolist(), strict=True)]
    most = sorted((it for it in common if it[0] >= LEAST_ENDED), reverse=True)[: MOST_CHECKPOINTS - 1]
    return [*sorted(epoch for _, epoch in most), end]


@dataclass(frozen=True)
class Step:
    """From the scores at one checkpoint to those at the next: a line, and the variance about it."""

    slope: float
    intercept: float
    variance: float

    @classmethod
    def fitted(cls, before: np.ndarray, after: np.ndarray) -> Step:
        """Ridge regression towards a slope of `SLOPE`, with the variance that this slope leaves of the scores before.

        Args:
            before: (trials,) scores at the earlier checkpoint. after: at the later one, NaN where it was not reached.
        """
        spread = float(np.nanvar(before))
        both = ~np.isnan(before) & ~np.isnan(after)
        x, y = before[both], after[both]
        if not len(x):
            return cls(1.0, 0.0, spread)
        dx, dy = x - x.mean(), y - y.mean()
        weight = PAIRS * spread
        total = float(dx @ dx) + weight
        slope = (float(dx @ dy) + SLOPE * weight) / total if total > 0 else SLOPE
        missed = float(np.square(dy - slope * dx).sum())
        variance = (missed + PAIRS * (1 - SLOPE**2) * spread) / (len(x) + PAIRS)
        return cls(slope, float(y.mean() - slope * x.mean()), variance)


def projected(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores at the last checkpoint, where they were not reached as the regressions expect them.

    Args:
        scores: (trials, checkpoints), NaN from the first checkpoint on that a trial did not reach.

    Returns:
        (trials,) means and (trials,) variances, which are 0 at the end itself; NaN for trials without a score.
    """
    means, variances = scores[:, 0].copy(), np.where(np.isnan(scores[:, 0]), np.nan, 0.0)
    for before, after in zip(scores.T[:-1], scores.T[1:], strict=True):
        step, reached = Step.fitted(before, after), ~np.isnan(after)
        means = np.where(reached, after, step.intercept + step.slope * means)
        variances = np.where(reached, 0.0, step.slope**2 * variances + step.variance)
    return means, variances
