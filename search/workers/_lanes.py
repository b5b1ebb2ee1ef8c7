"""Runs whose jobs share the workers: a lane for each. Needs no Ray."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.jobs import JobSource
from search.workers.placement import Demand


@dataclass(kw_only=True, eq=False)
class Lane:
    """The jobs of one run on their way to the workers.

    What its source raises is kept (`error`), and ends the lane alone: from then on it has no more jobs.

    Attributes:
        source: of the jobs.
        demand: what each of them asks for.
        run_folder: whose checkpoints of ended jobs are deleted.
        context: what the workers need to do them; it travels with each.
        log: gets a line on each job that needs more of a GPU.
        stage: how near the run is to its end, higher for nearer: its jobs come first.
        error: what ended it.
        stopping: the source wants everything stopped, and the jobs at work saved.
        done: set when none of its jobs is at work and none will come.
    """

    source: JobSource
    demand: Demand
    run_folder: Path
    context: Any
    log: Callable[[str], None]
    stage: Callable[[], int] = lambda: 0
    error: BaseException | None = None
    stopping: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def ends(self) -> bool:
        """True when no more jobs are to come, whatever the source has left."""
        return self.stopping or self.error is not None

    def tick(self) -> None:
        """Give the source its moment, and take note when it wants to stop."""
        with self.guarded():
            self.stopping = self.source.tick() or self.stopping

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Around every call of the source."""
        try:
            yield
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """The source cannot go on; its first error is the one that counts."""
        self.error = self.error or error

    def raise_error(self) -> None:
        """Raise what ended the lane, if anything did."""
        if self.error is not None:
            raise self.error


class Lanes:
    """The lanes that are open, in the order in which they came. Threads may add to them while their jobs are done."""

    def __init__(self) -> None:
        self._lanes: list[Lane] = []
        self._closed = self._ended = False
        self._error: BaseException | None = None
        self._lock = threading.Condition()

    def add(self, lane: Lane) -> None:
        """One more; after `end` it is done at once, with the same error."""
        with self._lock:
            if self._closed and not self._ended:
                raise RuntimeError("a run came after the last one")
            if not self._ended:
                self._lanes.append(lane)
                self._lock.notify_all()
                return
        lane.error = lane.error or self._error
        lane.done.set()

    def close(self) -> None:
        """No more will come."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()

    def wait(self) -> bool:
        """Wait for a lane; False when there is none and none will come."""
        with self._lock:
            self._lock.wait_for(lambda: self._closed or self._lanes)
            return bool(self._lanes)

    def remove(self, lane: Lane) -> None:
        """A lane has ended, here or already."""
        with self._lock:
            if lane in self._lanes:
                self._lanes.remove(lane)
        lane.done.set()

    def present(self) -> list[Lane]:
        with self._lock:
            return list(self._lanes)

    @property
    def over(self) -> bool:
        """True when there is none, and none will come."""
        with self._lock:
            return self._closed and not self._lanes

    def end_stopped(self) -> None:
        """The workers have stopped. A lane that came meanwhile is not done: it waits for those that come next."""
        for lane in self.present():
            if lane.ends:
                self.remove(lane)

    def end(self, error: BaseException | None = None) -> None:
        """Nobody works any more: let everybody know who waits or comes later, and why where that is an error."""
        with self._lock:
            self._ended, self._error = True, error
        for lane in self.present():
            lane.error = lane.error or error
            self.remove(lane)
