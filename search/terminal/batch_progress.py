"""The live view of several runs in the terminal: a line for each in one table, or plain lines without a terminal."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from search.run_folder.architectures import trial_epochs
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords
from search.terminal.progress import FRAME_SECONDS, FRAME_SHARE, LINE_SECONDS, Progress, clock_text
from search.wording import NONE, count, printable

MOST_LINES = 40
"""Runs in the table: those at work, then those that ended last."""


class BatchProgress:
    """Shows the runs of a batch while its block lasts. Their own views draw in it, from whatever thread they are in.

    Args:
        names: of the runs, in their order.
        console: where to draw; see `Progress`.
        clock: seconds, the same clock as the records'.
    """

    def __init__(self, names: Sequence[str], console: Console, *, clock: Callable[[], float] = time.time) -> None:
        self.console, self.clock = console, clock
        self._rows: dict[str, tuple[str, ...]] = {}
        self._ended: dict[str, str] = {}
        self._names, self._begun, self._due = names, clock(), -math.inf
        self._lock = threading.RLock()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> BatchProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._draw(self._live)
            self._live.stop()

    def of(self, name: str, plan: SearchPlan, records: RunRecords) -> Progress:
        """What is shown of one run."""
        return _OneOfMany(name, self, plan, records)

    def message(self, text: str) -> None:
        """A line that stays, on what concerns all runs."""
        self.console.print(Text(printable(text)))

    def show(self, name: str, row: Sequence[str], line: str) -> float:
        """Draw what is new of a run; seconds until it may be drawn again."""
        with self._lock:
            self._rows[name] = tuple(row)
            if self._live is None:
                self.console.print(Text(f"{name} {line}"), soft_wrap=True)
                return LINE_SECONDS * len(self._rows)
            if self.clock() >= self._due:
                self._draw(self._live)
            return FRAME_SECONDS

    def ended(self, name: str, how: str) -> None:
        """A run has ended, in a word or two, or could not be run."""
        with self._lock:
            self._rows.pop(name, None)
            self._ended[name] = printable(how)
            if self._live is None:
                self.console.print(Text(f"{name} {self._ended[name]} | {self._total()}"), soft_wrap=True)
            else:
                self._draw(self._live)

    def _draw(self, live: Live) -> None:
        began = self.clock()
        live.update(self._panel(), refresh=True)
        self._due = began + max(FRAME_SECONDS, (self.clock() - began) / FRAME_SHARE)

    def _panel(self) -> Panel:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("run", "stage", "trials", "best", "time left"):
            table.add_column(heading, justify="left" if heading in ("run", "stage") else "right")
        for name, row in self._rows.items():
            table.add_row(name, *row)
        for name in [*self._ended][::-1][: max(0, MOST_LINES - len(self._rows))]:
            table.add_row(name, Text(self._ended[name], style="dim"))
        return Panel(
            Group(table, Text(self._total(), style="dim")), title="runs", title_align="left", border_style="dim"
        )

    def _total(self) -> str:
        elapsed = clock_text(self.clock() - self._begun)
        return f"{len(self._ended)} of {count(len(self._names), 'run')} ended | {elapsed} elapsed"


class _OneOfMany(Progress):
    """One run in the view of all."""

    def __init__(self, name: str, board: BatchProgress, plan: SearchPlan, records: RunRecords) -> None:
        super().__init__(plan, records, board.console, clock=board.clock)
        self._name, self._board = name, board
        self._live = None  # the view of all has the terminal

    def message(self, text: str) -> None:
        super().message(f"{self._name}: {text}")

    def _draw(self) -> None:
        self._standing.update()
        self._due = self._clock() + self._board.show(self._name, self._row(), self._line())

    def _row(self) -> tuple[str, ...]:
        counted = self._standing.tally(trial_epochs(self._plan))
        best, left = self._standing.best, self._seconds_left(counted)
        return (
            str(self._stage),
            f"{counted.ended} of {self._plan.limits.trials}",
            NONE if best is None else self._plan.headline.text(best.value),
            NONE if left is None else clock_text(left),
        )
