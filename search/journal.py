"""Optuna's journal file, written in batches.

Optuna's own backend takes a lock and waits for the disk at each of the fifty or so entries of a trial (52 ms a trial
with 9 reports, measured). One run has one writer, so entries can be kept in memory and appended together. The file is
the same: `optuna.storages.journal.JournalFileBackend` and optuna-dashboard read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from search.appendfile import AppendFile


class BatchedJournalBackend(BaseJournalBackend):
    """A journal file with exactly one writing process, which must hold the run folder's lock.

    Entries are readable in this process at once, and in the file after `flush`. An entry that a power cut tore is cut
    off when the file is opened; the run's records, which are written first, bring it back.
    """

    def __init__(self, path: Path) -> None:
        self._file = AppendFile(path)
        self._entries: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        self._written = len(self._entries)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        # A JSON round trip, so that this process sees what a reader of the file sees.
        self._entries += [json.loads(json.dumps(log)) for log in logs]

    def flush(self) -> None:
        """Append what is new to the file.

        Raises:
            OSError: a full or read-only disk; the entries are kept for the next call.
        """
        new = self._entries[self._written :]
        if new:
            self._file.append(json.dumps(entry, separators=(",", ":")) for entry in new)
            self._written = len(self._entries)
