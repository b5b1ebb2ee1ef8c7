"""`result.json`: the run in numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from search.finals import Spread
from search.plan import SPEAKER_NORMALISATION, SearchPlan
from search.predictions import Predictions
from search.records import RunRecords, TrialRecord, TrialState
from search.study import epochs_trained
from search.view import best_trial
from ser_core.calibration import expected_calibration_error, reliability
from ser_core.metrics import Interval, Scores, bootstrap_interval, per_class_intervals, scores, seed_interval

RESULT_FILE = "result.json"

INTERVAL_NOTE = (
    "95 % Student's t intervals with the standard error of a bootstrap over test speakers; null where fewer than two "
    "speakers stand behind a score, or where all of them score alike"
)


def make_result(
    plan: SearchPlan,
    records: RunRecords,
    finalists: Sequence[TrialRecord],
    finalist_spreads: Mapping[int, Spread],
    winner: int,
    test: Predictions,
    *,
    readings: int,
    models: Sequence[str],
) -> dict[str, Any]:
    """All of `result.json`. Scores are shares in [0, 1]; times are in seconds."""
    return {
        "model": plan.model,
        "corpus": plan.corpus,
        "split": {
            "kind": plan.split,
            "speaker_independent": plan.speaker_independent,
            "fit_speakers": plan.speakers["fit"],
            "validation_speakers": plan.speakers["validation"],
            "test_speakers": plan.speakers["test"],
            "inner_folds": plan.inner_folds,
        },
        "transductive": bool({**plan.fixed, **records.trials[winner].params}.get(SPEAKER_NORMALISATION)),
        "warm_start": None if plan.warm_start is None else asdict(plan.warm_start),
        "search": search_numbers(plan, records),
        "finalists": [
            {
                "trial": trial.number,
                "params": trial.params,
                "search_val_uar": trial.value,
                "val_uar": _finalist_numbers(finalist_spreads.get(trial.number)),
            }
            for trial in finalists
        ],
        "winner": {
            "trial": winner,
            "params": records.trials[winner].params,
            "fixed": plan.fixed,
            "epochs": len(next(f for f in reversed(records.finals) if f.trial == winner).epochs),
            "models": list(models),
        },
        "test": test_numbers(test),
        "test_reads": readings,
        "versions": plan.versions,
        "command": plan.command,
    }


def _finalist_numbers(spread: Spread | None) -> dict[str, Any] | None:
    """Validation UAR over seeds, with Student's t interval of the mean over seeds; None when no seed finished."""
    return None if spread is None else {**asdict(spread), "interval": _bounds(seed_interval(spread.seeds))}


def search_numbers(plan: SearchPlan, records: RunRecords) -> dict[str, Any]:
    """What the search cost and found."""
    trials = list(records.trials.values())
    states = Counter(trial.state for trial in trials)
    best = best_trial(records)
    return {
        "trials": {
            "complete": states[TrialState.COMPLETE],
            "pruned": states[TrialState.PRUNED],
            "failed": states[TrialState.FAIL],
        },
        "asha": {"grace_epochs": plan.first_rung, "reduction": plan.reduction, "found": _grace_numbers(records)},
        "epochs_trained": epochs_trained(records.trials),
        "epochs_without_pruning": plan.max_epochs * len(trials),
        "wall_seconds": records.seconds,
        "train_seconds": sum(trial.train_seconds for trial in trials),
        **overhead_numbers(trials),
        "best": None if best is None else {"trial": best.number, "params": best.params, "val_uar": best.value},
    }


def _grace_numbers(records: RunRecords) -> dict[str, Any] | None:
    """The first rung that the search found by itself, and from what; `epochs` equal to the budget means none."""
    return None if records.grace is None else asdict(records.grace)


