"""Models on the same clips: by how much one has the higher score, and whether chance explains that.

The test that decides knows that clips of one speaker resemble one another: a t test of the difference in the objective,
such as UAR, with the standard error of a bootstrap that draws whole speakers, the same for both models. Its interval
and its p-value belong together. McNemar's test stands beside it because papers report it; it takes clips for
independent, so that its p-values are too small where speakers differ in which classifier suits them.

How often equal classifiers are told apart at the 5 % level, in simulation: 5 % with 4 to 24 speakers and 1 % with 2;
6 % when speakers' differences are skewed; at worst 11 % (8 and 12 speakers), when one speaker in ten is an outlier. The
percentiles of the same bootstrap tell them apart in 18 % with 4 speakers and 7 % with 24. Flipping the signs of the
speakers' differences (a permutation test) is exact, but of 4 speakers its p-value is never below 0.125.

Both speak of the very models that predicted, averaged over their seeds: how far others of the same architecture would
lie from them, the spread over seeds tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from ser_core.metrics.resampled import speaker_sums
from ser_core.metrics.scores import Interval, resampled_sums, standard_error, t_interval
from ser_core.named_scores import Score
from ser_core.targets import Emotions, Target, headline

SIGNIFICANCE = 0.05
"""A difference is shown when its p-value, corrected for the number of pairs, lies below."""


@dataclass(frozen=True)
class Difference:
    """A difference between two scores, its interval over speakers, and the p-value against none.

    Of one speaker both are NaN: nothing tells how far others would differ.
    """

    value: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class McNemar:
    """Clips that one classifier alone has right, and the exact two-sided p-value against equal numbers of them."""

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far `first` lies above `second`; p_holm are corrected for all pairs compared together.

    Attributes:
        score: that is compared. mcnemar: None where no clip is right or wrong, as with ratings.
    """

    first: str
    second: str
    score: Score
    difference: Difference
    p_holm: float
    mcnemar: McNemar | None
    mcnemar_p_holm: float

    @property
    def tested(self) -> bool:
        """False for one speaker alone."""
        return not np.isnan(self.p_holm)

    @property
    def shown(self) -> bool:
        return self.p_holm < SIGNIFICANCE


def verdict(comparison: Comparison) -> str:
    """In words: "ast beats resnet18 by 2.1 points (-0.9 to 5.1; p = 0.31): not shown"; p is the corrected one."""
    value, interval, score = comparison.difference.value, comparison.difference.interval, comparison.score
    lead = f"beats {comparison.second} by {score.distance(value)}" if value else f"and {comparison.second} score alike"
    if not comparison.tested:
        return f"{comparison.first} {lead} (one test speaker): cannot be tested"
    edges = (
        "no interval" if np.isnan(interval.low) else f"{score.digits(interval.low)} to {score.digits(interval.high)}"
    )
    p_value = "p < 0.001" if comparison.p_holm < 0.001 else f"p = {comparison.p_holm:.2g}"
    shown = "no difference shown" if value == 0 else "shown" if comparison.shown else "not shown"
    return f"{comparison.first} {lead} ({edges}; {p_value}): {shown}"


