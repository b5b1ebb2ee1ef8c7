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

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from search.run_folder.append_file import AppendFile
from ser_core.config import ConfigError


class JournalDamaged(ConfigError):
    """A journal of which a part is lost or overwritten, so that what follows it cannot be trusted."""

    def __init__(self, path: Path, where: str) -> None:
        super().__init__(
            f"{path} is damaged ({where}); restore it from a copy, or move it away and --resume each run whose study "
            f"was in it: it is rebuilt from the run's records"
        )


class BatchedJournalBackend(BaseJournalBackend):
    """A journal file with exactly one writing process, which must hold the run folder's lock.

    Entries are readable in this process at once, and in the file after `flush`. An entry that a power cut tore is cut
    off when the file is opened; the run's records, which are written first, bring it back.

    Raises:
        ConfigError: a file that holds something else, which is left as it is.
        JournalDamaged: a line in its middle that is no entry; it is left as it is, too.
    """

    def __init__(self, path: Path) -> None:
        check_journal(path)
        self._entries = _entries(path)
        self._file = AppendFile(path)
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


def replayed(backend: BaseJournalBackend, path: Path) -> JournalStorage:
    """The storage that a journal's entries make.

    Raises:
        JournalDamaged: entries that do not follow from those before them.
    """
    try:
        return JournalStorage(backend)
    except Exception as error:  # Optuna checks no entry: whatever comes of a bad one
        raise JournalDamaged(path, f"its entries do not fit together: {error!r}") from error


def _entries(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a journal; what follows the last newline was torn."""
    entries = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.exists() else [], 1):
        try:
            entry = json.loads(line)
            entry["op_code"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise JournalDamaged(path, f"line {number} is no entry") from error
        entries.append(entry)
    return entries


def check_journal(path: Path) -> None:
    """Refuse a file that is no journal, before its last line is taken for a torn one and cut off.

    Raises:
        ConfigError: a file whose first line is no entry of a journal.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        first = file.readline()
    try:
        whole = first.endswith(b"\n")
        fits = "op_code" in json.loads(first) if whole else first[:1] in (b"", b"{")
    except (ValueError, TypeError, RecursionError):
        fits = False
    if not fits:
        raise ConfigError(f"{path} is not a journal of Optuna: its first line is no entry of one; name another file")
