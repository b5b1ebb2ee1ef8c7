"""A simulated cluster: replays learning curves through a `JobSource` on a simulated clock.

The source is the very object that Ray runs (`search.study.search.Search`, or a `Chain` with the finals); only the
workers and the time are simulated, so that thousands of trials on any number of workers take seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search.jobs import Chunk, Job, JobSource, Outcome, Wait
from search.simulation.curve_tables import Curve
from ser_core.training.report import EpochReport
from spaces.knobs import Value

CurveOf = Callable[[Mapping[str, Value]], Curve]
"""What training with these settings gives: a table's `nearest`, or any function."""


class SimulatedClock:
    """Seconds since the simulation began; called like `time.time`, and moved by the simulation alone."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class _Training:
    """A job on a worker: its curve, and the epochs that were reported already."""

    job: Job
    curve: Curve
    done: int = 0


def simulate(
    source: JobSource,
    curve_of: CurveOf,
    *,
    workers: int,
    clock: SimulatedClock,
    chunk_seconds: float = math.inf,
    setup_seconds: float = 0.0,
) -> None:
    """Run all jobs of `source`; returns when it has no more, or when `source.tick()` says to stop.

    A worker reports as a real one does: at the pauses of its job, at its end, and after the first epoch that ends
    `chunk_seconds` after its last report. Of reports at the same moment the worker that began earlier comes first.

    Args:
        source: what is simulated; whatever it raises comes out.
        curve_of: the curve of a job's settings. One that is shorter than the job and has a `reason` fails there. That
            of a job that trains folds one after another is those of the folds, joined.
        workers: at once.
        clock: the source's own. A source that moves it is busy for so long, and workers wait for it.
        chunk_seconds: 0 reports after every epoch, infinity only at pauses.
        setup_seconds: of each job, before its first epoch.

    Raises:
        ValueError: no workers, or a curve that is too short and does not say why.
    """
    if workers < 1:
        raise ValueError(f"a simulation needs at least 1 worker; got {workers}")
    idle, order = list(range(workers - 1, -1, -1)), 0
    busy: list[tuple[float, int, int, _Training, Chunk]] = []  # (moment of the report, order, worker, …)

    def train_on(worker: int, training: _Training, begins: float) -> None:
        nonlocal order
        chunk, ends = _next_chunk(training, f"simulated:{worker}", begins, chunk_seconds)
        heapq.heappush(busy, (ends, order, worker, training, chunk))
        order += 1

    while not source.tick():
        job = source.next_job() if idle else Wait()
        if isinstance(job, Job):
            training = _Training(job, curve_of(job.params))
            train_on(idle.pop(), training, clock.seconds + setup_seconds)
            continue
        if not busy:
            if isinstance(job, Wait):
                raise ValueError("the source waits for a job's end, and no job is at work")
            return
        moment, _, worker, training, chunk = heapq.heappop(busy)
        clock.seconds = max(clock.seconds, moment)
        if source.report(chunk):
            train_on(worker, training, clock.seconds)
        else:
            idle.append(worker)


def _next_chunk(training: _Training, worker: str, begins: float, chunk_seconds: float) -> tuple[Chunk, float]:
    """The epochs of a job until its worker reports, and the moment when it does."""
    job, curve = training.job, training.curve
    ends, reports, outcome, reason = begins, [], Outcome.GOING, ""
    while outcome is Outcome.GOING:
        epoch = training.done + 1
        if epoch > len(curve.val_uar):
            if not curve.reason:
                raise ValueError(f"{job.name}: the curve ends at epoch {training.done} of {job.last_epoch}")
            outcome, reason = Outcome.FAILED, curve.reason
            break
        ends += curve.seconds
        reports.append(_report(epoch, curve.val_uar[epoch - 1], curve.seconds, in_turn=bool(job.later_folds)))
        training.done = epoch
        if epoch >= job.last_epoch:
            outcome = Outcome.DONE
        elif epoch in job.pauses or ends - begins >= chunk_seconds:
            break
    return Chunk(job=job.name, reports=reports, outcome=outcome, worker=worker, reason=reason), ends


def _report(epoch: int, val_uar: float, seconds: float, *, in_turn: bool) -> EpochReport:
    """An epoch of a curve. Folds that are trained one after another count alike, since a curve knows no clips."""
    alike = {"hits": (val_uar,), "clips": (1.0,)} if in_turn else {}
    return EpochReport.of_score(epoch, val_uar, seconds, sums=alike)
