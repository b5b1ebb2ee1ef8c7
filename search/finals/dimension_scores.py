"""What a result says of dimensions alone: the scores of each, predicted over rated, and the error over the range."""

from __future__ import annotations

from typing import Any

import numpy as np

from search.finals.spreads import Spread, bounds_of
from search.run_folder.predictions import Predictions, of_default_model
from ser_core.metrics.resampled import score_intervals, scores_of
from ser_core.metrics.scores import resampled_sums, standard_error, t_interval
from ser_core.targets import Dimensions

MOST_POINTS = 1_500
"""Clips that are kept for a scatter, spread evenly over the ratings; the predictions of all are in their file."""
RANGE_BINS = 6
"""Parts of equal width into which the range of ratings is divided."""


def dimension_numbers(test: Predictions) -> dict[str, Any]:
    """Scores of every dimension, and of the default model points of a scatter and its error by rating."""
    own = [(name, _only(test, index)) for index, name in enumerate(test.target.names)]
    return {
        "per_dimension": {
            name: {**_scores(part), "scatter": _scatter(part), "error_by_rating": _errors(part)} for name, part in own
        },
        "scatter_note": "of the default model: [rated, predicted] of up to "
        f"{MOST_POINTS} clips, spread evenly over the ratings",
        "error_note": "of the default model: predicted less rated, mean over the clips whose rating lies in [low, "
        "high), with an interval over speakers; and root mean square",
    }


def _only(test: Predictions, index: int) -> Predictions:
    """The predictions of one dimension."""
    return Predictions(
        target=Dimensions((test.target.names[index],), test.target.objective),
        clip_ids=test.clip_ids,
        truth=test.truth[:, [index]],
        told=test.told[:, :, [index]],
        speakers=test.speakers,
        genders=test.genders,
    )


def _scores(test: Predictions) -> dict[str, Any]:
    """Of the single models, and of the default one."""
    told = of_default_model(test)
    single = [scores_of(test.target, test.truth, run) for run in test.told]
    of_single = score_intervals(test.target, test.truth, test.told, test.speakers)
    value, bounds = (
        scores_of(test.target, test.truth, told),
        score_intervals(test.target, test.truth, told, test.speakers),
    )
    return {
        name: {
            **Spread(tuple(each[name] for each in single), of_single[name]).numbers(),
            "ensemble": {"value": value[name], "interval": bounds_of(bounds[name])},
        }
        for name in test.target.scores
    }


def _scatter(test: Predictions) -> list[list[float]]:
    rated, told = test.truth[:, 0], of_default_model(test)[:, 0]
    order = np.argsort(rated, kind="stable")
    kept = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), MOST_POINTS)).round().astype(np.int64))]
    return np.stack([rated[kept], told[kept]], axis=1).round(4).tolist()


def _errors(test: Predictions) -> list[dict[str, Any]]:
    """Bias and error in parts of the range of ratings; parts without clips are left out."""
    rated, told = test.truth[:, 0], of_default_model(test)[:, 0]
    edges = np.linspace(rated.min(), rated.max(), RANGE_BINS + 1)
    place = np.clip(np.searchsorted(edges, rated, side="right") - 1, 0, RANGE_BINS - 1)
    found = []
    for index in np.unique(place).tolist():
        rows = place == index
        error = told[rows] - rated[rows]
        found.append(
            {
                "low": float(edges[index]),
                "high": float(edges[index + 1]),
                "clips": int(rows.sum()),
                "bias": float(error.mean()),
                "interval": _mean_interval(error, test.speakers[rows]),
                "rmse": float(np.sqrt(np.square(error).mean())),
            }
        )
    return found


def _mean_interval(values: np.ndarray, speakers: np.ndarray) -> list[float]:
    """95 % interval over speakers of the mean of clips' values (clips,)."""
    names, who = np.unique(speakers, return_inverse=True)
    sums = np.stack([np.bincount(who, minlength=len(names)), np.bincount(who, weights=values)], axis=1)
    drawn = resampled_sums(sums, 10_000, 0)
    error = standard_error(drawn[:, 1] / drawn[:, 0], len(names))
    return bounds_of(t_interval(float(values.mean()), error, len(names), least=-np.inf, most=np.inf))
