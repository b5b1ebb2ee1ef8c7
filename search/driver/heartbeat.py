"""What the driver does between the epochs: draw, report, and notice that it is to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from search.interruption import Interrupted
from search.pages.write import write_dashboard
from search.run_folder.paths import DASHBOARD_FILE
from search.run_folder.records import RunRecords
from search.terminal.progress import Progress

DASHBOARD_SECONDS = 30.0
DASHBOARD_SHARE = 0.02
"""The page of a running search is written at most this often, and for at most this share of the driver's time."""

_ONE_PAGE = threading.Lock()
"""Of several runs whose pages are due at once, one is drawn at a time."""


class Heartbeat:
    """Keeps terminal and page up to date while the driver waits for its workers.

    The page is drawn beside that, in a thread of its own: workers would wait for it, and for their next job. When the
    block ends, none is being drawn any more.

    Args:
        interrupted: True as soon as anybody has asked to stop.
        runs: how many share the driver's time.
    """

    def __init__(
        self,
        folder: Path,
        records: RunRecords,
        progress: Progress,
        interrupted: Callable[[], bool],
        *,
        runs: int = 1,
    ) -> None:
        self._share = DASHBOARD_SHARE / runs
        self._folder, self._records, self._progress, self.interrupted = folder, records, progress, interrupted
        self._stopping = False
        self._page_due = time.monotonic() + DASHBOARD_SECONDS
        self._known_grace = records.grace
        self._page: threading.Thread | None = None

    def __enter__(self) -> Heartbeat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait_for_page()

    def tick(self) -> bool:
        """Called many times a second; True when the workers are to end their epoch and save."""
        self._progress.update()
        if self._records.grace is not self._known_grace:
            self._known_grace = self._records.grace
            self._progress.message(f"ASHA: {self._known_grace}")
        if time.monotonic() >= self._page_due and (self._page is None or not self._page.is_alive()):
            self._page = threading.Thread(target=self._draw_page, daemon=True)
            self._page.start()
        if self.interrupted() and not self._stopping:
            self._stopping = True
            self._progress.message("Stopping: the workers end their epoch and save. Ctrl-C again ends them at once.")
        return self._stopping

    def check(self) -> None:
        """Between steps that are short or save nothing.

        Raises:
            Interrupted: somebody has asked to stop.
        """
        if self.interrupted():
            raise Interrupted

    def draw_page(self) -> None:
        """Draw the dashboard as the run is now, and return when that is done."""
        self._wait_for_page()
        self._draw_page()

    def _wait_for_page(self) -> None:
        if self._page is not None:
            self._page.join()

    def _draw_page(self) -> None:
        """The page can be drawn again at any time, so no search and no result may be lost for it."""
        with _ONE_PAGE:
            began = time.monotonic()
            try:
                write_dashboard(self._folder)
            except Exception as error:
                self._progress.message(
                    f"{DASHBOARD_FILE} could not be drawn ({type(error).__name__}: {error}); the run goes on. "
                    f"python search/dashboard.py {self._folder} draws it again"
                )
            took = time.monotonic() - began
            self._page_due = began + max(DASHBOARD_SECONDS, took / self._share)
