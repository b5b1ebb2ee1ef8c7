"""The simulated half of benchmarks/scale.py: the search without Ray, on a clock that its own work moves."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from search.jobs import Chunk, Job, Wait
from search.run_folder.paths import JOURNAL_FILE, RECORDS_FILE
from search.run_folder.records_writer import RecordWriter
from search.run_folder.rungs import default_grace_epochs
from search.simulation.curve_tables import Curve, CurveTable
from search.simulation.simulate import SimulatedClock, simulate
from search.study.asha import Asha
from search.study.search import Search
from search.study.storage import open_study
from spaces.knobs import Value

WINDOWS = 10
EPOCH_SECONDS = 5.0
CHUNK_SECONDS = 1.0
"""As in search.workers._job_run, which would import torch."""
MB = 2**20


@dataclass(frozen=True, kw_only=True)
class SimulatedRow:
    """A tenth of the trials of a simulated search.

    Attributes:
        trials: that had ended at its end.
        utilisation: share of the workers' time, from one report to the next, that was spent in epochs.
        result_ms: the search's own time for a report. proposal_ms: for a proposal.
        ours_ms: both, for each result.
        memory_mb: of the process. study_mb, records_mb: on disk.
    """

    trials: int
    results: int
    utilisation: float
    result_ms: float
    proposal_ms: float
    ours_ms: float
    memory_mb: float
    study_mb: float
    records_mb: float


def memory_mb(pid: int) -> tuple[float, float]:
    """Memory of a process, all of it and the part that it shares with no other; Linux tells."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kb = {name: float(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    return kb["Rss"] / 1024, (kb["Private_Clean"] + kb["Private_Dirty"]) / 1024


def scale_to(table: CurveTable, epoch_seconds: float) -> float:
    """The factor that brings the mean epoch of the table's curves to so many seconds."""
    return epoch_seconds * len(table.curves) / sum(curve.seconds for curve in table.curves)


class SearchFolder:
    """A search over the table's space with study and records in a folder, as a run of the command line has."""

    def __init__(self, folder: Path, table: CurveTable, trials: int, seed: int = 0) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.writer = RecordWriter(folder / RECORDS_FILE)
        study, flush = open_study(folder, "", is_new=True)
        self.writer.session()
        epochs = table.header.epochs
        self.search = Search(
            study=study,
            space=table.space,
            writer=self.writer,
            asha=Asha(epochs, default_grace_epochs(epochs), 3),
            sampler="tpe",
            seed=seed,
            fixed={},
            trials=trials,
            flush=flush,
        )

    def close(self) -> None:
        self.writer.close()


class Timed:
    """The search behind a simulated clock that its own work moves, plus what Ray adds to every result.

    Args:
        trials: that end before everything stops; the search itself goes on, so that it proposes to the end.
    """

    def __init__(self, home: SearchFolder, clock: SimulatedClock, *, trials: int, ray_seconds: float) -> None:
        self._home, self._clock, self._ray_seconds = home, clock, ray_seconds
        self._trials = trials
        self._last = dict[str, float]()  # when each worker reported
        self._window = max(1, trials // WINDOWS)
        self._ended = 0
        self._begin()
        self.rows: list[SimulatedRow] = []

    def _begin(self) -> None:
        self._busy, self._passed, self._results, self._proposals = 0.0, 0.0, 0, 0
        self._reporting, self._proposing = 0.0, 0.0

    def next_job(self) -> Job | Wait | None:
        began = time.process_time()
        job = self._home.search.next_job()
        took = time.process_time() - began
        self._clock.seconds += took
        self._proposing += took
        self._proposals += job is not None
        return job

    def report(self, chunk: Chunk) -> bool:
        self._passed += self._clock() - self._last.get(chunk.worker, 0.0)
        self._last[chunk.worker] = self._clock()
        began = time.process_time()
        goes_on = self._home.search.report(chunk)
        took = time.process_time() - began
        self._clock.seconds += took + self._ray_seconds
        self._reporting += took
        self._results += 1
        self._busy += sum(report.seconds for report in chunk.reports)
        self._ended += not goes_on
        if not goes_on and self._ended % self._window == 0:
            self._close_window()
        return goes_on

    def lost(self, job: str, reason: str) -> None:
        raise RuntimeError(f"a simulated worker is never lost; {job}: {reason}")

    def tick(self) -> bool:
        return self._ended >= self._trials or self._home.search.tick()

    def _close_window(self) -> None:
        home = self._home
        self.rows.append(
            SimulatedRow(
                trials=self._ended,
                results=self._results,
                utilisation=self._busy / self._passed,
                result_ms=1e3 * self._reporting / self._results,
                proposal_ms=1e3 * self._proposing / max(1, self._proposals),
                ours_ms=1e3 * (self._reporting + self._proposing) / self._results,
                memory_mb=memory_mb(os.getpid())[0],
                study_mb=(home.folder / JOURNAL_FILE).stat().st_size / MB,
                records_mb=(home.folder / RECORDS_FILE).stat().st_size / MB,
            )
        )
        self._begin()


def measure_simulated(
    table: CurveTable, *, workers: int, trials: int, ray_ms: float, epoch_seconds: float = EPOCH_SECONDS
) -> list[SimulatedRow]:
    """A search with so many workers and trials; a row for every tenth of the trials."""
    scale = scale_to(table, epoch_seconds)

    def slowed(params: Mapping[str, Value]) -> Curve:
        curve = table.curve_of(params)
        return replace(curve, seconds=scale * curve.seconds)

    clock = SimulatedClock()
    with (
        tempfile.TemporaryDirectory(prefix="ser-scale-") as folder,
        closing(SearchFolder(Path(folder) / "run", table, trials + workers)) as home,
    ):
        timed = Timed(home, clock, trials=trials, ray_seconds=ray_ms / 1e3)
        simulate(timed, slowed, workers=workers, clock=clock, chunk_seconds=CHUNK_SECONDS)
    return timed.rows
