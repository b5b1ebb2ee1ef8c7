"""The real half of benchmarks/scale.py: the search on a Ray whose workers sleep."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _scale_simulated import CHUNK_SECONDS, EPOCH_SECONDS, MB, SearchFolder, memory_mb, scale_to
from _sleepers import SleepContext, Sleeper

from search.jobs import Chunk, Job, JobSource, Wait
from search.simulation.curve_tables import CurveTable
from search.study.search import Search
from search.workers.placement import Demand, Request


@dataclass(frozen=True, kw_only=True)
class RealRow:
    """A search on a real Ray.

    Attributes:
        slots: trials at once.
        start_seconds: until every slot had reported.
        seconds: measured after that.
        trials, results: that ended and that came in then.
        utilisation: share of the slots' time that was spent in epochs.
        driver_share: of one processor that the driver took.
        driver_ms, ours_ms: the driver's processor time a result, and the wall time of that spent in the search itself.
        worker_mb: unshared memory of a worker, on average.
    """

    slots: int
    start_seconds: float
    seconds: float
    trials: int
    results: int
    utilisation: float
    driver_share: float
    driver_ms: float
    ours_ms: float
    worker_mb: float


@dataclass(frozen=True)
class Arrival:
    """A chunk that the driver got.

    Attributes:
        at: seconds on the monotonic clock. worker: process. busy: seconds of its epochs, which ended then.
        cpu: processor seconds of the driver until then. ours: seconds spent in the source until then.
        trials: that had ended until then.
    """

    at: float
    worker: str
    busy: float
    cpu: float
    ours: float
    trials: int


class Metered:
    """A source of jobs that times the source behind it, and sends each job to sleep for its recorded curve.

    Args:
        source: what is measured.
        table: recorded curves, and which of them stands for a configuration.
        epoch_seconds: mean over the table, to which all curves are scaled.

    Attributes:
        arrivals: of all chunks.
        ends: moments when jobs ended.
        stops_at: moment on the monotonic clock from which on no job starts and none goes on.
    """

    def __init__(self, source: JobSource, table: CurveTable, epoch_seconds: float) -> None:
        self._source, self._table = source, table
        self._number = {id(curve): number for number, curve in enumerate(table.curves)}
        self._scale = scale_to(table, epoch_seconds)
        self.arrivals: list[Arrival] = []
        self.ends: list[float] = []
        self.ours, self.trials, self.stops_at = 0.0, 0, math.inf

    def next_job(self) -> Job | Wait | None:
        if time.monotonic() >= self.stops_at:
            return None
        began = time.perf_counter()
        job = self._source.next_job()
        self.ours += time.perf_counter() - began
        if not isinstance(job, Job):
            return job
        curve = self._table.curve_of(job.params)
        params: Mapping[str, float] = {"curve": self._number[id(curve)], "epoch_seconds": self._scale * curve.seconds}
        return replace(job, params=params)

    def report(self, chunk: Chunk) -> bool:
        began = time.perf_counter()
        goes_on = self._source.report(chunk)
        self.ours += time.perf_counter() - began
        self.trials += not goes_on
        busy = sum(report.seconds for report in chunk.reports)
        at = time.monotonic()
        if not goes_on:
            self.ends.append(at)
        self.arrivals.append(Arrival(at, chunk.worker, busy, time.process_time(), self.ours, self.trials))
        return goes_on and at < self.stops_at

    def lost(self, job: str, reason: str) -> None:
        raise RuntimeError(f"{job} lost its worker, and the figures with it: {reason}")

    def tick(self) -> bool:
        return self._source.tick()


def measure_real(slots: int, seconds: float, table: CurveTable) -> RealRow:
    """Run a search on a Ray of its own with so many slots, for so long after all of them are at work."""
    from ray.cluster_utils import Cluster

    from search.workers.ray_session import ray_session
    from search.workers.run_jobs import run_jobs

    head = {"num_cpus": slots, "object_store_memory": 256 * MB, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    memory: list[float] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="ser-scale-") as folder,
            closing(SearchFolder(Path(folder) / "run", table, trials=10**6)) as home,
            ray_session(cluster.address, object_store_bytes=0),
        ):
            metered = Watched(home.search, table, slots, seconds, memory)
            context = SleepContext(
                run_folder=str(home.folder),
                curves=[tuple(curve.val_uar) for curve in table.curves],
                chunk_seconds=CHUNK_SECONDS,
            )
            began = time.monotonic()
            run_jobs(metered, context, Demand(requests=[Request(cpus=1, gpus=0)]), actor=Sleeper)
    finally:
        cluster.shutdown()
    return real_row(metered.arrivals, slots, began, metered.stops_at, float(np.mean(memory)))


class Watched(Metered):
    """Stops so many seconds after every slot has reported, and then notes what the workers' memory is."""

    def __init__(self, source: Search, table: CurveTable, slots: int, seconds: float, memory: list[float]) -> None:
        super().__init__(source, table, EPOCH_SECONDS)
        self._slots, self._seconds, self._memory = slots, seconds, memory
        self._seen = set[str]()

    def report(self, chunk: Chunk) -> bool:
        goes_on = super().report(chunk)
        if len(self._seen) < self._slots:
            self._seen.add(chunk.worker)
            if len(self._seen) == self._slots:
                self.stops_at = time.monotonic() + self._seconds
                pids = [int(worker.partition(":")[2]) for worker in self._seen]
                self._memory += [memory_mb(pid)[1] for pid in pids]
        return goes_on


def real_row(arrivals: Sequence[Arrival], slots: int, began: float, stop: float, worker_mb: float) -> RealRow:
    """What the arrivals say of the time from that on which every slot has reported to `stop`.

    Epochs that only end later count as far as they lie before it, so arrivals must go on until every slot is idle.

    Raises:
        ValueError: fewer workers than slots reported, or nothing arrived after that.
    """
    seen = set[str]()
    for arrival in arrivals:
        seen.add(arrival.worker)
        if len(seen) == slots:
            break
    else:
        raise ValueError(f"{len(seen)} of {slots} slots reported; the machine is too small or too busy for so many")
    start, later = arrival, arrivals[arrivals.index(arrival) + 1 :]
    inside = [arrival for arrival in later if arrival.at <= stop]
    if not inside:
        raise ValueError(f"no slot reported again in {stop - start.at:.0f} s; give more --minutes")
    end = inside[-1]
    busy = sum(max(0.0, min(a.at, stop) - max(a.at - a.busy, start.at)) for a in later)
    return RealRow(
        slots=slots,
        start_seconds=start.at - began,
        seconds=stop - start.at,
        trials=end.trials - start.trials,
        results=len(inside),
        utilisation=busy / (slots * (stop - start.at)),
        driver_share=(end.cpu - start.cpu) / (end.at - start.at),
        driver_ms=1e3 * (end.cpu - start.cpu) / len(inside),
        ours_ms=1e3 * (end.ours - start.ours) / len(inside),
        worker_mb=worker_mb,
    )
