"""`result.json`: the run in numbers."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from search.finals import Spread, TestPredictions
from search.plan import SearchPlan
from search.records import RunRecords, TrialRecord, TrialState
from search.study import epochs_trained
from search.view import best_trial
from ser_core.metrics import bootstrap_interval, scores

RESULT_FILE = "result.json"


def make_result(
    plan: SearchPlan,
    records: RunRecords,
    finalists: Sequence[TrialRecord],
    finalist_spreads: Mapping[int, Spread],
    winner: int,
    test: TestPredictions,
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
        },
        "search": search_numbers(plan, records),
        "finalists": [
            {
                "trial": trial.number,
                "params": trial.params,
                "search_val_uar": trial.value,
                "val_uar": asdict(finalist_spreads[trial.number]) if trial.number in finalist_spreads else None,
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
        "test": test_numbers(test, plan.corpus["classes"]),
        "test_reads": readings,
        "versions": plan.versions,
        "command": plan.command,
    }


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


def test_numbers(test: TestPredictions, classes: Sequence[str]) -> dict[str, Any]:
    """Scores on the test clips: mean and spread over seeds, and a 95 % interval over speakers of the mean.

    The confusion matrix holds counts summed over seeds, a row per true class and a column per predicted one.
    """
    predictions = test.probabilities.argmax(axis=2)  # (seeds, clips)
    each = [scores(test.labels, row, len(classes)) for row in predictions]
    intervals = bootstrap_interval(test.labels, predictions, test.speakers, len(classes))
    numbers: dict[str, Any] = {"clips": len(test.labels), "speakers": len(set(test.speakers.tolist()))}
    for name in ("uar", "war", "macro_f1"):
        spread = Spread.of([getattr(score, name) for score in each])
        interval = intervals[name]
        numbers[name] = {**asdict(spread), "interval": [interval.low, interval.high]}
    recall = np.stack([score.per_class_recall for score in each])
    numbers["per_class_recall"] = {
        word: asdict(Spread.of(recall[:, index].tolist())) for index, word in enumerate(classes)
    }
    numbers["confusion"] = np.sum([score.confusion for score in each], axis=0).tolist()
    numbers["confusion_note"] = (
        f"counts summed over {len(each)} seed(s); a row per true class, a column per predicted one"
    )
    return numbers


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json`, whole or not at all; numbers that are not defined become null."""
    temporary = folder / (RESULT_FILE + ".part")
    temporary.write_text(json.dumps(_defined(result), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, folder / RESULT_FILE)


def _defined(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return value
