"""Runs of a batch divided over drivers, which are processes of their own on one Ray.

One driver takes in some 250 reports a second at most, which is too little for a thousand workers whose epochs take one
second. This process starts Ray, where no address says that it is elsewhere, and the drivers, shows what they say, and
passes on requests to stop. Each run is one driver's alone, and of the cluster each driver has an equal part, and what
the others leave.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

from rich.console import Console
from rich.text import Text

from search.driver.batch import Member
from search.driver.driver_messages import Ended, Over, Printed, Row, Stop, Work
from search.driver.one_run import abandon, stopped_at_once
from search.driver.options import Options
from search.driver.user_errors import explained
from search.interruption import Interrupted, Interruption, interrupts
from search.run_folder.plan import SearchPlan
from search.terminal.batch_progress import BatchProgress
from search.wording import resume_command
from search.workers.pool import Part, clear_leftovers, ray_for_drivers
from ser_core.errors import UserError

LISTEN_SECONDS = 0.2
"""Between two looks for a request to stop."""

Due = Sequence[tuple[Member, Options]]


class NotRun(UserError, RuntimeError):
    """A run of several could not be run, or was stopped by itself; its driver says why."""


class DriverFailed(UserError, RuntimeError):
    """A driver ended before its runs had."""


def run_divided(
    due: Due,
    folder: Path,
    drivers: int,
    console: Console,
    *,
    after_each: Callable[[], object] = lambda: None,
) -> dict[str, Exception]:
    """Do runs of a batch by so many drivers, or as many as there are runs; returns when all have ended.

    The arguments, and what is returned, are those of `search.driver.side_by_side.run_together`.

    Raises:
        Interrupted: after Ctrl-C or a request in the folder of the batch, when all have saved what they had.
        DriverFailed: a disk that is full, say, or a driver that was killed: the others have saved what they had.
        ConnectionError: Ray cannot be started.
    """
    if not due:
        return {}
    names = [member.folder for member, _ in due]
    with (
        interrupts(stopped_at_once(folder)) as by_signal,
        BatchProgress(names, console) as view,
        _ray(due, folder) as address,
        _drivers(due, folder, drivers, address, console) as started,
    ):
        interrupted = Interruption(folder, by_signal)
        with _Divided(started, view, after_each) as together:
            while together.listen():
                if interrupted() or together.fault:
                    together.stop()
        if interrupted():
            raise Interrupted
    if together.fault:
        raise DriverFailed(f"{together.fault.strip()} Go on with:\n  {resume_command(folder)}")
    clear_leftovers(folder)
    return {name: NotRun(together.problems[name]) for name in names if name in together.problems}


class _Driver:
    """A driver's process, and the line to it."""

    def __init__(self, work: Work) -> None:
        ours, its = socket.socketpair()
        with ours, its:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "search.driver.driver_process", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # what is to be seen comes over the line
                start_new_session=True,  # Ctrl-C in a terminal is for this process, which passes it on
            )
            self.line = Connection(ours.detach())
        self.send(work)

    def send(self, message: object) -> None:
        """Say something; a driver that has ended does not hear it, and that is noticed elsewhere."""
        try:
            self.line.send(message)
        except OSError:
            return

    def end(self) -> None:
        """End it wherever it is, unless it has ended."""
        self.process.kill()
        self.process.wait()
        self.line.close()


class _Divided:
    """Drivers at work, and what they say.

    Attributes:
        problems: name of a run -> what ended it alone.
        fault: what ended all runs of a driver, "" for nothing.
    """

    def __init__(self, drivers: Sequence[_Driver], view: BatchProgress, after_each: Callable[[], object]) -> None:
        self._alive, self._view, self._after_each = list(drivers), view, after_each
        self._beside = ThreadPoolExecutor(1)  # pages take seconds, and drivers would wait to be heard
        self._stopped = False
        self.problems: dict[str, str] = {}
        self.fault = ""

    def __enter__(self) -> _Divided:
        return self

    def __exit__(self, *_: object) -> None:
        self._beside.shutdown(cancel_futures=True)

    def listen(self) -> bool:
        """Hear what there is to hear for a moment; False when all drivers have ended."""
        lines = {driver.line: driver for driver in self._alive}
        for line in wait(list(lines), LISTEN_SECONDS):
            assert isinstance(line, Connection)
            self._hear(lines[line])
        return bool(self._alive)

    def stop(self) -> None:
        """Ask all that are left to stop, once."""
        if not self._stopped:
            self._stopped = True
            for driver in self._alive:
                driver.send(Stop())

    def _hear(self, driver: _Driver) -> None:
        try:
            message = driver.line.recv()
        except (EOFError, OSError):
            message = Over({}, f"A driver ended without a word, with status {driver.process.wait()}; the others stop.")
        match message:
            case Row(name, row, line):
                self._view.show(name, row, line)
            case Printed(text):
                self._view.console.print(Text.from_ansi(text), soft_wrap=True)
            case Ended(name, how):
                self._view.ended(name, how)
                self._beside.submit(self._write)
            case Over(problems, fault):
                self.problems |= problems
                self.fault = self.fault or fault
                self._gone(driver)

    def _write(self) -> None:
        try:
            self._after_each()
        except Exception as error:  # what it makes is made again at the end, and no run may be lost for it
            self._view.message(f"what the runs say together so far could not be written: {explained(error)}")

    def _gone(self, driver: _Driver) -> None:
        """The others get its part of the cluster."""
        self._alive.remove(driver)
        for number, other in enumerate(self._alive):
            other.send(Part(number, len(self._alive)))


def divided(due: Due, drivers: int) -> list[Due]:
    """Runs in so many parts or fewer, none of them empty; who takes the winner of another run goes with it."""
    names = {member.folder for member, _ in due}
    leaders = [member.folder for member, _ in due if member.taken_from not in names]
    number = {name: place % min(drivers, len(leaders)) for place, name in enumerate(leaders)}
    parts: list[list[tuple[Member, Options]]] = [[] for _ in range(min(drivers, len(leaders)))]
    for member, options in due:
        parts[number[member.taken_from if member.taken_from in names else member.folder]].append((member, options))
    return list(parts)


def _ray(due: Due, folder: Path) -> AbstractContextManager[str | None]:
    """Ray for all of them; its address, None where their options have it."""
    elsewhere = any(_address(options) is not None for _, options in due)
    return nullcontext() if elsewhere else ray_for_drivers(partial(abandon, folder))


def _address(options: Options) -> str | None:
    """What a run says of Ray, one that goes on what its plan says unless it is told otherwise."""
    if options.address is not None or options.resume is None:
        return options.address
    return SearchPlan.load(options.resume).limits.address


@contextmanager
def _drivers(
    due: Due, folder: Path, drivers: int, address: str | None, console: Console
) -> Iterator[Sequence[_Driver]]:
    """Drivers at work while the block lasts; ended with it, wherever they are then."""
    started: list[_Driver] = []
    parts = divided(due, drivers)
    try:
        for number, part in enumerate(parts):
            work = Work(
                due=part,
                folder=folder,
                runs=len(due),
                address=address,
                part=Part(number, len(parts)),
                program=sys.argv[0],
                terminal=console.is_terminal,
                width=console.width,
                colours=console.color_system,
            )
            started.append(_Driver(work))
        yield started
    finally:
        for driver in started:
            driver.end()
