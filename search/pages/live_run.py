"""The page of a run as it is served, which grows with the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from search.interruption import request_stop, stop_requested
from search.pages._grown_page import GrownPage
from search.pages.html import LiveState, build_live_page
from search.run_folder.paths import INSIGHT_FILE, PLAN_FILE, RECORDS_FILE, RESULT_FILE, STOP_FILE
from search.run_folder.records_reader import RecordsReader
from search.run_folder.run_view import read_run


class LivePage(GrownPage):
    """The newest page of a run folder.

    Args:
        optuna_command: what serves the study in optuna-dashboard. optuna_address: where it is served already.
    """

    def __init__(self, folder: Path, optuna_command: str, optuna_address: str = "") -> None:
        super().__init__()
        self._folder = folder
        self._optuna_command, self._optuna_address = optuna_command, optuna_address
        self._reader = RecordsReader(folder / RECORDS_FILE)

    def ask_to_stop(self) -> None:
        """Leave the request in the run folder, and show it with the next page.

        Raises:
            OSError: a folder that cannot be written.
        """
        request_stop(self._folder)
        self._show_at_once()

    @property
    def finished(self) -> bool:
        return (self._folder / RESULT_FILE).exists()

    def _build(self) -> bytes:
        self._reader.update()
        records = self._reader.records
        state = LiveState(
            last=records.sessions[-1].last if records.sessions else None,
            stopping=stop_requested(self._folder),
            optuna_command=self._optuna_command,
            optuna_address=self._optuna_address,
        )
        return build_live_page(read_run(self._folder, records), state).encode()

    def _files(self) -> Iterator[Path]:
        names = (PLAN_FILE, RECORDS_FILE, RESULT_FILE, INSIGHT_FILE, STOP_FILE)
        return (self._folder / name for name in names)