def overhead_numbers(trials: Sequence[TrialRecord]) -> dict[str, float | None]:
    """Wall time of a trial beyond its epochs: building model and data, reporting, Optuna, changing the actor.

    The first trial of a worker also waits for its process to start, once for all that follow; those stand apart.
    """
    first: list[float] = []
    later: list[float] = []
    workers: set[str] = set()
    for trial in sorted((t for t in trials if t.epochs), key=lambda t: t.started):
        if trial.ended is not None:
            seconds = trial.ended - trial.started - trial.train_seconds
            (later if trial.worker in workers else first).append(seconds)
        workers.add(trial.worker)
    return {
        "overhead_seconds_per_trial": fmean(later) if later else None,
        "worker_start_seconds": fmean(first) if first else None,
    }


def test_numbers(test: Predictions) -> dict[str, Any]:
    """Scores on the test clips: mean and spread over seeds, and 95 % intervals over speakers of the mean.

    Beside them stands the ensemble of the seeds, whose probabilities are averaged with equal weights. The confusion
    matrix holds counts summed over seeds, a row per true class and a column per predicted one.
    """
    classes, predictions = test.classes, test.probabilities.argmax(axis=2)  # (seeds, clips)
    each = [scores(test.labels, row, len(classes)) for row in predictions]
    return {
        "clips": len(test.labels),
        "speakers": len(set(test.speakers.tolist())),
        **_score_numbers(test, predictions, each, len(classes)),
        "ensemble": ensemble_numbers(test, test.probabilities.mean(axis=0)),
        **_class_numbers(test, predictions, each, classes),
        "per_speaker": _speaker_numbers(test, predictions, len(classes)),
        "per_gender": _gender_numbers(test, predictions, len(classes)),
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
            **_spread([getattr(score, name) for score in each]),
            "interval": _bounds(mean[name]),
            "seed_intervals": [_bounds(intervals[name]) for intervals in own],
        }
        for name in ("uar", "war", "macro_f1")
    }


def ensemble_numbers(test: Predictions, probabilities: np.ndarray) -> dict[str, Any]:
    """Scores and intervals of one prediction per clip, such as the seeds' mean probabilities (clips, classes)."""
    predictions, classes = probabilities.argmax(axis=1), len(test.classes)
    own = scores(test.labels, predictions, classes)
    intervals = bootstrap_interval(test.labels, predictions, test.speakers, classes)
    return {
        name: {"value": getattr(own, name), "interval": _bounds(intervals[name])} for name in ("uar", "war", "macro_f1")
    }


def _class_numbers(
    test: Predictions, predictions: np.ndarray, each: Sequence[Scores], classes: Sequence[str]
) -> dict[str, Any]:
    """Recall and precision of every class."""
    intervals = per_class_intervals(test.labels, predictions, test.speakers, len(classes))
    numbers = {}
    for name in ("recall", "precision"):
        values = np.stack([getattr(score, f"per_class_{name}") for score in each])  # (seeds, classes)
        numbers[f"per_class_{name}"] = {
            word: {**_spread(values[:, index].tolist()), "interval": _bounds(intervals[name][index])}
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
            "uar": _spread([score.uar for score in own]),
            "war": _spread([score.war for score in own]),
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
            **{
                name: {
                    **_spread([getattr(score, name) for score in own]),
                    "interval": _bounds(intervals[name]),
                }
                for name in ("uar", "war")
            },
        }
    return numbers


def _calibration_numbers(test: Predictions) -> dict[str, Any]:
    """Expected calibration error of every seed, and the bins of the reliability curve, pooled over seeds."""
    bins = reliability(test.labels, test.probabilities, test.speakers)
    errors = [expected_calibration_error(test.labels, probabilities) for probabilities in test.probabilities]
    return {
        "ece": _spread(errors),
        "bins": [{**asdict(each), "interval": _bounds(each.interval)} for each in bins],
        "note": "confidence is the probability of the predicted class; bins (low, high] hold the predictions of all "
        "seeds",
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and deviation over the seeds that define a score; `seeds` keeps NaN for the others."""
    known = [value for value in values if math.isfinite(value)]
    return {**asdict(Spread.of(known or [math.nan])), "seeds": list(values)}


def _bounds(interval: Interval) -> list[float]:
    return [interval.low, interval.high]
