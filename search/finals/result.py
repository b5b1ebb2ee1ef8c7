"""`result.json`: the run in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from search.finals.finalists import FinalChoice
from search.finals.spreads import Spread, target_facts
from search.finals.test_scores import score_test
from search.run_folder.architectures import configuration_of, fixed_of, trial_epochs
from search.run_folder.plan import NORMALISATION, SearchPlan
from search.run_folder.predictions import Predictions
from search.run_folder.records import RunRecords, Session, TrialRecord, TrialState, epochs_trained
from search.run_folder.standing import best_trial
from ser_core.config import BY_SPEAKER
from spaces.several import for_choice


def make_result(
    plan: SearchPlan,
    records: RunRecords,
    choice: FinalChoice,
    test: Predictions,
    *,
    tuning: Mapping[str, Any] | None,
    readings: int,
    models: Sequence[str],
) -> dict[str, Any]:
    """All of `result.json`. Scores are shares in [0, 1]; times are in seconds.

    Args:
        tuning: from `search.finals.tuning.tuning_numbers`.
    """
    winner = choice.winner
    architecture, settings = configuration_of(plan, records.trials[winner].params)
    validation = f"val_{plan.objective}"
    return {
        "model": plan.model,
        "corpus": asdict(plan.corpus),
        "target": target_facts(test.target),
        "split": {
            "kind": plan.split,
            "speaker_independent": plan.speaker_independent,
            "fit_speakers": plan.speakers.fit,
            "validation_speakers": plan.speakers.validation,
            "test_speakers": plan.speakers.test,
            "inner_folds": plan.inner_folds,
            "final_folds": plan.final_folds,
        },
        "transductive": settings.get(NORMALISATION) == BY_SPEAKER,
        "warm_start": None if plan.warm_start is None else asdict(plan.warm_start),
        "start": None if plan.start is None else asdict(plan.start),
        "search": search_numbers(plan, records),
        "finalists": [
            {
                "trial": trial.number,
                "params": trial.params,
                f"search_{validation}": trial.value,
                validation: _finalist_numbers(choice.scores.get(trial.number)),
            }
            for trial in choice.finalists
        ],
        "winner": {
            "trial": winner,
            "architecture": architecture,
            "params": records.trials[winner].params,
            "fixed": fixed_of(plan, records.trials[winner].params),
            "epochs": len(next(f for f in reversed(records.finals) if f.trial == winner).epochs),
            "models": list(models),
            "precision_note": next((f.precision_note for f in reversed(records.finals) if f.trial == winner), ""),
            "clips": next(
                (asdict(f.placement) for f in reversed(records.finals) if f.trial == winner and f.placement), None
            ),
        },
        "tuning": tuning,
        "test": score_test(test),
        "test_reads": readings,
        "versions": plan.versions,
        "command": plan.command,
    }


def _finalist_numbers(spread: Spread | None) -> dict[str, Any] | None:
    """Validation score over seeds; None when no seed finished."""
    return None if spread is None else spread.numbers()


def search_numbers(plan: SearchPlan, records: RunRecords) -> dict[str, Any]:
    """What the search cost and found."""
    trials = list(records.trials.values())
    states = Counter(trial.state for trial in trials)
    best, validation = best_trial(records), f"val_{plan.objective}"
    return {
        "trials": {
            "complete": states[TrialState.COMPLETE],
            "pruned": states[TrialState.PRUNED],
            "failed": states[TrialState.FAIL],
        },
        "trials_asked": plan.limits.trials,
        "nothing_to_gain": records.gave_up,
        "score": plan.score,
        "asha": {"grace_epochs": plan.first_rung, "reduction": plan.reduction, "found": _grace_numbers(records)},
        "epochs_trained": epochs_trained(records.trials),
        "epochs_without_pruning": sum(for_choice(trial_epochs(plan), trial.params) for trial in trials),
        "wall_seconds": records.seconds,
        "train_seconds": sum(trial.train_seconds for trial in trials),
        **overhead_numbers(trials, records.sessions),
        "clips": dict(Counter(trial.placement.where for trial in trials if trial.placement is not None)),
        "best": None if best is None else {"trial": best.number, "params": best.params, validation: best.value},
    }


def _grace_numbers(records: RunRecords) -> dict[str, Any] | None:
    """The first rung that the search found by itself, and from what; `epochs` equal to the budget means none."""
    return None if records.grace is None else asdict(records.grace)


def overhead_numbers(trials: Sequence[TrialRecord], sessions: Sequence[Session]) -> dict[str, float | None]:
    """Wall time of a trial beyond its epochs: building model and data, reporting, Optuna, changing the actor.

    Trials that began in one session and ended in a later one are left out: the run lay still between. The first trial
    of a worker also waits for its process to start, once for all that follow; those stand apart.
    """
    first: list[float] = []
    later: list[float] = []
    workers: set[str] = set()
    for trial in sorted((t for t in trials if t.epochs), key=lambda t: t.started):
        if trial.ended is not None and not any(trial.started < each.started <= trial.ended for each in sessions):
            seconds = trial.ended - trial.started - trial.train_seconds
            (later if trial.worker in workers else first).append(seconds)
        workers.add(trial.worker)
    return {
        "overhead_seconds_per_trial": fmean(later) if later else None,
        "worker_start_seconds": fmean(first) if first else None,
    }
