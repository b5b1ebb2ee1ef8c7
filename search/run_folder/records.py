"""The record of a run, as data: trials, runs of the finals, and sessions of the driver.

`records.jsonl`, one JSON object a line, is the one source for every figure, for `result.json` and for `--resume`.
`records_writer` appends to it, and `records_reader` makes these types of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from search.run_folder.scoring import EARLIER_SCORING, STATISTICS, Scoring
from ser_core.features.placement import Placement
from ser_core.training.report import EpochReport

Value = float | int | str | bool


class TrialState(StrEnum):
    """How a trial stands; the words are Optuna's."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"


class Phase(StrEnum):
    """What a training run of the finals is for."""

    FINALIST = "finalist"
    REFIT = "refit"


class _Trained:
    """What follows from the epochs of a training run, which are only ever appended to."""

    epochs: list[EpochReport]
    scoring: Scoring
    precision_note: str
    placement: Placement | None
    _judged = (0, math.nan, 0)  # epochs of which the other two are the score and the best epoch

    @property
    def value(self) -> float:
        """The score so far, see `Scoring.of`; NaN before the first epoch."""
        return self._judgement[1]

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation score, see `Scoring.best_epoch`; 0 before the first."""
        return self._judgement[2]

    @property
    def _judgement(self) -> tuple[int, float, int]:
        if self._judged[0] != len(self.epochs):
            self._judged = len(self.epochs), self.scoring.of(self.epochs), self.scoring.best_epoch(self.epochs)
        return self._judged

    @property
    def train_seconds(self) -> float:
        """Sum of the epochs' seconds."""
        return sum(e.seconds for e in self.epochs)


@dataclass
class TrialRecord(_Trained):
    """One trial of the search.

    Attributes:
        number: the same in Optuna, here, in figures and in checkpoint folders.
        params: dotted name -> value, as the sampler proposed them.
        origin: "first" (a configuration of the space to try first), "warm" (one of an earlier study) or "sampler".
        scoring: how its epochs become its score.
        state, reason: how it stands; why it failed.
        epochs: every epoch in order.
        worker: node and process that trained it last.
        started, ended: seconds since 1970; `ended` is None while it runs.
        setup_seconds: building the model and placing the data, before the first epoch.
        precision_note: why it trained in fp32 although bf16 was to be used; "" otherwise.
        placement: where its clips came from; None before its first epoch, and of early versions.
    """

    number: int
    params: Mapping[str, Value]
    origin: str
    started: float
    scoring: Scoring = EARLIER_SCORING
    state: TrialState = TrialState.RUNNING
    reason: str = ""
    epochs: list[EpochReport] = field(default_factory=list)
    worker: str = ""
    ended: float | None = None
    setup_seconds: float = 0.0
    precision_note: str = ""
    placement: Placement | None = None
    _fold_scores: Sequence[float] = field(default=(), init=False, repr=False, compare=False)

    @property
    def folds(self) -> int:
        """Inner folds that it was trained on through their whole schedules, one after another; else 0."""
        return self.scoring.folds(len(self.epochs))

    @property
    def fold_scores(self) -> Sequence[float]:
        """The score of each complete fold by itself."""
        if len(self._fold_scores) != self.folds:
            statistic, each = STATISTICS[self.scoring.score], self.scoring.fold_epochs
            curves = (self.epochs[fold * each : (fold + 1) * each] for fold in range(self.folds))
            self._fold_scores = tuple(statistic([self.scoring.value(report) for report in curve]) for curve in curves)
        return self._fold_scores

    @property
    def rank(self) -> tuple[float, int]:
        """Sorts trials, the best score first and of equals the earliest trial; without a score last."""
        return -self.value if math.isfinite(self.value) else math.inf, self.number


@dataclass
class FinalRun(_Trained):
    """One training run of the finals: a finalist with one seed, or a refit of the winner.

    `trial` is the search trial whose configuration it repeats; `seed` counts the seeds of the finals from 1. A refit
    has no validation: its epochs have no scores.
    """

    phase: Phase
    trial: int
    seed: int
    started: float
    scoring: Scoring = EARLIER_SCORING
    epochs: list[EpochReport] = field(default_factory=list)
    ended: float | None = None
    reason: str = ""
    precision_note: str = ""
    placement: Placement | None = None


@dataclass
class Session:
    """The driver at work: from its start to the last thing that it wrote, both in seconds since 1970."""

    started: float
    last: float


@dataclass(frozen=True)
class GraceChoice:
    """The first rung of ASHA as the search found it.

    Attributes:
        epochs: where it lies; the full budget when no epoch ranks trials like their end.
        spearman: rank correlation there with the final order; NaN when there is none.
        trials: numbers of the trials that it was found from.
    """

    epochs: int
    spearman: float
    trials: tuple[int, ...]

    def __str__(self) -> str:
        if math.isnan(self.spearman):
            return f"no rungs: no epoch before the last one ranks {len(self.trials)} complete trials like their end"
        return (
            f"first rung found at epoch {self.epochs}: from there on the best values so far rank {len(self.trials)} "
            f"complete trials like their final ones (Spearman {self.spearman:.2f})"
        )


@dataclass
class RunRecords:
    """All that records.jsonl says: trials by number, runs of the finals and sessions of the driver by their start.

    `grace` is what `--grace-epochs auto` found, None before or without it. `gave_up` says why the search left trials
    unstarted because there was nothing to gain, "" where it did not. `arrivals` says in which order the trials
    trained: (trial number, epochs that it had then), one for every report.
    """

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    finals: list[FinalRun] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    grace: GraceChoice | None = None
    gave_up: str = ""
    arrivals: list[tuple[int, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Wall time of all sessions together, to the last event of each."""
        return sum(session.last - session.started for session in self.sessions)

    def ranked(self) -> list[TrialRecord]:
        """Trials with a score, the best first: complete ones, then those ended early, the further ones first.

        Where folds are trained one after another, a trial with more of them is further, and one that ended within a
        later fold is no further than its complete folds, of which alone its score is made.
        """
        ended = [
            trial
            for trial in self.trials.values()
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and math.isfinite(trial.value)
        ]
        return sorted(ended, key=lambda trial: (*_rung(trial), *trial.rank))

    def precision_notes(self) -> list[str]:
        """Why trials and runs of the finals trained in fp32 although bf16 was to be used, one note each."""
        return [run.precision_note for run in (*self.trials.values(), *self.finals) if run.precision_note]

    def final(self, phase: Phase, trial: int, seed: int) -> FinalRun | None:
        """The run of the finals with these three, or None."""
        return next((f for f in self.finals if (f.phase, f.trial, f.seed) == (phase, trial, seed)), None)


def _rung(trial: TrialRecord) -> tuple[bool, int, int]:
    """How far a trial came, the further first; complete ones are alike, also where early stopping ended them."""
    if trial.state is TrialState.COMPLETE:
        return False, 0, 0
    return True, -trial.folds, 0 if trial.folds else -len(trial.epochs)


NO_MEMORY = "out of memory"
"""The kind of failure of a job that needs more memory than it had."""
DIVERGED = "diverged"
"""The kind of failure of a job whose training left the finite numbers."""


def failure_kind(reason: str) -> str:
    """The class of a failure: what stands before the first colon of its reason."""
    return reason.split(":", 1)[0]


def epochs_trained(trials: Mapping[int, TrialRecord]) -> int:
    """Epochs over all trials; one that was trained twice after a lost checkpoint counts once."""
    return sum(len(trial.epochs) for trial in trials.values())
