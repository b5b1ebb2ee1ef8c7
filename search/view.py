"""A run as its readers see it: records, plan and result of one run folder, and the counts that everybody shows.

Needs neither ray nor optuna nor torch, so that a page can be rebuilt wherever the folder lies.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from search.asha import AUTO, rung_epochs
from search.records import RECORDS_FILE, RunRecords, TrialRecord, TrialState, read_records
from ser_core.paired import Comparison

PLAN_KEYS = (
    "model",
    "corpus",
    "split",
    "speaker_independent",
    "synthetic",
    "max_epochs",
    "grace_epochs",
    "reduction",
    "finalists",
    "seeds",
    "space",
    "limits",
)
PLAN_FILE = "plan.json"
RESULT_FILE = "result.json"
INSIGHT_FILE = "insight.json"
INSIGHT_KEYS = ("parts", "durations", "pictures", "model")


class RunFolderError(ValueError):
    """A folder that is not a readable run; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Share:
    """A knob's share of the importance in [0, 1], and its 95 % interval over resampled trials."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RunView:
    """What a page or a figure may know about one run.

    Attributes:
        name: of the run folder.
        records: everything that happened so far.
        plan: plan.json as plain values.
        result: result.json, or None before the finals are done.
        insight: insight.json, or None before the end of the run and for runs that have none.
        importance: knob -> share of the importance, together 1; None where it cannot be told.
        beats: on a page of several runs, how far this one lies above each that scored lower on the same test clips.
    """

    name: str
    records: RunRecords
    plan: Mapping[str, Any]
    result: Mapping[str, Any] | None = None
    insight: Mapping[str, Any] | None = None
    importance: Mapping[str, Share] | None = None
    beats: tuple[Comparison, ...] = ()

    @property
    def max_epochs(self) -> int:
        return int(self.plan["max_epochs"])

    @property
    def trials(self) -> int:
        """Trials that the run is to start, failed ones included."""
        return int(self.plan["limits"]["trials"])

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which ASHA decides, ascending; none while the search has not found the first one."""
        grace = self.plan["grace_epochs"]
        if grace == AUTO:
            if self.records.grace is None:
                return ()
            grace = self.records.grace.epochs
        return rung_epochs(self.max_epochs, grace, self.plan["reduction"])


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
        self._best = _better([self._best, *ended])

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best validation UAR so far, the earliest of equals; failed ones do not count."""
        return _better([self._best, *self.running])

    @property
    def epochs_running(self) -> int:
        """Epochs of the running trials so far."""
        return sum(len(trial.epochs) for trial in self.running)

    def tally(self, max_epochs: int) -> Tally:
        """Trials and epochs; `max_epochs` is the full budget of a trial."""
        pruned = self._ended[TrialState.PRUNED]
        return Tally(
            running=len(self.running),
            complete=self._ended[TrialState.COMPLETE],
            pruned=pruned,
            failed=self._ended[TrialState.FAIL],
            epochs_trained=self._epochs.total() + self.epochs_running,
            epochs_saved=max_epochs * pruned - self._epochs[TrialState.PRUNED],
        )


def tally(records: RunRecords, max_epochs: int) -> Tally:
    """Count the trials of a run and their epochs; `max_epochs` is the full budget of a trial."""
    return Standing(records).tally(max_epochs)


def best_trial(records: RunRecords) -> TrialRecord | None:
    """The trial with the best validation UAR so far, the earliest of equals; failed ones do not count."""
    return Standing(records).best


def _better(trials: Iterable[TrialRecord | None]) -> TrialRecord | None:
    scored = [t for t in trials if t is not None and t.state is not TrialState.FAIL and math.isfinite(t.value)]
    return max(scored, key=lambda trial: (trial.value, -trial.number), default=None)


def read_run(folder: Path, records: RunRecords | None = None) -> RunView:
    """The run in `folder`, or of it all but `records`; a missing result.json means that it has not finished.

    Raises:
        RunFolderError: no plan.json, or one that lacks what every page shows; a JSON file that is torn.
        ConfigError: records that cannot be read, see `read_records`.
    """
    plan = _read_json(folder / PLAN_FILE)
    if plan is None:
        if inside := sorted(path.parent.name for path in folder.glob(f"*/{PLAN_FILE}")):
            raise RunFolderError(f"{folder} holds several runs, {', '.join(inside)}; name one of them")
        raise RunFolderError(f"a run folder holds {PLAN_FILE}; {folder} does not")
    missing = [key for key in PLAN_KEYS if key not in plan]
    if missing:
        raise RunFolderError(f"{folder / PLAN_FILE} must have {', '.join(PLAN_KEYS)}; it lacks {', '.join(missing)}")
    return RunView(
        name=folder.resolve().name,
        records=read_records(folder / RECORDS_FILE) if records is None else records,
        plan=plan,
        result=_read_json(folder / RESULT_FILE),
        insight=_read_insight(folder / INSIGHT_FILE),
    )


def _read_insight(path: Path) -> dict[str, Any] | None:
    insight = _read_json(path)
    missing = [key for key in INSIGHT_KEYS if insight is not None and key not in insight]
    if missing:
        raise RunFolderError(f"{path} must have {', '.join(INSIGHT_KEYS)}; it lacks {', '.join(missing)}: delete it")
    return insight


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path} is not JSON ({error}); restore it from a copy of the run folder") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} must hold a JSON object; got {type(content).__name__}")
    return content
