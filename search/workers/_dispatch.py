"""Which job of a source gets which place, and what becomes of jobs that end or need more of a GPU. Needs no Ray."""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.jobs import Chunk, Job, JobSource, Outcome, Wait
from search.run_folder.paths import checkpoint_file
from search.run_folder.records import NO_MEMORY, failure_kind
from search.workers.placement import Demand, Node, Request

NODES_SECONDS = 1.0
"""How often Ray is asked which nodes there are."""


class Places:
    """What the next job may ask for, on the cluster as it is now.

    Args:
        nodes: the resources of every node that is alive.
        log: gets a line when the cluster grew or shrank.
    """

    def __init__(self, demand: Demand, nodes: Callable[[], Sequence[Node]], log: Callable[[str], None]) -> None:
        self._demand, self._ask, self._log = demand, nodes, log
        self._nodes = nodes()
        self._fits = demand.fits(self._nodes)
        self._asked_at = time.monotonic()

    def next(self, at_work: Counter[Request]) -> Request | None:
        now = time.monotonic()
        if now - self._asked_at >= NODES_SECONDS:
            self._nodes, self._asked_at = self._ask(), now
            before, self._fits = self._fits, self._demand.fits(self._nodes)
            if self._fits != before:
                self._log(f"The cluster changed: {self._fits} trials fit at once ({before} before)")
        return self._demand.next(self._nodes, at_work)


@dataclass(frozen=True)
class Assignment:
    """A job and the place that it asks for; `enlarged` when that is a larger share of a GPU than its first."""

    job: Job
    request: Request
    enlarged: bool = False


class Dispatcher:
    """Stands between a `JobSource` and what runs its jobs, which knows each assignment by a key of its own.

    What the source raises is kept until the workers are stopped (`raise_error`); from then on there are no more jobs.

    Args:
        run_folder: whose checkpoints of ended jobs are deleted.
        log: gets a line on each job that needs more of a GPU.
    """

    def __init__(self, source: JobSource, places: Places, run_folder: Path, log: Callable[[str], None]) -> None:
        self._source, self._places, self._run_folder, self._log = source, places, run_folder, log
        self._error: BaseException | None = None
        self._at_work: dict[str, Assignment] = {}  # by key, at work or waiting for a worker
        self._again: deque[Assignment] = deque()  # to be done anew, with a larger share of a GPU
        self._waits: dict[str, Callable[[], bool]] = {}  # of those that are done anew: is it waiting for a worker?

    def assign(self, key: str) -> Assignment | Wait | None:
        """The next job; `Wait()` when there may be one later; None when there will be no more."""
        found: Assignment | Wait | None = None
        if self._error is None:
            with self._guarded():
                found = self._next()
        if isinstance(found, Assignment):
            self._at_work[key] = found
        return found

    def assigned(self, key: str) -> Assignment:
        return self._at_work[key]

    def watch_waiting(self, key: str, waits: Callable[[], bool]) -> None:
        """While `waits()` holds of a job that is done anew, no other one is handed out.

        It would never get its larger share if smaller ones took every place.
        """
        self._waits[key] = waits

    def report(self, key: str, chunk: Chunk) -> bool:
        """Hand a chunk to the source; True when the job is to go on."""
        if self._enlarge(key, chunk):
            return False
        goes_on = False
        with self._guarded():
            goes_on = self._source.report(chunk)
            if chunk.disk_error is not None:
                raise chunk.disk_error
        return goes_on

    def end(self, key: str, lost: str = "") -> None:
        """A job has ended, or is to be done anew.

        Its checkpoint is deleted, unless the source may not have come to record the end.

        Args:
            lost: why it failed that lost its workers.
        """
        job = self._at_work.pop(key).job
        self._waits.pop(key, None)
        if any(job is waiting.job for waiting in self._again):
            return
        if lost:
            with self._guarded():
                self._source.lost(job.name, lost)
        if self._error is None:
            shutil.rmtree(checkpoint_file(self._run_folder, job.name).parent, ignore_errors=True)

    def stops(self) -> bool:
        """Asked many times a second; True when everything is to stop now."""
        stop = True
        with self._guarded():
            stop = self._source.tick()
        return stop or self._error is not None

    def raise_error(self) -> None:
        """Raise what the source raised, if it did."""
        if self._error is not None:
            raise self._error

    def _next(self) -> Assignment | Wait | None:
        if any(waits() for waits in self._waits.values()):
            return Wait()
        if self._again:
            return self._again.popleft()
        request = self._places.next(Counter(each.request for each in self._at_work.values()))
        if request is None:
            return Wait()
        job = self._source.next_job()
        if isinstance(job, Job):
            return Assignment(job, request)
        # After None nobody asks again, and a job at work may have to be done anew.
        return None if job is None and not self._at_work else Wait()

    def _enlarge(self, key: str, chunk: Chunk) -> bool:
        """True when a job ran out of memory with a share of a GPU, and is to be done anew with a larger one.

        The source does not hear of the attempt: what was not reported is trained again.
        """
        job, request = self._at_work[key].job, self._at_work[key].request
        larger = request.larger()
        if chunk.outcome is not Outcome.FAILED or failure_kind(chunk.reason) != NO_MEMORY or larger is None:
            return False
        self._log(f"{job.name} ran out of memory with {request.gpus:g} of a GPU; it is done anew with {larger.gpus:g}")
        self._again.append(Assignment(job, larger, enlarged=True))
        return True

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._error = self._error or error

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its parts into a snapshot of its own, from which nothing is ever restored here."""
        return {}
