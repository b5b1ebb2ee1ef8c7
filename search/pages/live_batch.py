"""The pages of a batch as they are served: that of all runs, that of each, and what the runs say together."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote

from search.interruption import request_stop, stop_requested
from search.pages._grown_page import GrownPage, files_version
from search.pages.batch_head import batch_head, run_line
from search.pages.html import build_batch_page, file_policy
from search.pages.live_run import LivePage
from search.pages.live_server import ServedPage
from search.run_folder.paths import (
    BATCH_FILE,
    COMPARISON_FILE,
    JOURNAL_FILE,
    PLAN_FILE,
    PROTOCOL_PAGE_FILE,
    RECORDS_FILE,
    RESULT_FILE,
    STOP_FILE,
)
from search.run_folder.records_reader import RecordsReader
from search.run_folder.run_view import RunView, read_run

TOGETHER = {PROTOCOL_PAGE_FILE: "all folds so far", COMPARISON_FILE: "the models compared so far"}
"""Pages in the folder of a batch, and what they are called."""


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """What is known of a batch before any of its runs has begun.

    Attributes:
        runs: names of their folders, in their order.
        models: of the runs, each once. protocol: of which each run is a fold, "" for none.
    """

    runs: Sequence[str]
    models: Sequence[str]
    protocol: str


class LiveBatch(GrownPage):
    """The page of a batch, and the way to the others; `at` is what a server asks."""

    def __init__(self, folder: Path, facts: BatchFacts) -> None:
        super().__init__()
        self._folder, self._facts = folder, facts
        self._runs = {name: _FollowedRun(folder / name) for name in facts.runs}
        self._pages: dict[str, ServedPage] = {
            f"/runs/{name}/": LivePage(
                folder / name, shlex.join(["optuna-dashboard", str(folder / name / JOURNAL_FILE)])
            )
            for name in facts.runs
        }
        self._pages |= {f"/{name}": _StoredPage(folder / name) for name in TOGETHER}

    def at(self, path: str) -> ServedPage | None:
        """The page at a path of the server, None where there is none."""
        return self if path == "/" else self._pages.get(unquote(path))

    def ask_to_stop(self) -> None:
        """Leave the request for all runs in the folder of the batch; raises OSError where it cannot be written."""
        request_stop(self._folder)
        self._show_at_once()

    @property
    def finished(self) -> bool:
        return all((self._folder / name / RESULT_FILE).exists() for name in self._facts.runs)

    def _files(self) -> Iterator[Path]:
        yield from (self._folder / name for name in (BATCH_FILE, STOP_FILE, *TOGETHER))
        for run in self._runs.values():
            yield from run.files()

    def _build(self) -> bytes:
        views = {name: run.view() for name, run in self._runs.items()}
        lines = [
            run_line(name, view, stopping=view is not None and stop_requested(self._folder / name))
            for name, view in views.items()
        ]
        sessions = [session for view in views.values() if view is not None for session in view.records.sessions]
        newest = max((session.last for session in sessions), default=None)
        began = min((session.started for session in sessions), default=time.time())
        head = batch_head(
            self._folder.resolve().name,
            self._facts.models,
            self._facts.protocol,
            lines,
            [(f"/{name}", text) for name, text in TOGETHER.items() if (self._folder / name).exists()],
            newest,
            0.0 if newest is None else newest - began,
        )
        addresses = {name: f"/runs/{quote(name)}/" for name in views}
        return build_batch_page(head, addresses, stopping=stop_requested(self._folder)).encode()


class _FollowedRun:
    """A run folder that may come to be, of which only what is new is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = RecordsReader(folder / RECORDS_FILE)
        self._view: RunView | None = None
        self._known = ""  # version of the files that the view is of

    def files(self) -> list[Path]:
        return [self._folder / name for name in (PLAN_FILE, RECORDS_FILE, RESULT_FILE, STOP_FILE)]

    def view(self) -> RunView | None:
        """The run as it is now, None before it has a plan; raises as `read_run`."""
        if not (self._folder / PLAN_FILE).exists():
            return None
        self._reader.update()
        records = self._reader.records
        version = files_version(self._folder / name for name in (PLAN_FILE, RESULT_FILE))
        if self._view is None or version != self._known:
            self._view, self._known = read_run(self._folder, records), version
        self._view = replace(self._view, records=records)
        return self._view


class _StoredPage:
    """A page that the driver writes and writes again, as the file is, with the scripts that stand in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.policy = file_policy()

    def newest(self) -> tuple[bytes, str]:
        """The file and its version; raises OSError where there is none."""
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            return file.read(), f'"{status.st_size:x}.{status.st_mtime_ns:x}"'

    def ask_to_stop(self) -> None:
        """Nothing works at it; see `finished`."""

    @property
    def finished(self) -> bool:
        return True
