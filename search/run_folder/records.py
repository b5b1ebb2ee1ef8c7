"""The record of a run, as data: trials, runs of the finals, and sessions of the driver.

`records.jsonl`, one JSON object a line, is the one source for every figure, for `result.json` and for `--resume`.
`records_writer` appends to it, and `records_reader` makes these types of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
    """What follows from the epochs of a training run."""

    epochs: list[EpochReport]
    precision_note: str

    @property
    def value(self) -> float:
        """Best validation UAR of any epoch so far, NaN before the first."""
        return max((e.val_uar for e in self.epochs if math.isfinite(e.val_uar)), default=math.nan)

    @property
    def best_epoch(self) -> int:
        """Epoch of `value`, counted from 1; the earliest of equals; 0 before the first."""
        best = self.value
        return next((e.epoch for e in self.epochs if e.val_uar == best), 0)

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
        state, reason: how it stands; why it failed.
        epochs: every epoch in order.
        worker: node and process that trained it last.
        started, ended: seconds since 1970; `ended` is None while it runs.
        setup_seconds: building the model and placing the data, before the first epoch.
        precision_note: why it trained in fp32 although bf16 was to be used; "" otherwise.
    """

    number: int
    params: Mapping[str, Value]
    origin: str
    started: float
    state: TrialState = TrialState.RUNNING
    reason: str = ""
    epochs: list[EpochReport] = field(default_factory=list)
    worker: str = ""
    ended: float | None = None
    setup_seconds: float = 0.0
    precision_note: str = ""

    @property
    def rank(self) -> tuple[float, int]:
        """Sorts trials, the best score first and of equals the earliest trial; without a score last."""
        return -self.value if math.isfinite(self.value) else math.inf, self.number


@dataclass
class FinalRun(_Trained):
    """One training run of the finals: a finalist with one seed, or a refit of the winner.

    `trial` is the search trial whose configuration it repeats; `seed` counts the seeds of the finals from 1. A refit
    has no validation: its `val_uar`s are NaN.
    """

    phase: Phase
    trial: int
    seed: int
    started: float
    epochs: list[EpochReport] = field(default_factory=list)
    ended: float | None = None
    reason: str = ""
    precision_note: str = ""


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

    `grace` is what `--grace-epochs auto` found, None before or without it. `arrivals` says in which order the trials
    trained: (trial number, epochs that it had then), one for every report.
    """

    trials: dict[int, TrialRecord] = field(default_factory=dict)
    finals: list[FinalRun] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    grace: GraceChoice | None = None
    arrivals: list[tuple[int, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Wall time of all sessions together, to the last event of each."""
        return sum(session.last - session.started for session in self.sessions)

    def ranked(self) -> list[TrialRecord]:
        """Trials with a score, the best first: complete ones, then those ended early, the further ones first."""
        ended = [
            trial
            for trial in self.trials.values()
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.best_epoch
        ]
        return sorted(ended, key=lambda trial: (*_rung(trial), *trial.rank))

    def precision_notes(self) -> list[str]:
        """Why trials and runs of the finals trained in fp32 although bf16 was to be used, one note each."""
        return [run.precision_note for run in (*self.trials.values(), *self.finals) if run.precision_note]

    def final(self, phase: Phase, trial: int, seed: int) -> FinalRun | None:
        """The run of the finals with these three, or None."""
        return next((f for f in self.finals if (f.phase, f.trial, f.seed) == (phase, trial, seed)), None)


def _rung(trial: TrialRecord) -> tuple[bool, int]:
    """How far a trial came, the further first; complete ones are alike, also where early stopping ended them."""
    ended_early = trial.state is not TrialState.COMPLETE
    return ended_early, -len(trial.epochs) if ended_early else 0


NO_MEMORY = "out of memory"
"""The kind of failure of a job that needs more memory than it had."""


def failure_kind(reason: str) -> str:
    """The class of a failure: what stands before the first colon of its reason."""
    return reason.split(":", 1)[0]


def epochs_trained(trials: Mapping[int, TrialRecord]) -> int:
    """Epochs over all trials; one that was trained twice after a lost checkpoint counts once."""
    return sum(len(trial.epochs) for trial in trials.values())
