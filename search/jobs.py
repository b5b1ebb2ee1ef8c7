"""What a worker is asked to train, and who asks.

The search and the finals hand out jobs through one interface, so that one engine runs both, with the same recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from ser_core.features.placement import Placement
from ser_core.training.report import EpochReport
from spaces.knobs import Value


@dataclass(frozen=True)
class Wait:
    """There is no job now, and there may be one later.

    Attributes:
        ahead: makes a job that would come later, for a worker that has nothing else to do; None where there is none.
    """

    ahead: Callable[[], Job | None] = lambda: None


class Outcome(StrEnum):
    """How a chunk of training ended."""

    GOING = "going"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training run for a worker.

    Attributes:
        name: unique in the run; also its folder below `checkpoints/`.
        params: settings by dotted name, complete but for the architecture's defaults; `architecture` names it where the
            run has several.
        folds: key of the worker's folds, "search", "refit" or `inner_fold(number)`.
        later_folds: keys of the folds, one each, that are trained after those, one after another; epochs count through.
        last_epoch: epoch after which the job is done.
        pauses: epochs after which the worker must report before it goes on (rungs).
        model_folder: where a finished job leaves its model, relative to the run folder; "" for nowhere.
        predictions_file: where it leaves what it says of its validation clips, likewise.
    """

    name: str
    params: Mapping[str, Value]
    folds: str
    last_epoch: int
    later_folds: tuple[str, ...] = ()
    pauses: tuple[int, ...] = ()
    model_folder: str = ""
    predictions_file: str = ""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some epochs of a job, as the worker reports them.

    Attributes:
        job: name of the job.
        reports: finished epochs, in order; none when setting up failed.
        outcome, reason: whether the job goes on, is done, or has failed and why ("diverged: …", "out of memory: …").
        worker: node and process.
        setup_seconds: building model and data before the first of these epochs; 0 in later chunks.
        precision_note: why the job trains in fp32 although bf16 was to be used, in the first chunk; "" otherwise.
        placement: where its clips come from, in the first chunk; None otherwise.
        restored: reports up to this epoch come from the checkpoint that the worker went on from, and may have been
            reported before; 0 for none.
        disk_error: what the disk said when the worker could not write its checkpoint or model, None otherwise. That is
            nobody's fault but the disk's, so the job is still going, and the run must stop.
    """

    job: str
    reports: Sequence[EpochReport]
    outcome: Outcome
    worker: str
    reason: str = ""
    setup_seconds: float = 0.0
    precision_note: str = ""
    placement: Placement | None = None
    restored: int = 0
    disk_error: OSError | None = None


class JobSource(Protocol):
    """Hands out jobs and decides after every chunk; keeps the records."""

    def next_job(self) -> Job | Wait | None:
        """The next job; `Wait()` when there may be one later; None when there will be no more."""

    def report(self, chunk: Chunk) -> bool:
        """Take note of a chunk; True when the job is to go on."""

    def lost(self, job: str, reason: str) -> None:
        """Take note that a job's worker died too often."""

    def tick(self) -> bool:
        """Called many times a second; True when everything is to stop now (interrupted)."""


@dataclass(frozen=True)
class Link:
    """One of several sources that are worked through in their order.

    Attributes:
        source: of its jobs.
        later: that of the link after it, of which workers without a job begin what is certain already.
        prepare: called before `later` is asked, to tell it what is certain by now.
    """

    source: JobSource
    later: JobSource | None = None
    prepare: Callable[[], object] = lambda: None


class Chain:
    """Several sources, one after another: the next begins when the one before it has no more jobs and none at work.

    So workers that are warm for one stage go on with the next, and those that would wait for its end may begin with it.

    Args:
        links: makes them, in order; each is asked for only when those before it are done, so that it can depend on what
            they recorded.

    Attributes:
        stage: the number of the present one, from 0.
    """

    def __init__(self, links: Iterator[Link]) -> None:
        self._links = links
        self.stage = 0
        self._present = next(links, None)
        self._at_work: dict[str, JobSource] = {}

    def next_job(self) -> Job | Wait | None:
        while self._present is not None:
            source = self._present.source
            job = source.next_job()
            if isinstance(job, Job):
                self._at_work[job.name] = source
            if job is not None:
                return job
            if any(own is source for own in self._at_work.values()):
                return Wait(self._ahead)
            self._present, self.stage = next(self._links, None), self.stage + 1
        return None

    def report(self, chunk: Chunk) -> bool:
        goes_on = self._source_of(chunk.job).report(chunk)
        if not goes_on:
            del self._at_work[chunk.job]
        return goes_on

    def lost(self, job: str, reason: str) -> None:
        self._source_of(job).lost(job, reason)
        del self._at_work[job]

    def tick(self) -> bool:
        return self._present is not None and self._present.source.tick()

    def _ahead(self) -> Job | None:
        if self._present is None or self._present.later is None:
            return None
        self._present.prepare()
        job = self._present.later.next_job()
        if not isinstance(job, Job):
            return None
        self._at_work[job.name] = self._present.later
        return job

    def _source_of(self, job: str) -> JobSource:
        if job not in self._at_work:
            raise RuntimeError(f"{job} reported, and is not at work")
        return self._at_work[job]


def inner_fold(number: int) -> str:
    """The key of one inner fold alone, counted from 1, among the worker's folds."""
    return f"inner-{number}"


def derived_seed(seed: int, *path: int) -> int:
    """A seed below 2^31 for one use of a run's seed: path (0, number) for trials, (1, k) for the finals."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0] % 2**31)


def new_reports(chunk: Chunk, known: int) -> list[EpochReport]:
    """What a chunk reports that is new, when `known` epochs are recorded.

    Epochs that a checkpoint brought back are left out as far as they are recorded. What remains was trained, if only
    for the second time.
    """
    return [report for report in chunk.reports if report.epoch > min(known, chunk.restored)]
