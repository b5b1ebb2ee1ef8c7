"""Groups of one test set: how far one is recognised better than all others together, and whether chance explains it.

A test of two groups of speakers, not of two classifiers (`ser_core.metrics.paired`): Student's t with the standard
error of a bootstrap over speakers. Groups that share no speaker, such as genders or languages, are drawn each by
itself, with Welch's degrees of freedom (Welch 1947); where a speaker is in both, as with sessions or microphones, one
draw of speakers serves both, so that what makes a speaker hard drops out.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from ser_core.metrics.paired import Difference
from ser_core.metrics.scores import Interval, resampled_sums, speaker_confusions, standard_error, uar


def group_difference(
    labels: np.ndarray,
    predictions: np.ndarray,
    speakers: np.ndarray,
    inside: np.ndarray,
    classes: int,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """How far the UAR of the clips `inside` lies above that of all others, over the classes that both have.

    Interval and p-value are NaN where either side has a single speaker, or all speakers score alike; so is the value
    where no class is in both.

    Args:
        labels: (clips,) class indices. predictions: likewise. speakers: (clips,) names.
        inside: (clips,) bool, some of them True and some False.
    """
    shared = sorted(set(labels[inside].tolist()) & set(labels[~inside].tolist()))
    kept = np.isin(labels, shared)
    if not shared:
        return Difference(np.nan, Interval(np.nan, np.nan), np.nan)
    sides = [kept & inside, kept & ~inside]
    names = [set(speakers[side].tolist()) for side in sides]
    counts = [_per_speaker(labels, predictions, speakers, side, classes) for side in sides]
    value = float(uar(counts[0].sum(axis=0)) - uar(counts[1].sum(axis=0)))
    if min(map(len, names)) < 2:
        return Difference(value, Interval(np.nan, np.nan), np.nan)
    if names[0] & names[1]:
        everyone = sorted(names[0] | names[1])
        drawn = [
            uar(resampled_sums(_of_all(everyone, sorted(own), count), resamples, seed))
            for own, count in zip(names, counts, strict=True)
        ]
        error, freedom = standard_error(drawn[0] - drawn[1], len(everyone)), float(len(everyone) - 1)
    else:
        errors = [
            standard_error(uar(resampled_sums(count, resamples, seed + side)), len(count))
            for side, count in enumerate(counts)
        ]
        error, freedom = _welch(errors, [len(count) for count in counts])
    if not error > 0:
        return Difference(value, Interval(np.nan, np.nan), np.nan)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, freedom))
    return Difference(value, Interval(max(-1.0, value - half), min(1.0, value + half)), p_value)


def _per_speaker(
    labels: np.ndarray, predictions: np.ndarray, speakers: np.ndarray, rows: np.ndarray, classes: int
) -> np.ndarray:
    """(speakers, classes, classes), in the order of their names."""
    return speaker_confusions(labels[rows], predictions[rows], speakers[rows], classes)[:, 0]


def _of_all(everyone: list[str], names: list[str], counts: np.ndarray) -> np.ndarray:
    """Counts of all speakers, 0 for those who are not among the names."""
    whole = np.zeros((len(everyone), *counts.shape[1:]))
    whole[[everyone.index(name) for name in names]] = counts
    return whole


def _welch(errors: list[float], speakers: list[int]) -> tuple[float, float]:
    """Standard error of a difference of independent scores, and its degrees of freedom (Welch 1947, Satterthwaite)."""
    squares = [error**2 for error in errors]
    total = sum(squares)
    if not total > 0:
        return 0.0, 1.0
    return total**0.5, total**2 / sum(own**2 / (count - 1) for own, count in zip(squares, speakers, strict=True))
