"""Groups of one test set: how far one is recognised better than all others together, and whether chance explains it.

A test of two groups of speakers, not of two classifiers (`ser_core.metrics.paired`): Student's t with the standard
error of a bootstrap over speakers. Groups that share no speaker, such as genders or languages, are drawn each by
itself, with Welch's degrees of freedom (Welch 1947); where a speaker is in both, as with sessions or microphones, one
draw of speakers serves both, so that what makes a speaker hard drops out.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats

from ser_core.metrics.paired import Difference
from ser_core.metrics.resampled import speaker_sums
from ser_core.metrics.scores import Interval, resampled_sums, standard_error
from ser_core.targets import Target, headline


def group_difference(
    target: Target,
    truth: np.ndarray,
    told: np.ndarray,
    speakers: np.ndarray,
    inside: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """How far the objective of the clips `inside` lies above that of all others, over the classes that both have.

    Interval and p-value are NaN where either side has a single speaker, or all speakers score alike; so is the value
    where no class is in both.

    Args:
        truth: (clips,) or (clips, outputs), see `Target.sums`. told: (clips, outputs). speakers: (clips,) names.
        inside: (clips,) bool, some of them True and some False.
    """
    kept = target.in_both(truth, inside)
    if not kept.any():
        return Difference(np.nan, Interval(np.nan, np.nan), np.nan)
    sides = [kept & inside, kept & ~inside]
    names = [set(speakers[side].tolist()) for side in sides]
    sums = [speaker_sums(target, truth[side], told[side], speakers[side])[:, 0] for side in sides]
    score, most = partial(target.score, target.objective), headline(target).most - headline(target).least
    value = float(score(sums[0].sum(axis=0)) - score(sums[1].sum(axis=0)))
    if min(map(len, names)) < 2:
        return Difference(value, Interval(np.nan, np.nan), np.nan)
    if names[0] & names[1]:
        everyone = sorted(names[0] | names[1])
        drawn = [
            score(resampled_sums(_of_all(everyone, sorted(own), each), resamples, seed))
            for own, each in zip(names, sums, strict=True)
        ]
        error, freedom = standard_error(drawn[0] - drawn[1], len(everyone)), float(len(everyone) - 1)
    else:
        errors = [
            standard_error(score(resampled_sums(each, resamples, seed + side)), len(each))
            for side, each in enumerate(sums)
        ]
        error, freedom = _welch(errors, [len(each) for each in sums])
    if not error > 0:
        return Difference(value, Interval(np.nan, np.nan), np.nan)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(value) / error, freedom))
    return Difference(value, Interval(max(-most, value - half), min(most, value + half)), p_value)


def _of_all(everyone: list[str], names: list[str], sums: np.ndarray) -> np.ndarray:
    """Sums of all speakers, 0 for those who are not among the names."""
    whole = np.zeros((len(everyone), *sums.shape[1:]))
    whole[[everyone.index(name) for name in names]] = sums
    return whole


def _welch(errors: list[float], speakers: list[int]) -> tuple[float, float]:
    """Standard error of a difference of independent scores, and its degrees of freedom (Welch 1947, Satterthwaite)."""
    squares = [error**2 for error in errors]
    total = sum(squares)
    if not total > 0:
        return 0.0, 1.0
    return total**0.5, total**2 / sum(own**2 / (count - 1) for own, count in zip(squares, speakers, strict=True))
