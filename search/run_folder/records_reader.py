"""Reads `records.jsonl`, whole or as it grows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.run_folder._event_door import parse_event
from search.run_folder.records import FinalRun, GraceChoice, Phase, RunRecords, Session, TrialRecord, TrialState
from search.run_folder.scoring import EARLIER_SCORING, STATISTICS, Scoring
from ser_core.config import ConfigError
from ser_core.earlier_settings import present_settings
from ser_core.features.placement import Placement, Where
from ser_core.json_document import DocumentError
from ser_core.named_scores import OBJECTIVES
from ser_core.training.report import EpochReport


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
            apply_event(self.records, parse_event(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = error if isinstance(error, DocumentError) else repr(error)
            raise ConfigError(
                f"{self._path} line {self._lines + 1} is not a record ({why}); the run cannot be read beyond it: "
                f"restore the file from a copy, or delete from that line on to fall back to the trials before it"
            ) from error


def apply_event(records: RunRecords, event: Mapping[str, Any]) -> None:
    """Bring `records` up to date with one event."""
    kind = event["event"]
    if kind == "session":
        records.sessions.append(Session(event["time"], event["time"]))
    elif kind == "trial_start":
        records.gave_up = ""  # all trials were asked for after all
        records.trials[event["trial"]] = TrialRecord(
            number=event["trial"],
            params=present_settings(event["params"]),
            origin=event["origin"],
            started=event["time"],
            scoring=_scoring(event),
        )
    elif kind == "epochs":
        trial = records.trials[event["trial"]]
        trial.worker, trial.setup_seconds = event["worker"], trial.setup_seconds + event["setup_seconds"]
        trial.precision_note = event.get("precision_note", trial.precision_note)
        trial.placement = _placement(event) or trial.placement
        _extend(trial.epochs, event["reports"])
        records.arrivals.append((trial.number, len(trial.epochs)))
    elif kind == "trial_end":
        trial = records.trials[event["trial"]]
        trial.state, trial.reason, trial.ended = TrialState(event["state"]), event["reason"], event["time"]
    elif kind == "gave_up":
        records.gave_up = event["reason"]
    elif kind == "grace":
        agreement = math.nan if event["spearman"] is None else event["spearman"]
        records.grace = GraceChoice(event["epochs"], agreement, tuple(event["trials"]))
    elif kind == "final_start":
        final = records.final(Phase(event["phase"]), event["trial"], event["seed"])
        if final is None:
            final = FinalRun(Phase(event["phase"]), event["trial"], event["seed"], event["time"], _scoring(event))
            records.finals.append(final)
        else:  # it failed in an earlier session, or its driver died
            final.ended, final.reason = None, ""
    elif kind in ("final_epochs", "final_end"):
        final = records.final(Phase(event["phase"]), event["trial"], event["seed"])
        if final is None:
            raise ValueError(f"{kind} of a final run that never started")
        if kind == "final_epochs":
            final.precision_note = event.get("precision_note", final.precision_note)
            final.placement = _placement(event) or final.placement
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
    for report in map(EpochReport.of_json, reports):
        if not epochs or report.epoch > epochs[-1].epoch:
            epochs.append(report)


def _placement(event: Mapping[str, Any]) -> Placement | None:
    """Where the clips came from, as the first epochs of a job say."""
    if (found := event.get("clips")) is None:
        return None
    return Placement(where=Where(found["where"]), size_bytes=found["size_bytes"], room_bytes=found["room_bytes"])


def _scoring(event: Mapping[str, Any]) -> Scoring:
    """How what starts is scored: the keys are missing where that is how early versions did it."""
    early = EARLIER_SCORING
    names = ("score", "fold_epochs", "objective")
    scoring = Scoring(*(event.get(name, getattr(early, name)) for name in names))
    if scoring.score not in STATISTICS:
        raise ValueError(f"unknown score {scoring.score!r}")
    if scoring.objective not in OBJECTIVES:
        raise ValueError(f"unknown objective {scoring.objective!r}")
    return scoring
