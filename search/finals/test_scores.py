"""Scores of predictions in numbers, as `result.json` and `ensemble.json` hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from search.finals.group_scores import group_numbers
from search.run_folder.predictions import Predictions, of_default_model
from ser_core.metrics.calibration import expected_calibration_error, reliability
from ser_core.metrics.scores import Interval, Scores, bootstrap_interval, per_class_intervals, scores

SCORES = ("uar", "war", "macro_f1")
INTERVAL_NOTE = (
    "95 % Student's t intervals with the standard error of a bootstrap over test speakers; null where fewer than two "
    "speakers stand behind a score, or where all of them score alike"
)


@dataclass(frozen=True)
class Spread:
    """A score over seeds.

    Attributes:
        seeds: its value with every seed, in their order; NaN where a seed does not define it.
        interval: of the mean; None where there is none to show.
    """

    seeds: tuple[float, ...]
    interval: Interval | None = None

    @property
    def mean(self) -> float:
        """Over the seeds that define the score; NaN where none does."""
        return fmean(self._defined or [math.nan])

    @property
    def std(self) -> float:
        """Standard deviation over the seeds that define the score; NaN for fewer than two."""
        return stdev(self._defined) if len(self._defined) > 1 else math.nan

    @property
    def _defined(self) -> list[float]:
        return [value for value in self.seeds if math.isfinite(value)]

    def numbers(self) -> dict[str, Any]:
        """As the JSON files hold it."""
        interval = {} if self.interval is None else {"interval": bounds_of(self.interval)}
        return {"mean": self.mean, "std": self.std, "seeds": list(self.seeds), **interval}


def score_test(test: Predictions) -> dict[str, Any]:
    """Scores on the test clips: mean and spread over seeds, and 95 % intervals over speakers of the mean.

    Beside them stands the default model, the ensemble of the seeds, whose probabilities are averaged with equal
    weights; `search.run_folder.run_score` says which of them is the score of a run. The confusion matrix holds counts
    summed over seeds, a row per true class and a column per predicted one.
    """
    classes, predictions = test.classes, test.probabilities.argmax(axis=2)  # (seeds, clips)
    each = [scores(test.labels, row, len(classes)) for row in predictions]
    return {
        "clips": len(test.labels),
        "speakers": len(set(test.speakers.tolist())),
        **_score_numbers(test, predictions, each, len(classes)),
        "ensemble": ensemble_numbers(test, of_default_model(test)),
        **_class_numbers(test, predictions, each, classes),
        "per_speaker": _speaker_numbers(test, predictions, len(classes)),
        "per_gender": _gender_numbers(test, predictions, len(classes)),
        "per_group": group_numbers(test),
        "calibration": _calibration_numbers(test),
        "confusion": np.sum([score.confusion for score in each], axis=0).tolist(),
        "confusion_note": f"counts summed over {len(each)} seed(s); a row per true class, a column per predicted one",
        "interval_note": INTERVAL_NOTE,
    }


def _score_numbers(test: Predictions, predictions: np.ndarray, each: Sequence[Scores], classes: int) -> dict[str, Any]:
    """UAR, WAR and macro F1, each with an interval of the mean over seeds and one of every seed."""
    mean = bootstrap_interval(test.labels, predictions, test.speakers, classes)
    own = [bootstrap_interval(test.labels, row, test.speakers, classes) for row in predictions]
    return {
        name: {
            **_spread(each, name, mean[name]).numbers(),
            "seed_intervals": [bounds_of(intervals[name]) for intervals in own],
        }
        for name in SCORES
    }


def ensemble_numbers(test: Predictions, probabilities: np.ndarray) -> dict[str, Any]:
    """Scores and intervals of one prediction per clip, such as the seeds' mean probabilities (clips, classes)."""
    predictions, classes = probabilities.argmax(axis=1), len(test.classes)
    own = scores(test.labels, predictions, classes)
    intervals = bootstrap_interval(test.labels, predictions, test.speakers, classes)
    return {name: {"value": getattr(own, name), "interval": bounds_of(intervals[name])} for name in SCORES}


def _class_numbers(
    test: Predictions, predictions: np.ndarray, each: Sequence[Scores], classes: Sequence[str]
) -> dict[str, Any]:
    """Recall and precision of every class."""
    intervals = per_class_intervals(test.labels, predictions, test.speakers, len(classes))
    numbers = {}
    for name in ("recall", "precision"):
        values = np.stack([getattr(score, f"per_class_{name}") for score in each])  # (seeds, classes)
        numbers[f"per_class_{name}"] = {
            word: Spread(tuple(values[:, index].tolist()), intervals[name][index]).numbers()
            for index, word in enumerate(classes)
        }
    return numbers


def _speaker_numbers(test: Predictions, predictions: np.ndarray, classes: int) -> dict[str, Any]:
    """Scores of every test speaker; the UAR is over the classes of which there are clips of that speaker."""
    numbers = {}
    for name in sorted(set(test.speakers.tolist())):
        rows = test.speakers == name
        own = [scores(test.labels[rows], row[rows], classes) for row in predictions]
        numbers[name] = {
            "gender": test.genders[rows][0].item() or None,
            "clips": int(rows.sum()),
            **{score: _spread(own, score).numbers() for score in ("uar", "war")},
        }
    return numbers


def _gender_numbers(test: Predictions, predictions: np.ndarray, classes: int) -> dict[str, Any]:
    """Scores of the speakers of each gender that the corpus names."""
    numbers = {}
    for gender in sorted(set(test.genders.tolist()) - {""}):
        rows = test.genders == gender
        own = [scores(test.labels[rows], row[rows], classes) for row in predictions]
        intervals = bootstrap_interval(test.labels[rows], predictions[:, rows], test.speakers[rows], classes)
        numbers[gender] = {
            "clips": int(rows.sum()),
            "speakers": len(set(test.speakers[rows].tolist())),
            **{name: _spread(own, name, intervals[name]).numbers() for name in ("uar", "war")},
        }
    return numbers


def _calibration_numbers(test: Predictions) -> dict[str, Any]:
    """Expected calibration error of every seed, and the bins of the reliability curve, pooled over seeds."""
    bins = reliability(test.labels, test.probabilities, test.speakers)
    errors = [expected_calibration_error(test.labels, probabilities) for probabilities in test.probabilities]
    return {
        "ece": Spread(tuple(errors)).numbers(),
        "bins": [{**asdict(each), "interval": bounds_of(each.interval)} for each in bins],
        "note": "confidence is the probability of the predicted class; bins (low, high] hold the predictions of all "
        "seeds",
    }


def _spread(each: Sequence[Scores], name: str, interval: Interval | None = None) -> Spread:
    """One score of every seed."""
    return Spread(tuple(getattr(score, name) for score in each), interval)


def bounds_of(interval: Interval) -> list[float]:
    """[low, high]; NaN where the interval is not defined."""
    return [interval.low, interval.high]
