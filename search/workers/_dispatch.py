"""Which job of a run gets which place, and what becomes of jobs that end or need more of a GPU. Needs no Ray."""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from search.jobs import Chunk, Job, Outcome, Wait
from search.run_folder.paths import checkpoint_file
from search.run_folder.records import NO_MEMORY, failure_kind
from search.workers._lanes import Lane, Lanes
from search.workers._part import Taken
from search.workers.placement import Demand, Node, Request

_Answer = TypeVar("_Answer")

NODES_SECONDS = 1.0
"""How often Ray is asked which nodes there are."""

IDLE_SECONDS = 0.02
"""Between two turns while there is nothing to do: Tune itself would not pause."""


class Places:
    """What the next job may ask for, on the cluster as it is now.

    Args:
        nodes: the resources of every node that is alive.
        log: gets a line when the cluster grew or shrank.
        taken: what other drivers leave; None for a driver that has the cluster to itself.
    """

    def __init__(
        self, nodes: Callable[[], Sequence[Node]], log: Callable[[str], None], taken: Taken | None = None
    ) -> None:
        self._ask, self._log, self._taken = nodes, log, taken
        self._nodes = nodes()
        self._asked_at = time.monotonic()

    def next(self, demand: Demand, at_work: Counter[Request], others: Counter[Request]) -> Request | None:
        """See `Demand.next`."""
        now = time.monotonic()
        if now - self._asked_at >= NODES_SECONDS:
            before, self._nodes, self._asked_at = demand.fits(self._nodes), self._ask(), now
            if (fits := demand.fits(self._nodes)) != before:
                self._log(f"The cluster changed: {fits} trials fit at once ({before} before)")
            if self._taken is not None:
                self._taken.refresh()
        found = demand.next(self._nodes, at_work, others)
        if found is None or self._taken is None or self._taken.allows(found, demand, self._nodes, at_work, others):
            return found
        return None


@dataclass(frozen=True)
class Assignment:
    """A job and the place that it asks for; `enlarged` when that is a larger share of a GPU than its first."""

    lane: Lane
    job: Job
    request: Request
    enlarged: bool = False


