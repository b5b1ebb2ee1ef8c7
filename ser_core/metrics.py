"""Scores of a classifier, all of them from its confusion matrix, and their uncertainty over speakers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scores:
    """How well predictions fit labels; shares in [0, 1], NaN where nothing defines them.

    Attributes:
        uar: unweighted average recall: mean of the recalls of the classes that occur among the labels.
        war: weighted average recall, which is accuracy.
        macro_f1: mean F1 of the classes that occur among labels or predictions.
        per_class_recall: (classes,); NaN for a class that no label names.
        confusion: (classes, classes) counts, a row per true class, a column per predicted one.
    """

    uar: float
    war: float
    macro_f1: float
    per_class_recall: np.ndarray
    confusion: np.ndarray


@dataclass(frozen=True)
class Interval:
    """Bounds of a confidence interval, inclusive."""

    low: float
    high: float


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Labels and predictions (clips,) of class indices -> counts (classes, classes), true by predicted.

    Raises:
        ValueError: lengths that differ, or an index outside [0, classes).
    """
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"labels and predictions must be one per clip; got {labels.shape} and {predictions.shape}")
    for name, indices in (("labels", labels), ("predictions", predictions)):
        if indices.size and (indices.min() < 0 or indices.max() >= classes):
            raise ValueError(f"{name} must lie in [0, {classes}); got {indices.min()} to {indices.max()}")
    counts = np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes * classes)
    return counts.reshape(classes, classes)


def scores(labels: np.ndarray, predictions: np.ndarray, classes: int) -> Scores:
    """Score predictions (clips,) against labels (clips,), both class indices.

    Raises:
        ValueError: see `confusion_matrix`.
    """
    confusion = confusion_matrix(labels, predictions, classes)
    return Scores(
        uar=float(uar(confusion)),
        war=float(war(confusion)),
        macro_f1=float(macro_f1(confusion)),
        per_class_recall=per_class_recall(confusion),
        confusion=confusion,
    )


def per_class_recall(confusion: np.ndarray) -> np.ndarray:
    """(…, classes, classes) -> (…, classes); NaN for a class without clips."""
    return _ratio(_hits(confusion), confusion.sum(axis=-1))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall: (…, classes, classes) -> (…); classes without clips do not count."""
    return _mean_of_defined(per_class_recall(confusion))


def war(confusion: np.ndarray) -> np.ndarray:
    """Weighted average recall (accuracy): (…, classes, classes) -> (…)."""
    return _ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that occur as label or prediction: (…, classes, classes) -> (…)."""
    return _mean_of_defined(_ratio(2 * _hits(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2)))


def bootstrap_interval(
    labels: np.ndarray,
    predictions: np.ndarray,
    speakers: np.ndarray,
    classes: int,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals of UAR, WAR and macro F1 when whole speakers are drawn with replacement.

    Clips of one speaker resemble one another, so drawing clips would make the interval too narrow (cluster bootstrap:
    Davison & Hinkley 1997, section 3.8). With a single speaker nothing can be said about others: the bounds are NaN.

    Args:
        labels: (clips,) class indices.
        predictions: (clips,) class indices, or (runs, clips) for the interval of the mean score over several runs.
        speakers: (clips,) names.

    Returns:
        Intervals under "uar", "war" and "macro_f1".

    Raises:
        ValueError: see `confusion_matrix`; no clips, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level}")
    if not labels.size:
        raise ValueError("a bootstrap needs at least one clip; got none")
    names = np.unique(speakers)
    if len(names) == 1:
        return {name: Interval(np.nan, np.nan) for name in _METRICS}
    runs = np.atleast_2d(predictions)
    per_speaker = np.stack(
        [[confusion_matrix(labels[speakers == name], run[speakers == name], classes) for run in runs] for name in names]
    )  # (speakers, runs, classes, classes)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    drawn = np.tensordot(draws, per_speaker, axes=1)  # (resamples, runs, classes, classes)
    tail = (1 - level) / 2
    return {
        name: Interval(*(float(bound) for bound in np.quantile(metric(drawn).mean(axis=1), [tail, 1 - tail])))
        for name, metric in _METRICS.items()
    }


_METRICS = {"uar": uar, "war": war, "macro_f1": macro_f1}


def _hits(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without its NaNs; NaN where all are."""
    return _ratio(np.nansum(values, axis=-1), np.sum(~np.isnan(values), axis=-1))
