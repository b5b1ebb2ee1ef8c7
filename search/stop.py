"""A request to stop, as a file in the run folder: it reaches the driver wherever that works on the same storage."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STOP_FILE = "stop.request"
LOOK_SECONDS = 1.0
"""Between two looks for the file: storage that machines share is slow to ask."""


def request_stop(folder: Path) -> None:
    """Ask the driver of the run in `folder` to stop as it does after Ctrl-C.

    Raises:
        OSError: a folder that cannot be written.
    """
    (folder / STOP_FILE).touch()


def stop_requested(folder: Path) -> bool:
    """True until the driver has noticed a request."""
    return (folder / STOP_FILE).exists()


class Interruption:
    """The driver's answer to "has anybody asked to stop?": by Ctrl-C, or by the file.

    The file is taken away when the driver begins, since it was meant for an earlier session, and when it is noticed.
    """

    def __init__(self, folder: Path, by_signal: Callable[[], bool]) -> None:
        self._file, self._by_signal = folder / STOP_FILE, by_signal
        self._by_file = False
        self._next_look = 0.0
        self._file.unlink(missing_ok=True)

    def __call__(self) -> bool:
        if not self._by_file and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            with suppress(FileNotFoundError):
                self._file.unlink()
                self._by_file = True
        return self._by_file or self._by_signal()
