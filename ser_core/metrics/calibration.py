"""How far the probabilities of a classifier can be believed: calibration error and reliability curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_core.metrics.scores import Interval, ratio, resampled_sums, standard_error, t_interval

ECE_BINS = 15
"""Bins of equal width, as in Guo et al. 2017."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions whose confidence (the probability of the predicted class) lies in (low, high].

    Attributes:
        predictions: how many.
        confidence: their mean confidence; NaN for an empty bin.
        accuracy: share of them that is right; NaN for an empty bin.
        interval: of the accuracy, over speakers.
    """

    low: float
    high: float
    predictions: int
    confidence: float
    accuracy: float
    interval: Interval


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, *, bins: int = ECE_BINS) -> float:
    """Mean gap between confidence and accuracy over bins of equal width, weighted by their clips (Naeini et al. 2015).

    It is biased upwards when bins hold few clips, and resampling adds to that bias: hence no bootstrap interval.

    Args:
        labels: (clips,) class indices.
        probabilities: (clips, classes).

    Raises:
        ValueError: shapes that do not fit, no clips, or probabilities outside [0, 1].
    """
    clips, confidence, hits = _binned(labels, probabilities[None], bins)
    return float(np.abs(confidence - hits).sum() / clips.sum())


def reliability(
    labels: np.ndarray,
    probabilities: np.ndarray,
    speakers: np.ndarray,
    *,
    bins: int = ECE_BINS,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[ReliabilityBin, ...]:
    """The reliability curve: accuracy by confidence (Guo et al. 2017), with 95 % intervals over speakers.

    Intervals are those of `ser_core.metrics.scores.t_interval`, with the speakers who have predictions in the bin.

    Args:
        labels: (clips,) class indices.
        probabilities: (runs, clips, classes); the predictions of all runs are pooled.
        speakers: (clips,) names.

    Raises:
        ValueError: see `expected_calibration_error`.
    """
    clips, confidence, hits = _binned(labels, probabilities, bins)
    binned = np.stack(
        [_binned(labels[speakers == name], probabilities[:, speakers == name], bins) for name in np.unique(speakers)]
    )  # (speakers, 3, bins)
    drawn = resampled_sums(binned, resamples, seed)
    accuracies = ratio(drawn[:, 2], drawn[:, 0])  # (resamples, bins), NaN where no drawn speaker has such clips
    speakers_behind = (binned[:, 0] > 0).sum(axis=0)
    observed = ratio(hits, clips)
    edges = np.linspace(0, 1, bins + 1)
    return tuple(
        ReliabilityBin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            predictions=int(clips[index]),
            confidence=float(ratio(confidence[index], clips[index])),
            accuracy=float(observed[index]),
            interval=t_interval(float(observed[index]), standard_error(accuracies[:, index], count), count),
        )
        for index, count in enumerate(speakers_behind.tolist())
    )


def _binned(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> np.ndarray:
    """(clips,), (runs, clips, classes) -> (3, bins): predictions, their summed confidence, and how many are right."""
    if probabilities.ndim != 3 or probabilities.shape[1] != len(labels) or not len(labels):
        raise ValueError(
            f"calibration needs labels (clips,) and probabilities (runs, clips, classes) of at least one clip; got "
            f"{labels.shape} and {probabilities.shape}"
        )
    confidence = probabilities.max(axis=2)  # (runs, clips)
    if not ((confidence > 0) & (confidence <= 1)).all():
        raise ValueError(
            f"probabilities must lie in [0, 1], with one above 0 for every clip; the largest of a clip are "
            f"{confidence.min()} to {confidence.max()}: take the softmax of logits first"
        )
    hits = probabilities.argmax(axis=2) == labels
    edges = np.linspace(0, 1, bins + 1)
    index = np.searchsorted(edges, confidence.ravel(), side="left") - 1  # (low, high]: 1.0 belongs to the last bin
    weights = (None, confidence.ravel(), hits.ravel())
    return np.stack([np.bincount(index, weights=weight, minlength=bins) for weight in weights])
