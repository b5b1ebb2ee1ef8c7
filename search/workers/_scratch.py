"""Temporary folders that do not outlive their driver for long, however it ended."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "ser-search-"
LOCK_FILE = "driver.lock"
OWNED_FILE = "owned"
"""Names a folder elsewhere that goes with the scratch folder: that of a Ray session."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the time of the block; those of drivers that were killed are deleted first."""
    _clear()
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))  # not a name that another driver clears away
    lock = FileLock(made / LOCK_FILE)
    lock.acquire()
    folder = made.rename(made.with_name(made.name.removeprefix(".")))
    try:
        yield folder
    finally:
        lock.release()
        _delete(folder)


def own(scratch: Path, folder: Path) -> None:
    """Let a folder be deleted with the scratch folder."""
    (scratch / OWNED_FILE).write_text(str(folder), encoding="utf-8")


def _clear() -> None:
    """Delete what killed drivers left; what a living one holds is locked."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK_FILE}"):
        if not os.access(path, os.W_OK):
            continue  # another user's
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        _delete(path.parent)
        lock.release()


def _delete(folder: Path) -> None:
    owned = folder / OWNED_FILE
    if owned.exists():
        shutil.rmtree(owned.read_text(encoding="utf-8"), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
