"""Scores of predictions in numbers, as `result.json` and `ensemble.json` hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from search.finals.class_scores import class_numbers
from search.finals.dimension_scores import dimension_numbers
from search.finals.group_scores import group_numbers
from search.finals.spreads import Spread, bounds_of, leading_scores, spread_of
from search.run_folder.predictions import Predictions, of_default_model
from ser_core.metrics.resampled import score_intervals, scores_of
from ser_core.targets import DIMENSIONS, EMOTION, VOTES

INTERVAL_NOTE = (
    "95 % Student's t intervals with the standard error of a bootstrap over test speakers; null where fewer than two "
    "speakers stand behind a score, or where all of them score alike"
)


def score_test(test: Predictions) -> dict[str, Any]:
    """Scores on the test clips: mean and spread over seeds, and 95 % intervals over speakers of the mean.

    Beside them stands the default model, the ensemble of the seeds, whose probabilities or ratings are averaged with
    equal weights; `search.run_folder.run_score` says which of them is the score of a run. What a kind of target alone
    has, such as the confusion of classes, follows.
    """
    return {
        "clips": len(test.truth),
        "speakers": len(set(test.speakers.tolist())),
        **score_numbers(test),
        "ensemble": ensemble_numbers(test, of_default_model(test)),
        **_OWN_NUMBERS[test.target.kind](test),
        "per_speaker": _speaker_numbers(test),
        "per_gender": _gender_numbers(test),
        "per_group": group_numbers(test),
        "interval_note": INTERVAL_NOTE,
    }


_OWN_NUMBERS: Mapping[str, Callable[[Predictions], dict[str, Any]]] = {
    EMOTION: class_numbers,
    VOTES: class_numbers,
    DIMENSIONS: dimension_numbers,
}
"""Kind of target -> the numbers that it alone has."""


def score_numbers(test: Predictions) -> dict[str, Any]:
    """Every score of the target, each with an interval of the mean over seeds and one of every seed."""
    mean = score_intervals(test.target, test.truth, test.told, test.speakers)
    own = [score_intervals(test.target, test.truth, run, test.speakers) for run in test.told]
    each = [scores_of(test.target, test.truth, run) for run in test.told]
    return {
        name: {
            **spread_of(each, name, mean[name]).numbers(),
            "seed_intervals": [bounds_of(intervals[name]) for intervals in own],
        }
        for name in test.target.scores
    }


def ensemble_numbers(test: Predictions, told: np.ndarray) -> dict[str, Any]:
    """Scores and intervals of one prediction per clip, such as the mean of what the seeds say (clips, names)."""
    own = scores_of(test.target, test.truth, told)
    intervals = score_intervals(test.target, test.truth, told, test.speakers)
    return {name: {"value": own[name], "interval": bounds_of(intervals[name])} for name in test.target.scores}


def single_scores(test: Predictions) -> dict[str, Spread]:
    """Every score of the single models, with the interval of the mean."""
    intervals = score_intervals(test.target, test.truth, test.told, test.speakers)
    each = [scores_of(test.target, test.truth, run) for run in test.told]
    return {name: spread_of(each, name, intervals[name]) for name in test.target.scores}


def _speaker_numbers(test: Predictions) -> dict[str, Any]:
    """Scores of every test speaker; UAR is over the classes of which there are clips of that speaker."""
    numbers = {}
    for name in sorted(set(test.speakers.tolist())):
        rows = test.speakers == name
        own = [scores_of(test.target, test.truth[rows], run[rows]) for run in test.told]
        numbers[name] = {
            "gender": test.genders[rows][0].item() or None,
            "clips": int(rows.sum()),
            **{score: spread_of(own, score).numbers() for score in leading_scores(test)},
        }
    return numbers


def _gender_numbers(test: Predictions) -> dict[str, Any]:
    """Scores of the speakers of each gender that the corpus names."""
    numbers = {}
    for gender in sorted(set(test.genders.tolist()) - {""}):
        rows = test.genders == gender
        own = [scores_of(test.target, test.truth[rows], run[rows]) for run in test.told]
        intervals = score_intervals(test.target, test.truth[rows], test.told[:, rows], test.speakers[rows])
        numbers[gender] = {
            "clips": int(rows.sum()),
            "speakers": len(set(test.speakers[rows].tolist())),
            **{name: spread_of(own, name, intervals[name]).numbers() for name in leading_scores(test)},
        }
    return numbers
