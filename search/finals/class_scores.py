"""What a result says of classes alone: recall and precision of each, their confusion, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from search.finals.spreads import Spread, bounds_of
from search.run_folder.predictions import Predictions
from ser_core.metrics.calibration import expected_calibration_error, reliability
from ser_core.metrics.scores import Scores, per_class_intervals, scores
from ser_core.targets import Emotions


def class_numbers(test: Predictions) -> dict[str, Any]:
    """Recall and precision of every class, confusion and calibration; of votes, of the class with most of them.

    The confusion matrix holds counts summed over seeds, a row per true class and a column per predicted one.
    """
    if not isinstance(test.target, Emotions):
        raise TypeError(f"{test.target.kind} have no classes")
    labels, predictions = test.target.labels(test.truth), test.told.argmax(axis=2)  # (clips,), (seeds, clips)
    each = [scores(labels, row, len(test.target.names)) for row in predictions]
    return {
        **_recall_and_precision(test, labels, predictions, each),
        "calibration": _calibration(test, labels),
        "confusion": np.sum([score.confusion for score in each], axis=0).tolist(),
        "confusion_note": f"counts summed over {len(each)} seed(s); a row per true class, a column per predicted one",
    }


def _recall_and_precision(
    test: Predictions, labels: np.ndarray, predictions: np.ndarray, each: Sequence[Scores]
) -> dict[str, Any]:
    classes = test.target.names
    intervals = per_class_intervals(labels, predictions, test.speakers, len(classes))
    numbers = {}
    for name in ("recall", "precision"):
        values = np.stack([getattr(score, f"per_class_{name}") for score in each])  # (seeds, classes)
        numbers[f"per_class_{name}"] = {
            word: Spread(tuple(values[:, index].tolist()), intervals[name][index]).numbers()
            for index, word in enumerate(classes)
        }
    return numbers


def _calibration(test: Predictions, labels: np.ndarray) -> dict[str, Any]:
    """Expected calibration error of every seed, and the bins of the reliability curve, pooled over seeds."""
    bins = reliability(labels, test.told, test.speakers)
    errors = [expected_calibration_error(labels, probabilities) for probabilities in test.told]
    return {
        "ece": Spread(tuple(errors)).numbers(),
        "bins": [{**asdict(each), "interval": bounds_of(each.interval)} for each in bins],
        "note": "confidence is the probability of the predicted class; bins (low, high] hold the predictions of all "
        "seeds",
    }
