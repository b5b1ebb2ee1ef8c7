"""Many runs side by side on one set of workers: on a Ray whose workers sleep, and simulated for a thousand of them.

Each run is a search, repeats of its finalists when that has ended, and refits when those have: as real ones, a run has
fewer jobs than it might have workers at each of its ends.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from _scale_real import Arrival, Metered
from _scale_simulated import CHUNK_SECONDS, EPOCH_SECONDS, MB, SearchFolder, memory_mb, scale_to
from _sleepers import SleepContext, Sleeper

from search.jobs import Chain, Chunk, Job, Link, Outcome, Wait
from search.simulation.curve_tables import Curve, CurveTable
from search.simulation.simulate import SimulatedClock, simulate
from search.workers._dispatch import Assignment, Dispatcher, Places
from search.workers._lanes import Lane, Lanes
from search.workers.placement import Demand, Request
from spaces.knobs import Value

T = TypeVar("T")

REPEATS, REFITS = 4, 2
"""Two finalists with two seeds each, then the winner."""
LAST = 0.1
"""Of all jobs; while these end there are no longer enough for all workers."""


@dataclass(frozen=True, kw_only=True)
class ManyRow:
    """Runs side by side.

    Attributes:
        kind: "Ray" or "simulated". runs: side by side. trials: of each. workers: of all of them. drivers: likewise.
        hours: until all had ended.
        utilisation: share of the workers' time that was spent in epochs, from the moment when all could be at work to
            that when nine tenths of all jobs had ended.
        driver_share: of one processor that a driver took until then, the busiest of them.
        driver_ms, ours_ms: its processor time for a result, and the time of that spent in the searches themselves.
        driver_mb: memory of a driver at the end, the largest.
    """

    kind: str
    runs: int
    trials: int
    workers: int
    drivers: int
    hours: float
    utilisation: float
    driver_share: float
    driver_ms: float
    ours_ms: float
    driver_mb: float


class Tail:
    """So many jobs that train to the end, all at once."""

    def __init__(self, name: str, params: Sequence[dict[str, Value]], epochs: int) -> None:
        self._jobs = [
            Job(name=f"{name}-{number}", params=own, folds="search", last_epoch=epochs)
            for number, own in enumerate(params)
        ]

    def next_job(self) -> Job | Wait | None:
        return self._jobs.pop(0) if self._jobs else None

    def report(self, chunk: Chunk) -> bool:
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        raise RuntimeError(f"{job} lost its worker, and the figures with it: {reason}")

    def tick(self) -> bool:
        return False


def whole_run(home: SearchFolder, table: CurveTable) -> Chain:
    """A search, and what comes after it; nothing of that begins before the search has ended."""
    epochs = table.header.epochs

    def best() -> dict[str, Value]:
        return dict(max(home.writer.records.trials.values(), key=lambda trial: trial.value).params)

    def links() -> Iterator[Link]:
        yield Link(home.search)
        yield Link(Tail("repeat", [best()] * REPEATS, epochs))
        yield Link(Tail("refit", [best()] * REFITS, epochs))

    return Chain(links())


@contextmanager
def homes(table: CurveTable, runs: Sequence[int], trials: int) -> Iterator[list[SearchFolder]]:
    """A folder with a search for each run, whose seed is its number."""
    with tempfile.TemporaryDirectory(prefix="ser-scale-") as folder, ExitStack() as stack:
        yield [
            stack.enter_context(closing(SearchFolder(Path(folder) / str(run), table, trials, seed=run))) for run in runs
        ]


# -- on Ray ------------------------------------------------------------------------------------------------------------


def measure_many(
    runs: int, trials: int, slots: int, table: CurveTable, epoch_seconds: float = EPOCH_SECONDS
) -> ManyRow:
    """So many runs on a Ray of its own with so many slots, by one driver."""
    from ray.cluster_utils import Cluster

    from search.workers.ray_session import ray_session
    from search.workers.run_jobs import lane_of, work_through

    head = {"num_cpus": slots, "object_store_memory": 256 * MB, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        with homes(table, range(runs), trials) as found, ray_session(cluster.address, object_store_bytes=0):
            lanes, sources = Lanes(), []
            for home in found:
                context = SleepContext(
                    run_folder=str(home.folder),
                    curves=[tuple(curve.val_uar) for curve in table.curves],
                    chunk_seconds=CHUNK_SECONDS,
                )
                chain = whole_run(home, table)
                sources.append(Metered(chain, table, epoch_seconds))
                demand = Demand(requests=[Request(cpus=1, gpus=0)])
                lanes.add(lane_of(sources[-1], context, demand, lambda text: None, lambda chain=chain: chain.stage))
            lanes.close()
            opened, began = lanes.present(), time.monotonic()
            work_through(lanes, actor=Sleeper)
            for lane in opened:
                lane.raise_error()
            arrivals = sorted((each for source in sources for each in source.arrivals), key=lambda each: each.at)
            memory = memory_mb(os.getpid())[0]
    finally:
        cluster.shutdown()
    return many_row(arrivals, sources, runs, trials, slots, began, memory)


def many_row(
    arrivals: Sequence[Arrival],
    sources: Sequence[Metered],
    runs: int,
    trials: int,
    slots: int,
    began: float,
    memory: float,
) -> ManyRow:
    """What the arrivals of all runs say, in their order.

    Raises:
        ValueError: fewer workers than slots reported.
    """
    seen = set[str]()
    for start in arrivals:
        seen.add(start.worker)
        if len(seen) == slots:
            break
    else:
        raise ValueError(f"{len(seen)} of {slots} slots reported; the machine is too small or too busy for so many")
    ends = sorted(moment for source in sources for moment in source.ends)
    stop = ends[int((1 - LAST) * len(ends)) - 1]
    last = next(each for each in reversed(arrivals) if each.at <= stop)
    results = sum(start.at < each.at <= stop for each in arrivals)
    return ManyRow(
        kind="Ray",
        runs=runs,
        trials=trials,
        workers=slots,
        drivers=1,
        hours=(arrivals[-1].at - began) / 3600,
        utilisation=busy_between(arrivals, start.at, stop) / (slots * (stop - start.at)),
        driver_share=(last.cpu - start.cpu) / (last.at - start.at),
        driver_ms=1e3 * (last.cpu - start.cpu) / results,
        ours_ms=1e3 * sum(ours_between(source.arrivals, start.at, stop) for source in sources) / results,
        driver_mb=memory,
    )


def ours_between(arrivals: Sequence[Arrival], start: float, stop: float) -> float:
    """Seconds that one source has taken between two moments, as far as its arrivals say."""
    inside = [each.ours for each in arrivals if start < each.at <= stop]
    return inside[-1] - inside[0] if inside else 0.0


def busy_between(arrivals: Sequence[Arrival], start: float, stop: float) -> float:
    """Seconds of epochs that lie between two moments."""
    return sum(max(0.0, min(each.at, stop) - max(each.at - each.busy, start)) for each in arrivals)


# -- simulated ---------------------------------------------------------------------------------------------------------


class Dispatched:
    """Many runs as one source for a simulated cluster, through the dispatcher that Ray's workers are behind.

    The clock is moved by what the driver takes, and by what Ray adds to a result.
    """

    def __init__(self, lanes: Lanes, workers: int, clock: SimulatedClock, ray_seconds: float) -> None:
        nodes = [{"CPU": float(workers)}]
        self._dispatcher = Dispatcher(lanes, Places(lambda: nodes, lambda text: None))
        self._clock, self._ray_seconds = clock, ray_seconds
        self._names: dict[str, str] = {}  # key -> name of the job within its run
        self._number = 0
        self.arrivals: list[Arrival] = []
        self.ends: list[float] = []
        self.worked = 0.0

    def next_job(self) -> Job | Wait | None:
        key = str(self._number)
        found = self._timed(lambda: self._dispatcher.assign(key))
        if not isinstance(found, Assignment):
            return found
        self._number += 1
        self._names[key] = found.job.name
        return replace(found.job, name=key)

    def report(self, chunk: Chunk) -> bool:
        key, at = chunk.job, self._clock()
        self.arrivals.append(Arrival(at, chunk.worker, sum(each.seconds for each in chunk.reports), self.worked, 0, 0))
        own = replace(chunk, job=self._names[key])
        goes_on = self._timed(lambda: self._dispatcher.report(key, own))
        if not goes_on:
            self._timed(lambda: self._dispatcher.end(key))
            self.ends.append(at)
        self._pass(self._ray_seconds)
        return goes_on

    def lost(self, job: str, reason: str) -> None:
        raise RuntimeError(f"a simulated worker is never lost; {job}: {reason}")

    def tick(self) -> bool:
        return False  # what stops a run is asked by the dispatcher itself, in the real loop

    def _timed(self, do: Callable[[], T]) -> T:
        began = time.process_time()
        found = do()
        self._pass(time.process_time() - began)
        return found

    def _pass(self, seconds: float) -> None:
        self._clock.seconds += seconds
        self.worked += seconds


def simulate_many(runs: int, trials: int, workers: int, drivers: int, table: CurveTable, ray_ms: float) -> ManyRow:
    """So many runs on simulated workers, by drivers that have equal parts of both and lend each other nothing."""
    found = [
        _simulated_driver(range(number, runs, drivers), trials, workers // drivers, table, ray_ms)
        for number in range(drivers)
    ]
    ends = sorted(moment for driver, _ in found for moment in driver.ends)
    stop = ends[int((1 - LAST) * len(ends)) - 1]
    busy = sum(busy_between(driver.arrivals, 0.0, stop) for driver, _ in found)
    last = [next(each for each in reversed(driver.arrivals) if each.at <= stop) for driver, _ in found]
    results = [sum(each.at <= stop for each in driver.arrivals) for driver, _ in found]
    return ManyRow(
        kind="simulated",
        runs=runs,
        trials=trials,
        workers=workers // drivers * drivers,
        drivers=drivers,
        hours=ends[-1] / 3600,
        utilisation=busy / (workers // drivers * drivers * stop),
        driver_share=max(each.cpu / stop for each in last),
        driver_ms=1e3 * max(each.cpu / number for each, number in zip(last, results, strict=True)),
        ours_ms=1e3 * max(each.cpu / number for each, number in zip(last, results, strict=True)) - ray_ms,
        driver_mb=max(memory for _, memory in found),
    )


def _simulated_driver(
    runs: Sequence[int], trials: int, workers: int, table: CurveTable, ray_ms: float
) -> tuple[Dispatched, float]:
    """What one driver does, and its memory."""
    scale, clock = scale_to(table, EPOCH_SECONDS), SimulatedClock()

    def slowed(params: Mapping[str, Value]) -> Curve:
        curve = table.curve_of(params)
        return replace(curve, seconds=scale * curve.seconds)

    with homes(table, runs, trials) as found:
        lanes = Lanes()
        for home in found:
            chain = whole_run(home, table)
            lanes.add(
                Lane(
                    source=chain,
                    demand=Demand(requests=[Request(cpus=1, gpus=0)]),
                    run_folder=home.folder,
                    context=None,
                    log=print,
                    stage=lambda chain=chain: chain.stage,
                )
            )
        lanes.close()
        opened, dispatched = lanes.present(), Dispatched(lanes, workers, clock, ray_ms / 1e3)
        simulate(dispatched, slowed, workers=workers, clock=clock, chunk_seconds=CHUNK_SECONDS)
        for lane in opened:
            lane.raise_error()
        return dispatched, memory_mb(os.getpid())[0]
