"""Runs of a batch at the same time, each in a thread of its own, on the workers that they share.

While a run waits for its jobs its thread does nothing; of the others one at a time does what a driver does beside
that: reads its corpus, computes features, writes its result. So nothing but Ray Tune's loop, in the main thread, goes
on beside it, and what needs much memory is never needed twice at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from search.driver.batch import Member
from search.driver.one_run import Means, abandon, stopped_at_once
from search.driver.options import Options
from search.driver.turns import Turns
from search.driver.user_errors import USER_ERRORS, explained
from search.interruption import Interrupted, Interruption, interrupts
from search.terminal.batch_progress import BatchProgress
from search.workers.pool import Part, SharedWorkers, clear_leftovers
from ser_core.errors import UserError


class StoppedAlone(UserError, RuntimeError):
    """One run of several was asked to stop."""


def run_together(
    due: Sequence[tuple[Member, Options]],
    folder: Path,
    run_one: Callable[[Options, Console, Means], object],
    console: Console,
    *,
    after_each: Callable[[], object] = lambda: None,
) -> dict[str, Exception]:
    """Do runs of a batch side by side; returns when all have ended.

    Args:
        due: the runs, in their order.
        folder: of the batch.
        run_one: does one of them.
        after_each: called when some have ended, as soon as no other run waits for its turn.

    Returns:
        Member folder -> what ended that run alone.

    Raises:
        Interrupted: after Ctrl-C or a request in the folder of the batch, when all have saved what they had.
        Exception: the first error that is no `UserError`, such as that of a full disk, likewise.
    """
    if not due:
        return {}
    names = [member.folder for member, _ in due]
    with interrupts(stopped_at_once(folder)) as by_signal, BatchProgress(names, console) as view:
        interrupted = Interruption(folder, by_signal)
        together = Together(due, folder, run_one, after_each, view, interrupted, on_death=partial(abandon, folder))
        together.run()
        if interrupted():
            raise Interrupted
    if together.fault is not None:
        raise together.fault
    clear_leftovers(folder)
    return {name: together.problems[name] for name in names if name in together.problems}


class Together:
    """Runs at work side by side.

    Args:
        interrupted: True as soon as anybody has asked all of them to stop.
        runs: how many share the workers, those of other drivers too; None for these alone.
        address, part: see `SharedWorkers`.
        on_death: likewise.

    Attributes:
        problems: name of a run -> what ended it alone.
        fault: the first error of another kind, which ends them all.
    """

    def __init__(
        self,
        due: Sequence[tuple[Member, Options]],
        folder: Path,
        run_one: Callable[[Options, Console, Means], object],
        after_each: Callable[[], object],
        view: BatchProgress,
        interrupted: Callable[[], bool],
        *,
        on_death: Callable[[str], object],
        runs: int | None = None,
        address: str | None = None,
        part: Callable[[], Part] = Part,
    ) -> None:
        self._due, self._run_one, self._after_each = due, run_one, after_each
        self._view, self._interrupted = view, interrupted
        self._turns, self._runs = Turns(), runs or len(due)
        self._workers = SharedWorkers(
            folder=folder,
            runs=len(due),
            whole=any(member.split for member, _ in due),
            kinds=len({member.model for member, _ in due}),
            on_death=on_death,
            log=view.message,
            idle=self._turns.away,
            address=address,
            part=part,
        )
        self._over = {member.folder: threading.Event() for member, _ in due}
        self._so_far_written = True
        self.problems: dict[str, Exception] = {}
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Returns when all have ended. This thread does their jobs."""
        threads = [
            threading.Thread(target=self._thread, args=(number,), daemon=True) for number in range(len(self._due))
        ]
        for thread in threads:
            thread.start()
        self._workers.serve()
        for thread in threads:
            thread.join()

    def _thread(self, number: int) -> None:
        member, options = self._due[number]
        try:
            if member.taken_from in self._over:
                self._over[member.taken_from].wait()
            with self._turns.turn(number):
                self._one(member.folder, options)
        except BaseException as error:
            self.fault = self.fault or error
        finally:
            self._over[member.folder].set()
            if all(event.is_set() for event in self._over.values()):
                self._workers.close()
        with self._turns.turn(number, last=True):
            self._write_so_far()

    def _one(self, name: str, options: Options) -> None:
        """One run in its turn, from its options to its end."""
        means = Means(
            workers=self._workers,
            by_signal=self._stops,
            show=partial(self._view.of, name),
            runs=self._runs,
            away=self._turns.away,
        )
        try:
            if self._stops():
                raise Interrupted
            self._run_one(options, self._view.console, means)
        except Interrupted:
            self.problems[name] = StoppedAlone("it was asked to stop; --resume goes on with it")
        except USER_ERRORS as error:
            self.problems[name] = error
        problem = self.problems.get(name)
        self._view.ended(name, "is done" if problem is None else f"could not be run: {explained(problem)}")
        self._so_far_written = False

    def _write_so_far(self) -> None:
        """What the runs say together, unless it was said since one ended."""
        if self._so_far_written:
            return
        self._so_far_written = True
        try:
            self._after_each()
        except Exception as error:  # what it makes is made again at the end, and no run may be lost for it
            self._view.message(f"what the runs say together so far could not be written: {explained(error)}")

    def _stops(self) -> bool:
        return self._interrupted() or self.fault is not None
