"""Scores of any target with their uncertainty over speakers: clips become sums per speaker, and speakers are drawn."""

from __future__ import annotations

import numpy as np

from ser_core.metrics.scores import Interval, check_level, resampled_sums, standard_error, t_interval
from ser_core.named_scores import SCORES
from ser_core.targets import Target


def speaker_sums(target: Target, truth: np.ndarray, told: np.ndarray, speakers: np.ndarray) -> np.ndarray:
    """Sums of every speaker and run: (speakers, runs, …), speakers in order of their names.

    Args:
        truth: (clips,) or (clips, names), see `Target.sums`.
        told: (clips, names), or (runs, clips, names) of several runs.
        speakers: (clips,) names.

    Raises:
        ValueError: no clips, or shapes that do not fit.
    """
    runs = told[None] if told.ndim == 2 else told
    if not len(truth) or not len(truth) == len(speakers) == runs.shape[1]:
        raise ValueError(
            f"scores need what a model says of each clip (clips, outputs), with its truth and speaker, of one clip or "
            f"more; got {told.shape}, {truth.shape} and {speakers.shape}"
        )
    names, who = np.unique(speakers, return_inverse=True)
    return np.stack([target.sums(truth, run, who, len(names)) for run in runs], axis=1)


def score_intervals(
    target: Target,
    truth: np.ndarray,
    told: np.ndarray,
    speakers: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of all scores of a target over speakers: t interval with the standard error of a bootstrap.

    Clips of one speaker resemble one another, so drawing clips would make the interval too narrow: whole speakers are
    drawn with replacement (cluster bootstrap: Davison & Hinkley 1997, section 3.8). With few of them the bootstrap's
    own quantiles are too narrow as well, since no resample lies beyond the best or the worst speaker (Hesterberg 2015,
    "What teachers should know about the bootstrap"); hence `t_interval`, with as many degrees of freedom as speakers
    but one (Cameron & Miller 2015, section VI). With a single speaker nothing can be said about others: bounds are NaN.

    Args:
        truth, speakers: see `speaker_sums`.
        told: (clips, names), or (runs, clips, names) for the interval of the mean score over several runs.

    Returns:
        Intervals by the names of the scores.

    Raises:
        ValueError: see `speaker_sums`; a level outside (0, 1).
    """
    check_level(level)
    per_speaker = speaker_sums(target, truth, told, speakers)
    observed = per_speaker.sum(axis=0)  # (runs, …)
    drawn = resampled_sums(per_speaker, resamples, seed)  # (resamples, runs, …)
    intervals = {}
    for name in target.scores:
        error = standard_error(target.score(name, drawn).mean(axis=1), len(per_speaker))
        estimate = float(target.score(name, observed).mean())
        bounds = {"least": SCORES[name].least, "most": SCORES[name].most}
        intervals[name] = t_interval(estimate, error, len(per_speaker), level=level, **bounds)
    return intervals


def scores_of(target: Target, truth: np.ndarray, told: np.ndarray) -> dict[str, float]:
    """All scores of what one model says of clips, truth (clips,) or (clips, names), told (clips, names)."""
    sums = target.sums(truth, told, np.zeros(len(truth), dtype=np.int64), 1)[0]
    return {name: float(target.score(name, sums)) for name in target.scores}
