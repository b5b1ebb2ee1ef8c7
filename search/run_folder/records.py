"""The record of a run: one JSON object a line, appended and flushed as things happen.

`records.jsonl` is the one source for every figure, for `result.json` and for `--resume`. Only the driver writes it. A
line that a power cut tore is dropped when the file is opened for writing again.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from search.run_folder.append_file import AppendFile
from ser_core.config import ConfigError
from ser_core.training.report import EpochReport
from ser_core.whole_file import defined

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
        return sorted(ended, key=lambda t: (*_rung(t), -t.value, t.number))

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


def read_records(path: Path) -> RunRecords:
    """Read a records file; a last line without its newline is ignored.

    Raises:
        ConfigError: a line in the middle that is not JSON or an event that is not known, with its number.
    """
    reader = RecordsReader(path)
    reader.update()
    return reader.records


class RecordsReader:
    """Follows a records file that grows: `update` reads what was appended since the last time, and no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self.records = RunRecords()
        self._offset, self._lines, self._file = 0, 0, 0

    def update(self) -> None:
        """Bring `records` up to date. A file that is another one, or shorter than what was read, is read anew.

        Raises:
            ConfigError: see `read_records`.
        """
        if not self._path.exists():
            self._begin()
            return
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._file or status.st_size < self._offset:
                self._begin()
                self._file = status.st_ino
            file.seek(self._offset)
            data = file.read()
        for line in data.split(b"\n")[:-1]:  # what follows the last newline is torn, or still being written
            self._apply(line)
            self._offset += len(line) + 1
            self._lines += 1

    def _apply(self, line: bytes) -> None:
        try:
            apply(self.records, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{self._path} line {self._lines + 1} is not a record ({error!r}); the run cannot be read beyond it: "
                f"restore the file from a copy, or delete from that line on to fall back to the trials before it"
            ) from error


def apply(records: RunRecords, event: Mapping[str, Any]) -> None:
    """Bring `records` up to date with one event."""
    kind = event["event"]
    if kind == "session":
        records.sessions.append(Session(event["time"], event["time"]))
    elif kind == "trial_start":
        records.trials[event["trial"]] = TrialRecord(
            number=event["trial"], params=event["params"], origin=event["origin"], started=event["time"]
        )
    elif kind == "epochs":
        trial = records.trials[event["trial"]]
        trial.worker, trial.setup_seconds = event["worker"], trial.setup_seconds + event["setup_seconds"]
        trial.precision_note = event.get("precision_note", trial.precision_note)
        _extend(trial.epochs, event["reports"])
        records.arrivals.append((trial.number, len(trial.epochs)))
    elif kind == "trial_end":
        trial = records.trials[event["trial"]]
        trial.state, trial.reason, trial.ended = TrialState(event["state"]), event["reason"], event["time"]
    elif kind == "grace":
        agreement = math.nan if event["spearman"] is None else event["spearman"]
        records.grace = GraceChoice(event["epochs"], agreement, tuple(event["trials"]))
    elif kind == "final_start":
        final = records.final(Phase(event["phase"]), event["trial"], event["seed"])
        if final is None:
            records.finals.append(FinalRun(Phase(event["phase"]), event["trial"], event["seed"], event["time"]))
        else:  # it failed in an earlier session, or its driver died
            final.ended, final.reason = None, ""
    elif kind in ("final_epochs", "final_end"):
        final = records.final(Phase(event["phase"]), event["trial"], event["seed"])
        if final is None:
            raise ValueError(f"{kind} of a final run that never started")
        if kind == "final_epochs":
            final.precision_note = event.get("precision_note", final.precision_note)
            _extend(final.epochs, event["reports"])
        else:
            final.ended, final.reason = event["time"], event["reason"]
    else:
        raise ValueError(f"unknown event {kind!r}")
    if records.sessions:
        records.sessions[-1].last = event["time"]


def _extend(epochs: list[EpochReport], reports: Iterable[Mapping[str, Any]]) -> None:
    """Append reports, but none of an epoch that is known: one that is trained again after a lost checkpoint.

    On a GPU it comes out a little different. The first report is the one by which ASHA judged and that Optuna has.
    """
    for report in reports:
        values: dict[str, Any] = {key: math.nan if value is None else value for key, value in report.items()}
        if not epochs or values["epoch"] > epochs[-1].epoch:
            epochs.append(EpochReport(**values))


class RecordWriter:
    """Appends events to a run's records and keeps `records` equal to what a reader would see."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open for appending; repair a torn last line first.

        Raises:
            ConfigError: see `read_records`.
            OSError: a folder that cannot be written.
        """
        self.records = read_records(path)
        self._file = AppendFile(path)
        self._clock = clock

    def write(self, event: str, **values: Any) -> None:
        """Append one event with the present time, and apply it to `records`.

        Raises:
            OSError: a full or read-only disk; nothing of the event is written or applied.
        """
        line = defined({"event": event, "time": self._clock(), **values})
        self._file.append([json.dumps(line, allow_nan=False)])
        apply(self.records, line)

    def close(self) -> None:
        self._file.close()


def report_fields(report: EpochReport) -> dict[str, Any]:
    """An epoch as plain values for an event."""
    return asdict(report)


NO_MEMORY = "out of memory"
"""The kind of failure of a job that needs more memory than it had."""


def failure_kind(reason: str) -> str:
    """The class of a failure: what stands before the first colon of its reason."""
    return reason.split(":", 1)[0]


def epochs_trained(trials: Mapping[int, TrialRecord]) -> int:
    """Epochs over all trials; one that was trained twice after a lost checkpoint counts once."""
    return sum(len(trial.epochs) for trial in trials.values())
