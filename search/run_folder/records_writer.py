"""Appends to `records.jsonl` as things happen; only the driver does. Each kind of event has its method."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from search.run_folder.append_file import AppendFile
from search.run_folder.records import GraceChoice, Phase, TrialState, Value
from search.run_folder.records_reader import apply_event, read_records
from search.run_folder.scoring import EARLIER_SCORING, Scoring
from ser_core.features.placement import Placement
from ser_core.training.report import EpochReport
from ser_core.whole_file import defined
from spaces.several import for_choice


class RecordWriter:
    """Appends events, with the present time, and keeps `records` equal to what a reader would see.

    A line that a power cut tore is dropped when the file is opened; what has ended is on the disk before anything is
    built on it, so that a power cut costs the epochs under way. Every method raises OSError for a full or read-only
    disk; then nothing of its event is written or applied.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        scoring: Scoring | Mapping[str, Scoring] = EARLIER_SCORING,
    ) -> None:
        """Open for appending; repair a torn last line first.

        Args:
            scoring: of the trials that start, or of those of each architecture; runs of the finals have one fold at a
                time.

        Raises:
            ConfigError: see `read_records`.
            OSError: a folder that cannot be written.
        """
        self.records = read_records(path)
        self._file = AppendFile(path)
        self._clock, self._scoring = clock, scoring

    def scoring_of(self, params: Mapping[str, Value]) -> Scoring:
        """How a trial with these values is scored."""
        return for_choice(self._scoring, params)

    def session(self) -> None:
        """The driver begins its work."""
        self._append("session")

    def trial_started(self, trial: int, params: Mapping[str, Value], origin: str) -> None:
        """A trial was proposed; `origin` as in `TrialRecord`."""
        self._append("trial_start", trial=trial, params=params, origin=origin, **_scored(self.scoring_of(params)))

    def epochs(
        self,
        trial: int,
        reports: Sequence[EpochReport],
        *,
        worker: str,
        setup_seconds: float,
        precision_note: str = "",
        placement: Placement | None = None,
    ) -> None:
        """A trial was trained for some epochs; of those that are recorded already the first report counts."""
        self._append("epochs", trial=trial, **_trained(reports, worker, setup_seconds, precision_note, placement))

    def trial_ended(self, trial: int, state: TrialState, reason: str = "") -> None:
        """A trial has ended, and why if it did not complete."""
        self._append("trial_end", trial=trial, state=state, reason=reason, sync=True)

    def grace_found(self, choice: GraceChoice) -> None:
        """The search found the first rung of ASHA."""
        self._append("grace", epochs=choice.epochs, spearman=choice.spearman, trials=choice.trials, sync=True)

    def gave_up(self, reason: str) -> None:
        """The search starts no more trials, since there is nothing to gain."""
        self._append("gave_up", reason=reason, sync=True)

    def final_started(self, phase: Phase, trial: int, seed: int) -> None:
        """A run of the finals begins, or begins again after a failure or a death of the driver."""
        own = replace(self.scoring_of(self.records.trials[trial].params), fold_epochs=0)
        self._append("final_start", phase=phase, trial=trial, seed=seed, **_scored(own))

    def final_epochs(
        self,
        phase: Phase,
        trial: int,
        seed: int,
        reports: Sequence[EpochReport],
        *,
        worker: str,
        setup_seconds: float,
        precision_note: str = "",
        placement: Placement | None = None,
    ) -> None:
        """A run of the finals was trained for some epochs; see `epochs`."""
        trained = _trained(reports, worker, setup_seconds, precision_note, placement)
        self._append("final_epochs", phase=phase, trial=trial, seed=seed, **trained)

    def final_ended(self, phase: Phase, trial: int, seed: int, reason: str = "") -> None:
        """A run of the finals has ended; `reason` says why it failed, "" when it did not."""
        self._append("final_end", phase=phase, trial=trial, seed=seed, reason=reason, sync=True)

    def close(self) -> None:
        self._file.close()

    def _append(self, event: str, *, sync: bool = False, **values: Any) -> None:
        line = defined({"event": event, "time": self._clock(), **values})
        self._file.append([json.dumps(line, allow_nan=False)], sync=sync)
        apply_event(self.records, line)


def _trained(
    reports: Sequence[EpochReport],
    worker: str,
    setup_seconds: float,
    precision_note: str,
    placement: Placement | None,
) -> dict[str, Any]:
    note: dict[str, Any] = {"precision_note": precision_note} if precision_note else {}
    if placement is not None:
        note["clips"] = asdict(placement)
    return {
        "worker": worker,
        "setup_seconds": setup_seconds,
        **note,
        "reports": [report.as_json() for report in reports],
    }


def _scored(scoring: Scoring) -> dict[str, Any]:
    """How what starts is scored, as far as it is otherwise than in early versions."""
    return {name: value for name, value in vars(scoring).items() if value != getattr(EARLIER_SCORING, name)}
