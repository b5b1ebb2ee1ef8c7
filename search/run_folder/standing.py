"""How the trials of a run stand: counts by state, epochs, the best one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from search.run_folder.architectures import trial_epochs
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, RunRecords, TrialRecord, TrialState
from spaces.several import ARCHITECTURE, choice_of, for_choice


class Stage(StrEnum):
    """What a run is doing."""

    FEATURES = "features"
    SEARCH = "search"
    FINALS = "finals"
    REFIT = "refit"
    TEST = "test"


def recorded_stage(records: RunRecords) -> Stage:
    """The furthest stage of which records say anything: a driver may be a step further."""
    phases = {run.phase for run in records.finals}
    if Phase.REFIT in phases:
        return Stage.REFIT
    if phases:
        return Stage.FINALS
    return Stage.SEARCH if records.trials else Stage.FEATURES


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Trials by state, and epochs.

    Attributes:
        epochs_trained: by all trials, failed and running ones too.
        epochs_saved: what the pruned trials would still have trained up to the full budget.
    """

    running: int
    complete: int
    pruned: int
    failed: int
    epochs_trained: int
    epochs_saved: int

    @property
    def ended(self) -> int:
        return self.complete + self.pruned + self.failed

    @property
    def saved_share(self) -> float:
        """Saved epochs as a share of those that training without pruning would have taken, in [0, 1]."""
        return self.epochs_saved / max(1, self.epochs_saved + self.epochs_trained)


class Standing:
    """How the trials of records that grow stand; a look costs what is new, since a trial that has ended never changes.

    Attributes:
        running: trials that have not ended, in the order of their start.
    """

    def __init__(self, records: RunRecords) -> None:
        self.running: list[TrialRecord] = []
        self._records, self._known = records, 0
        self._ended: Counter[TrialState] = Counter()
        self._epochs: Counter[TrialState] = Counter()  # of the ended trials
        self._pruned: Counter[str] = Counter()  # pruned trials by the architecture that they chose, if any
        self._best: TrialRecord | None = None  # of the ended trials
        self.update()

    def update(self) -> None:
        """Bring everything up to what the records say now."""
        looked_at = [*self.running, *islice(self._records.trials.values(), self._known, None)]
        self._known = len(self._records.trials)
        self.running = [trial for trial in looked_at if trial.state is TrialState.RUNNING]
        ended = [trial for trial in looked_at if trial.state is not TrialState.RUNNING]
        for trial in ended:
            self._ended[trial.state] += 1
            self._epochs[trial.state] += len(trial.epochs)
            self._pruned[choice_of(trial.params)] += trial.state is TrialState.PRUNED
        self._best = _better([self._best, *ended])

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best score so far, the earliest of equals; failed ones do not count.

        Where folds are trained one after another, it is the best of those with the most complete folds.
        """
        return _better([self._best, *self.running])

    @property
    def epochs_running(self) -> int:
        """Epochs of the running trials so far."""
        return sum(len(trial.epochs) for trial in self.running)

    def tally(self, max_epochs: int | Mapping[str, int]) -> Tally:
        """Trials and epochs; `max_epochs` is the full budget of a trial, or of one of each architecture."""
        pruned = self._ended[TrialState.PRUNED]
        whole = sum(for_choice(max_epochs, {ARCHITECTURE: name}) * number for name, number in self._pruned.items())
        return Tally(
            running=len(self.running),
            complete=self._ended[TrialState.COMPLETE],
            pruned=pruned,
            failed=self._ended[TrialState.FAIL],
            epochs_trained=self._epochs.total() + self.epochs_running,
            epochs_saved=whole - self._epochs[TrialState.PRUNED],
        )


def search_seconds_left(plan: SearchPlan, standing: Standing, *, epochs: int, seconds: float) -> float | None:
    """Time for the epochs that a search has still to train, at the pace of so many epochs in so many seconds.

    Trials to come are assumed to need what the ended ones needed on average. None while there is nothing to go by.
    """
    counted = standing.tally(trial_epochs(plan))
    if not counted.ended or epochs < 1:
        return None
    per_trial = (counted.epochs_trained - standing.epochs_running) / counted.ended
    expected = max(0.0, (plan.limits.trials - counted.ended) * per_trial - standing.epochs_running)
    if plan.limits.epochs_total is not None:
        expected = min(expected, max(0, plan.limits.epochs_total - counted.epochs_trained))
    return expected * seconds / epochs


def tally(records: RunRecords, max_epochs: int | Mapping[str, int]) -> Tally:
    """Count the trials of a run and their epochs; `max_epochs` as in `Standing.tally`."""
    return Standing(records).tally(max_epochs)


def best_trial(records: RunRecords) -> TrialRecord | None:
    """The trial with the best validation score so far, the earliest of equals; failed ones do not count."""
    return Standing(records).best


def _better(trials: Iterable[TrialRecord | None]) -> TrialRecord | None:
    scored = [t for t in trials if t is not None and t.state is not TrialState.FAIL and math.isfinite(t.value)]
    return min(scored, key=standing_order, default=None)


def standing_order(trial: TrialRecord) -> tuple[float, ...]:
    """By which trials with a score are ordered, the best first.

    A score over more folds is not judged by one over fewer, which is mostly luck.
    """
    return (-trial.folds, *trial.rank)