class Dispatcher:
    """Stands between the sources of jobs and what runs them, which knows each assignment by a key of its own.

    Jobs of the run that is nearest to its end come first, so that results come early; the last jobs of one run leave
    places free, which the next one fills, and where nobody has a job that is due, one that would come later. A lane
    that fails or is stopped ends alone.
    """

    def __init__(self, lanes: Lanes, places: Places) -> None:
        self._lanes, self._places = lanes, places
        self._at_work: dict[str, Assignment] = {}  # by key, at work or waiting for a worker
        self._held: list[tuple[Demand, Counter[Request]]] = []  # what they asked for, counted: there may be thousands
        self._of_lane = Counter[int]()  # how many of them, by the identity of their lane
        self._again: deque[Assignment] = deque()  # to be done anew, with a larger share of a GPU
        self._waits: dict[str, Callable[[], bool]] = {}  # of those that are done anew: is it waiting for a worker?
        self._saved: set[str] = set()  # of those that were stopped in their midst, and go on in a later session
        self._saving: list[tuple[Lane, Callable[[], bool]]] = []  # what workers are writing of them

    def assign(self, key: str) -> Assignment | Wait | None:
        """The next job; `Wait()` when there may be one later; None when there will be no more."""
        found = self._next()
        if isinstance(found, Assignment):
            self._at_work[key] = found
            self._count(found, 1)
        return found

    def assigned(self, key: str) -> Assignment:
        return self._at_work[key]

    def watch_waiting(self, key: str, waits: Callable[[], bool]) -> None:
        """While `waits()` holds of a job that is done anew, no other one is handed out.

        It would never get its larger share if smaller ones took every place.
        """
        self._waits[key] = waits

    def goes_on_later(self, key: str) -> bool:
        """True for a job that was told to stop in its midst, so that its worker is to save it."""
        return key in self._saved

    def watch_saving(self, key: str, saving: Callable[[], bool]) -> None:
        """The run of a job that goes on later has not ended while `saving()` holds: somebody may resume it then."""
        self._saving.append((self._at_work[key].lane, saving))

    def report(self, key: str, chunk: Chunk) -> bool:
        """Hand a chunk to the source; True when the job is to go on."""
        lane = self._at_work[key].lane
        if lane.error is not None:
            self._saved.add(key)
            return False
        if self._enlarge(key, chunk):
            return False
        goes_on = False
        with lane.guarded():
            goes_on = lane.source.report(chunk)
            if chunk.disk_error is not None:
                raise chunk.disk_error
        if goes_on and lane.stopping:
            self._saved.add(key)
            return False
        return goes_on

    def end(self, key: str, lost: str = "") -> None:
        """A job has ended, or is to be done anew, or was stopped in its midst.

        Its checkpoint is deleted, unless it goes on or the source may not have come to record the end.

        Args:
            lost: why it failed that lost its workers.
        """
        assignment = self._at_work.pop(key)
        self._count(assignment, -1)
        lane, job = assignment.lane, assignment.job
        self._waits.pop(key, None)
        goes_on = key in self._saved
        self._saved.discard(key)
        if any(job is waiting.job for waiting in self._again):
            return
        if lost:
            with lane.guarded():
                lane.source.lost(job.name, lost)
        if lane.error is None and not goes_on:
            shutil.rmtree(checkpoint_file(lane.run_folder, job.name).parent, ignore_errors=True)

    def stops(self) -> bool:
        """Asked many times a second; True when everything is to stop now."""
        for lane in self._lanes.present():
            lane.tick()
        self._forget_ended()
        lanes = self._lanes.present()
        if not self._at_work and not self._lanes.over:
            time.sleep(IDLE_SECONDS)
        return bool(lanes) and all(lane.ends for lane in lanes)

    def _next(self) -> Assignment | Wait | None:
        if any(waits() for waits in self._waits.values()):
            return Wait()
        while self._again:
            again = self._again.popleft()
            if not again.lane.ends:
                return again
        waiting: list[tuple[Lane, Request, Wait]] = []
        rooms: list[tuple[Demand, Request | None]] = []  # of runs whose jobs ask for the same there is one answer
        for lane in sorted(self._lanes.present(), key=lambda lane: -lane.stage()):
            if lane.ends or (request := self._room(lane.demand, rooms)) is None:
                continue
            job = self._ask(lane, lane.source.next_job)
            if isinstance(job, Job):
                return Assignment(lane, job, request)
            if isinstance(job, Wait):
                waiting.append((lane, request, job))
            elif not lane.ends and not self._jobs_of(lane):  # one at work may have to be done anew
                self._forget(lane)
        for lane, request, wait in waiting:  # nobody has a job that is due
            if job := self._ask(lane, wait.ahead):
                return Assignment(lane, job, request)
        # Tune waits ten minutes for a job when none is at work, and asks nothing else meanwhile.
        self._forget_ended()
        return None if self._lanes.over else Wait()

    def _ask(self, lane: Lane, question: Callable[[], _Answer]) -> _Answer | None:
        """What a lane's source answers; None where it fails, which ends the lane."""
        try:
            return question()
        except Exception as error:
            lane.fail(error)
            return None

    def _room(self, wanted: Demand, known: list[tuple[Demand, Request | None]]) -> Request | None:
        """What a job may ask for now; None while there is no room for one. `known` is told, and asked first."""
        for demand, request in known:
            if demand == wanted:
                return request
        like, others = Counter[Request](), Counter[Request]()  # of jobs like its own, and of others
        for demand, held in self._held:
            (like if demand == wanted else others).update(held)
        known.append((wanted, self._places.next(wanted, like, others)))
        return known[-1][1]

    def _count(self, assignment: Assignment, change: int) -> None:
        """Keep count of what is at work."""
        lane, request = assignment.lane, assignment.request
        held = next((held for demand, held in self._held if demand == lane.demand), None)
        if held is None:
            held = Counter[Request]()
            self._held.append((lane.demand, held))
        held[request] += change
        self._of_lane[id(lane)] += change
        if not self._of_lane[id(lane)]:
            del self._of_lane[id(lane)]

    def _jobs_of(self, lane: Lane) -> bool:
        return bool(self._of_lane[id(lane)]) or any(each.lane is lane for each in self._again)

    def _forget_ended(self) -> None:
        """Runs that fail or stop are done when nothing of theirs is at work, or being saved."""
        self._saving = [(lane, saving) for lane, saving in self._saving if saving()]
        for lane in self._lanes.present():
            if lane.ends and not self._of_lane[id(lane)] and not any(each is lane for each, _ in self._saving):
                self._forget(lane)

    def _forget(self, lane: Lane) -> None:
        self._again = deque(each for each in self._again if each.lane is not lane)
        self._lanes.remove(lane)

    def _enlarge(self, key: str, chunk: Chunk) -> bool:
        """True when a job ran out of memory with a share of a GPU, and is to be done anew with a larger one.

        The source does not hear of the attempt: what was not reported is trained again.
        """
        assignment = self._at_work[key]
        lane, job, request = assignment.lane, assignment.job, assignment.request
        larger = request.larger()
        if chunk.outcome is not Outcome.FAILED or failure_kind(chunk.reason) != NO_MEMORY or larger is None:
            return False
        lane.log(f"{job.name} ran out of memory with {request.gpus:g} of a GPU; it is done anew with {larger.gpus:g}")
        self._again.append(Assignment(lane, job, larger, enlarged=True))
        return True

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its parts into a snapshot of its own, from which nothing is ever restored here."""
        return {}
