"""A request to stop, as a file in the run folder: it reaches the driver wherever that works on the same storage."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from search.run_folder.paths import STOP_FILE

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


class Interrupted(Exception):
    """The user asked to stop; everything done so far is in the run folder."""


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a flag; a second one ends the block at once, later ones are ignored.

    Raises:
        Interrupted: at the second one.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            for each in old:  # the way out ends the workers, and must not be cut short itself
                signal.signal(each, signal.SIG_IGN)
            raise KeyboardInterrupt  # no Exception: nothing on the way may take it for a failure of its own
        asked = True

    old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