def compare_all(
    target: Target,
    told: Mapping[str, np.ndarray],
    truth: np.ndarray,
    speakers: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Every pair of models, the better of the two first and pairs with the best model ahead.

    Args:
        target: whose objective is compared.
        told: name -> (seeds, clips, outputs); the number of seeds may differ. Folds of a protocol are pooled by joining
            their clips.
        truth: (clips,) or (clips, outputs), see `ser_core.targets.Target.sums`.
        speakers: (clips,) names.
        level: of the intervals, which are not corrected for the number of pairs.

    Raises:
        ValueError: shapes that do not fit, or no clips.
    """
    drawn = {
        name: _resampled(target, speaker_sums(target, truth, _checked(name, own, truth, speakers), speakers),
                         resamples, seed)
        for name, own in told.items()
    }  # fmt: skip
    ranked = sorted(drawn, key=lambda name: -drawn[name][0])
    count, score = len(np.unique(speakers)), headline(target)
    pairs = list(combinations(ranked, 2))
    differences = [_difference(drawn[first], drawn[second], count, score, level) for first, second in pairs]
    exact = [_mcnemar(target, truth, told[first], told[second]) for first, second in pairs]
    corrected = holm([each.p_value for each in differences])
    exact_corrected = holm([np.nan if each is None else each.p_value for each in exact])
    return tuple(
        Comparison(
            first=first, second=second, score=score, difference=difference, p_holm=p, mcnemar=test,
            mcnemar_p_holm=exact_p,
        )
        for (first, second), difference, p, test, exact_p in zip(
            pairs, differences, corrected, exact, exact_corrected, strict=True
        )
    )  # fmt: skip


def _mcnemar(target: Target, truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> McNemar | None:
    """Of what the means of the seeds have right; None for a target without right and wrong."""
    if not isinstance(target, Emotions):
        return None
    labels = target.labels(truth)
    return mcnemar(*(told.mean(axis=0).argmax(axis=1) == labels for told in (first, second)))


def paired_difference(
    target: Target,
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    speakers: np.ndarray,
    weights: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """How far `first` lies above `second` in the target's objective, on the same predictions of the same clips.

    Unlike `compare_all`, runs need not have predicted the same clips, as those of the folds of a cross-validation have
    not: each run is paired with the other's run on its fold, and whole speakers are resampled.

    Args:
        truth: (predictions,) or (predictions, outputs); a clip stands here once for each run that predicted it.
        first: (predictions, outputs) what it says.
        second: likewise.
        speakers: (predictions,) names.
        weights: (predictions,), such as 1 over the number of runs that predicted the clip.

    Raises:
        ValueError: nothing to compare.
    """
    if not len(truth):
        raise ValueError("a difference needs at least one clip; got none")
    names, who = np.unique(speakers, return_inverse=True)

    def resampled(told: np.ndarray) -> tuple[float, np.ndarray]:
        per_speaker = target.sums(truth, told, who, len(names), weights)
        return _resampled(target, per_speaker[:, None], resamples, seed)

    return _difference(resampled(first), resampled(second), len(names), headline(target), level)


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's exact test: a sign test on the clips that one of two classifiers alone has right (McNemar 1947).

    It takes clips for independent of one another. For classifiers of several seeds, take what the mean of the seeds'
    probabilities has right.

    Args:
        first: (clips,) bool, whether the first classifier has each clip right.
        second: the same of the second.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differing = only_first + only_second
    p_value = float(stats.binomtest(only_first, differing).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (Holm 1979), in the order given; NaN if one is."""
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, dtype=float)[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(p) for p in corrected]


def _checked(name: str, told: np.ndarray, truth: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    if told.ndim != 3 or not told.shape[1] == len(truth) == len(speakers):
        raise ValueError(
            f"a comparison needs what models say (seeds, clips, outputs) with truth and speaker of each clip; got "
            f"{told.shape} of {name!r}, {len(truth)} labels and {len(speakers)} speakers"
        )
    return told


def _resampled(target: Target, per_speaker: np.ndarray, resamples: int, seed: int) -> tuple[float, np.ndarray]:
    """The objective, mean over seeds, of all speakers and of resampled ones (resamples,); one seed, one draw of them.

    Args:
        per_speaker: sums (speakers, seeds, …).
    """
    drawn = resampled_sums(per_speaker, resamples, seed)  # (resamples, seeds, …)
    name = target.objective
    return float(target.score(name, per_speaker.sum(axis=0)).mean()), target.score(name, drawn).mean(axis=1)


def _difference(
    first: tuple[float, np.ndarray], second: tuple[float, np.ndarray], speakers: int, score: Score, level: float
) -> Difference:
    """The difference of two resampled scores, whose resamples must hold the same speakers."""
    value = first[0] - second[0]
    error = standard_error(first[1] - second[1], speakers)
    most = score.most - score.least
    interval = t_interval(value, error, speakers, level=level, least=-most, most=most)
    return Difference(value, interval, _p_value(value, error, speakers))


def _p_value(value: float, error: float, speakers: int) -> float:
    """Two-sided p-value of a difference against none.

    Without an error to divide by, where all speakers differ alike, only the signs speak, and of n speakers with equal
    differences the exact sign-flip test gives 2 / 2^n. NaN for one speaker.
    """
    if speakers < 2:
        return np.nan
    if error > 0:
        return float(2 * stats.t.sf(abs(value) / error, speakers - 1))
    return 1.0 if np.isclose(value, 0.0) else 2.0 ** (1 - speakers)
