"""A run as its readers see it: records, plan and result of one run folder, and the counts that everybody shows.

Needs neither ray nor optuna nor torch, so that a page can be rebuilt wherever the folder lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.run_folder.architectures import schedules
from search.run_folder.documents import read_insight_file, read_result_file
from search.run_folder.paths import INSIGHT_FILE, PLAN_FILE, RECORDS_FILE, RESULT_FILE, runs_below
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords
from search.run_folder.records_reader import read_records
from search.run_folder.rungs import fold_rungs, rung_epochs
from ser_core.config import ConfigError
from ser_core.errors import UserError
from ser_core.json_document import DocumentError, read_object
from ser_core.metrics.paired import Comparison
from spaces.knobs import KnobError


class RunFolderError(UserError, ValueError):
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
        plan: what defines the run.
        result: result.json, or None before the finals are done.
        insight: insight.json, or None before the end of the run and for runs that have none.
        importance: knob -> share of the importance, together 1; None where it cannot be told.
        beats: on a page of several runs, how far this one lies above each that scored lower on the same test clips.
    """

    name: str
    records: RunRecords
    plan: SearchPlan
    result: Mapping[str, Any] | None = None
    insight: Mapping[str, Any] | None = None
    importance: Mapping[str, Share] | None = None
    beats: tuple[Comparison, ...] = ()

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which ASHA decides, ascending; none within a fold while the search has not found the first.

        None either where architectures with schedules of their own have rungs of their own.
        """
        budget, folds, first = schedules(self.plan), self.plan.folds_in_turn, self.plan.first_rung
        if not isinstance(budget, int):
            return ()
        if first is None:
            if self.records.grace is None:
                return fold_rungs(budget, self.plan.reduction, folds)
            first = self.records.grace.epochs
        return rung_epochs(budget, first, self.plan.reduction, folds)


def read_run(folder: Path, records: RunRecords | None = None) -> RunView:
    """The run in `folder`, or of it all but `records`; a missing result.json means that it has not finished.

    Raises:
        RunFolderError: no plan.json, or one that lacks what every page shows; a JSON file that is torn.
        ConfigError: records that cannot be read, see `read_records`.
    """
    return RunView(
        name=folder.resolve().name,
        records=read_records(folder / RECORDS_FILE) if records is None else records,
        plan=_read_plan(folder),
        result=_read(folder / RESULT_FILE, read_result_file, "restore it from a copy, or --resume the run"),
        insight=_read(folder / INSIGHT_FILE, read_insight_file, "delete it, and the page goes without"),
    )


def _read_plan(folder: Path) -> SearchPlan:
    try:
        return SearchPlan.from_json(read_object(folder / PLAN_FILE))
    except (FileNotFoundError, NotADirectoryError) as error:
        if inside := [run.name for run in runs_below(folder)]:
            raise RunFolderError(f"{folder} holds several runs, {', '.join(inside)}; name one of them") from error
        raise RunFolderError(f"a run folder holds {PLAN_FILE}; {folder} does not") from error
    except (DocumentError, KnobError, ConfigError) as error:
        raise RunFolderError(
            f"{folder / PLAN_FILE} does not hold the plan of a run: {error}; restore it from a copy of the run folder"
        ) from error


def _read(path: Path, read: Callable[[Path], dict[str, Any]], advice: str) -> dict[str, Any] | None:
    """A document of a run folder, None where there is none."""
    try:
        return read(path.parent)
    except FileNotFoundError:
        return None
    except DocumentError as error:
        raise RunFolderError(f"{error}; {advice}") from error
