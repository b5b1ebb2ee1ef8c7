"""One of several drivers of a batch, in a process of its own: `python -m search.driver.driver_process DESCRIPTOR`.

It gets its runs over the socket with that number, and says there what the user is to see. When the other end is gone it
ends at once, as after a kill: nobody would hear of it any more.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from rich.console import Console

from search.driver.driver_messages import Ended, Over, Printed, Row, Stop, Work
from search.driver.side_by_side import Together
from search.driver.tune import tune_one
from search.driver.user_errors import USER_ERRORS, explained
from search.interruption import Interrupted, end_process, interrupts
from search.terminal.batch_progress import BatchProgress
from search.terminal.progress import FRAME_SECONDS, LINE_SECONDS
from search.workers.pool import Part


class Line:
    """The way to the process that started this one; any thread may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def send(self, message: object) -> None:
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            end_process(130, "")

    def receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            end_process(130, "")


class RelayedProgress(BatchProgress):
    """The view of all runs is elsewhere: what is to be drawn goes there."""

    def __init__(self, work: Work, send: Callable[[object], None]) -> None:
        console = Console(
            file=_Sent(send),
            force_terminal=False,
            width=work.width,
            color_system=work.colours,  # type: ignore[arg-type]  # one that rich itself has named
        )
        super().__init__([member.folder for member, _ in work.due], console)
        self._send, self._pause = send, FRAME_SECONDS if work.terminal else LINE_SECONDS * work.runs

    def show(self, name: str, row: Sequence[str], line: str) -> float:
        self._send(Row(name, tuple(row), line))
        return self._pause

    def ended(self, name: str, how: str) -> None:
        self._send(Ended(name, how))


class _Sent(io.StringIO):
    """A file whose whole lines are sent when it is flushed."""

    def __init__(self, send: Callable[[object], None]) -> None:
        super().__init__()
        self._send = send

    def flush(self) -> None:
        whole, newline, rest = self.getvalue().rpartition("\n")
        if newline:
            self.seek(0)
            self.truncate()
            self.write(rest)
            self._send(Printed(whole))


def drive(work: Work, line: Line) -> None:
    """Do the runs, and say how it went."""
    sys.argv[0] = work.program
    view, told, part = RelayedProgress(work, line.send), threading.Event(), [work.part]

    def listen() -> None:
        while True:
            message = line.receive()
            if isinstance(message, Stop):
                told.set()
            elif isinstance(message, Part):
                part[0] = message

    threading.Thread(target=listen, daemon=True).start()

    def on_death(dead: str) -> NoReturn:
        line.send(Over({}, f"Ray stopped working: {dead}. What was done is kept"))
        end_process(2, "")

    with interrupts("") as by_signal:
        together = Together(
            work.due,
            work.folder,
            tune_one,
            lambda: None,
            view,
            lambda: told.is_set() or by_signal(),
            on_death=on_death,
            runs=work.runs,
            address=work.address,
            part=lambda: part[0],
        )
        together.run()
    line.send(Over({name: explained(error) for name, error in together.problems.items()}, _fault(together.fault)))


def _fault(error: BaseException | None) -> str:
    """What the user is told of it; of a fault of this program, that and where."""
    if isinstance(error, Interrupted):
        return "A driver was told to stop at once."
    if error is None or isinstance(error, (*USER_ERRORS, OSError)):
        return explained(error) if error else ""
    return "".join(traceback.format_exception(error))


def main() -> None:
    line = Line(Connection(int(sys.argv[1])))
    work: Work = line.receive()
    try:
        drive(work, line)
    except BaseException as error:
        line.send(Over({}, _fault(error)))
        raise
    os._exit(0)  # the thread that listens waits for ever


if __name__ == "__main__":
    main()
