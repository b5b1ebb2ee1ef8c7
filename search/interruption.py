"""Requests to stop: a signal, or a file in the run folder, which reaches the driver from any machine that shares it."""

from __future__ import annotations

import _thread
import math
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

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


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SAME_SECONDS = 0.1
"""Signals within this time are one request: `timeout` sends one to the process and one to its group, which it is in."""

HANGUP_SECONDS = 1.0
"""The same of SIGHUP: a terminal that is closed sends it to the leader of its session and to the leader's group, and a
busy process may hear of them one after the other."""

LAST_SECONDS = 1.0
"""Between the second request and the end of the process, wherever it is."""


@contextmanager
def interrupts(last_words: str) -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a flag; a second one ends the block at once, later ones nothing.

    Some calls of Ray do not come back for a minute, so a thread of its own hears of signals, and ends the process after
    the second one if the block does not. What is recorded is kept however a driver ends.

    Args:
        last_words: written when the process is ended.

    Raises:
        Interrupted: at the second one.
    """
    requests = _Requests(last_words)

    def wake(number: int, frame: FrameType | None) -> None:
        if requests.second.is_set():
            for each in old:  # the way out ends the workers, and must not be cut short itself
                signal.signal(each, signal.SIG_IGN)
            raise KeyboardInterrupt  # no Exception: nothing on the way may take it for a failure of its own

    under_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    wanted = [each for each in SIGNALS if not (under_nohup and each == signal.SIGHUP)]
    with requests.heard():
        old = {number: signal.signal(number, wake) for number in wanted}
        try:
            yield requests.first.is_set
        except KeyboardInterrupt:
            raise Interrupted from None
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


class _Requests:
    """Signals as requests to stop, counted by a thread that hears of them also while the main one is inside of Ray."""

    def __init__(self, last_words: str) -> None:
        self.first, self.second = threading.Event(), threading.Event()
        self._last_words, self._left = last_words, threading.Event()

    @contextmanager
    def heard(self) -> Iterator[None]:
        ours, pythons = socket.socketpair()
        pythons.setblocking(False)
        before = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._hear, args=(ours,), daemon=True).start()
        try:
            yield
        finally:
            self._left.set()
            signal.set_wakeup_fd(before)
            pythons.close()

    def _hear(self, signals: socket.socket) -> None:
        heard_at = math.inf
        while numbers := signals.recv(64):
            if signal.SIGHUP in numbers:
                _let_go_of_the_terminal()
            if not any(number in SIGNALS for number in numbers):
                continue
            if not self.first.is_set():
                heard_at = time.monotonic()
                self.first.set()
            elif time.monotonic() - heard_at >= (HANGUP_SECONDS if signal.SIGHUP in numbers else SAME_SECONDS):
                self._end()

    def _end(self) -> NoReturn:
        self.second.set()
        if not self._left.is_set():
            _thread.interrupt_main()
        time.sleep(LAST_SECONDS)
        end_process(130, "" if self._left.is_set() else self._last_words)


def end_process(code: int, last_words: str) -> NoReturn:
    """Write something and end the process where it is, with the cursor shown, which a live display hides."""
    shown = "\x1b[?25h" if os.isatty(1) else ""
    with suppress(OSError):
        os.write(1, f"{shown}{last_words}".encode())
    os._exit(code)


def _let_go_of_the_terminal() -> None:
    """A terminal that was closed takes no more output: every write to it would fail."""
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), descriptor)
