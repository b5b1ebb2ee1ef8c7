"""The workers of a run, and the only way to them: all of Ray stands behind this module."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from search.interruption import Interrupted
from search.jobs import Chain
from search.run_folder.limits import Limits
from search.run_folder.paths import CHECKPOINTS_FOLDER
from search.workers._lanes import Lane, Lanes
from search.workers._part import WHOLE
from search.workers._part import Part as Part
from search.workers._remote_calls import on_gpus
from search.workers.computed_features import compute_on_workers, worth_spreading
from search.workers.context import WorkerContext
from search.workers.gpu_shares import measure, share_requests
from search.workers.placement import Demand, Request, gpu_kinds
from search.workers.ray_session import (
    check_fits,
    gpus_available,
    live_nodes,
    ray_session,
    session_address,
    trials_at_once,
)
from search.workers.run_jobs import lane_of, work_through
from search.workers.shared_features import (
    CommonFeatures,
    clear_stores,
    local_room_bytes,
    local_store_bytes,
    share_maker,
    share_stores,
)
from ser_core.architectures import fits_itself
from ser_core.config import ConfigError, FeatureConfig
from ser_core.features.computing import Compute, compute_in_threads
from ser_core.features.store import CorpusFeatures, FeatureStore
from ser_core.splits import Fold
from spaces.knobs import Space, Value
from spaces.several import parts_of

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the workers of a run train, and on what.

    Attributes:
        run_folder: on storage that all nodes reach.
        model: architecture.
        space, fixed: from which its configurations come.
        features: of the corpus, for whatever a trial asks for.
        stores: `settings_key` -> those of the whole corpus that are computed already, to be shared.
        development: the rows that jobs may know of, in ascending order: no test clip.
        folds: "search", "refit" and `search.jobs.inner_fold` of every inner fold, rows of the corpus; a search may have
            several, which are trained side by side.
        about: facts on the corpus for the model folder.
    """

    run_folder: Path
    model: str
    space: Space
    fixed: Mapping[str, Value]
    features: CorpusFeatures
    stores: Mapping[str, FeatureStore]
    development: np.ndarray
    folds: Mapping[str, Sequence[Fold]]
    about: Mapping[str, Any]


class WorkerPool:
    """Workers that do the jobs of one run, as long as there is one of `Workers`.

    Args:
        work: does all jobs of a lane.
    """

    def __init__(self, context: WorkerContext, demand: Demand, log: Log, work: Callable[[Lane], None]) -> None:
        self._context, self._demand, self._log, self._work = context, demand, log, work

    def trials_at_once(self) -> int:
        """How many jobs are at work at once, on the machines as they are now."""
        return trials_at_once(self._demand)

    def run(self, source: Chain) -> None:
        """Run all jobs of a source; returns when it has no more, or as soon as its `tick` says to stop.

        Raises:
            Exception: whatever the source raised, after its jobs were stopped.
        """
        lane = lane_of(source, self._context, self._demand, self._log, lambda: source.stage)
        self._work(lane)
        lane.raise_error()


class Workers(Protocol):
    """Where a run finds its workers."""

    def pool(
        self, training: Training, limits: Limits, *, log: Log, interrupted: Callable[[], bool]
    ) -> AbstractContextManager[WorkerPool]:
        """Ray with the development clips, on this machine or at the address of the limits, while the block lasts.

        Args:
            log: gets a line on what the user should know of the machines.
            interrupted: asked while memory is measured.

        Raises:
            ConfigError: no trial fits, or what one needs of a GPU cannot be measured.
            ConnectionError: no cluster at the address, or Ray cannot be started here.
            Interrupted: while memory was measured.
        """


class OwnWorkers:
    """Ray and workers for one run.

    Args:
        on_death: called from another thread, with what has died, when Ray's head is gone: no call of a pool can be
            relied on to come back then.
    """

    def __init__(self, on_death: Callable[[str], object]) -> None:
        self._on_death = on_death

    @contextmanager
    def pool(
        self, training: Training, limits: Limits, *, log: Log, interrupted: Callable[[], bool]
    ) -> Iterator[WorkerPool]:
        """See `Workers.pool`."""

        def work(lane: Lane) -> None:
            lanes = Lanes()
            lanes.add(lane)
            lanes.close()
            work_through(lanes, log=log)

        common = CommonFeatures(training.run_folder)
        size = local_store_bytes(training.stores, training.development, common)
        with ray_session(limits.address, object_store_bytes=size, on_death=self._on_death):
            yield WorkerPool(*_prepared(training, limits, log, interrupted, common), log, work)


class SharedWorkers:
    """One Ray and one set of workers for several runs at the same time, each of them in a thread of its own.

    The thread that serves starts Ray as soon as the first run asks for workers, and does the jobs of all of them.

    Args:
        folder: of them all, on storage that all nodes reach.
        whole: they test different clips, see `CommonFeatures`.
        kinds: how many architectures they are of, by which Ray's object store is made.
        on_death: see `OwnWorkers`.
        log: gets a line when the cluster grew or shrank.
        idle: around the time that a run waits while its jobs are done.
        address: of the Ray that this driver shares with others; None for that of the runs' limits.
        part: of its places, that are for these runs.
        runs: how many will ask for workers, each once. A Ray of its own ends with the last of them, not with `close`.
    """

    def __init__(
        self,
        *,
        folder: Path,
        runs: int,
        whole: bool,
        kinds: int,
        on_death: Callable[[str], object],
        log: Log,
        idle: Callable[[], AbstractContextManager[None]],
        address: str | None = None,
        part: Callable[[], Part] = lambda: WHOLE,
    ) -> None:
        self._common, self._kinds = CommonFeatures(folder, whole, sharers=part().of), kinds
        self._on_death, self._log, self._idle = on_death, log, idle
        self._address, self._part = address, part
        self._lanes = Lanes()
        self._asked, self._answered = threading.Event(), threading.Event()
        self._first: tuple[str | None, int] | None = None  # address and bytes of the object store
        self._to_come, self._count = runs, threading.Lock()
        self._refusal: Exception | None = None

    @contextmanager
    def pool(
        self, training: Training, limits: Limits, *, log: Log, interrupted: Callable[[], bool]
    ) -> Iterator[WorkerPool]:
        """See `Workers.pool`; of runs with the same limits."""
        if not self._asked.is_set():
            size = local_store_bytes(training.stores, training.development, self._common, kinds=self._kinds)
            self._first = (self._address or limits.address, size)
            self._asked.set()
        self._answered.wait()
        if self._refusal is not None:
            raise self._refusal
        try:
            yield WorkerPool(*_prepared(training, limits, log, interrupted, self._common), log, self._work)
        finally:
            self._left()

    def _left(self) -> None:
        """A run needs workers no more. At an address it may yet, for features of the test clips."""
        with self._count:
            self._to_come -= 1
        if not self._to_come and self._first is not None and self._first[0] is None:
            self.close()

    def serve(self) -> None:
        """Do the jobs of all runs until `close`; a Ray that cannot be started, or fails, is for the runs to raise."""
        self._asked.wait()
        try:
            if self._first is not None:
                address, size = self._first
                with ray_session(address, object_store_bytes=size, on_death=self._on_death):
                    self._answered.set()
                    while self._lanes.wait():
                        work_through(self._lanes, log=self._log, part=self._part)
        except Exception as error:
            self._refusal = error
        finally:
            self._answered.set()
            self._lanes.end(self._refusal)

    def close(self) -> None:
        """No run will ask any more."""
        self._lanes.close()
        self._asked.set()

    def _work(self, lane: Lane) -> None:
        self._lanes.add(lane)
        with self._idle():
            lane.done.wait()


@contextmanager
def ray_for_drivers(on_death: Callable[[str], object]) -> Iterator[str]:
    """Ray on this machine for several drivers while the block lasts: its address.

    Its object store is as large as may be, since no features are known yet.

    Args:
        on_death: see `OwnWorkers`.

    Raises:
        ConnectionError: Ray cannot be started.
    """
    with ray_session(None, object_store_bytes=local_room_bytes(), on_death=on_death):
        yield session_address()


def default_gpus(training: Training, available: bool) -> float:
    """GPUs of a trial where nothing was said: one where there are any, none where no network is trained."""
    names = parts_of(training.model, training.space, training.fixed)
    return float(available and not all(map(fits_itself, names)))


def feature_compute(clips: int, settings: FeatureConfig, limits: Limits, log: Log) -> Compute:
    """Who computes the features of so many clips: a cluster's workers where that pays, else this process."""
    if limits.address is None or not worth_spreading(clips, settings):
        return compute_in_threads
    return partial(compute_on_workers, address=limits.address, on_gpus=bool(limits.gpus_per_trial), log=log)


def clear_leftovers(folder: Path) -> None:
    """Delete what workers left in the folder of a run, or of a batch, all of whose jobs have ended, those of earlier
    sessions too."""
    shutil.rmtree(folder / CHECKPOINTS_FOLDER, ignore_errors=True)
    clear_stores(folder)


def _prepared(
    training: Training, limits: Limits, log: Log, interrupted: Callable[[], bool], common: CommonFeatures
) -> tuple[WorkerContext, Demand]:
    """What the workers need for the jobs of a run, and what each job asks of a node."""
    gpus = limits.gpus_per_trial
    gpus = default_gpus(training, gpus_available()) if gpus is None else gpus
    context = _context(training, limits, device="cuda" if gpus else "cpu", log=log, common=common)
    if isinstance(gpus, str):
        requests = _measured_requests(training, context, limits.cpus_per_trial, log, interrupted)
    else:
        requests = [Request(cpus=limits.cpus_per_trial, gpus=gpus)]
    demand = Demand(requests=requests, concurrency=limits.concurrency, surplus=int(limits.address is not None))
    check_fits(demand)
    return context, demand


def _context(training: Training, limits: Limits, *, device: str, log: Log, common: CommonFeatures) -> WorkerContext:
    rows = training.development

    def within(fold: Fold) -> Fold:
        return Fold(fit=np.searchsorted(rows, fold.fit), evaluate=np.searchsorted(rows, fold.evaluate))

    return WorkerContext(
        run_folder=str(training.run_folder.resolve()),
        model=training.model,
        stores=share_stores(training.stores, rows, common, log),
        features=share_maker(training.features, rows, whole=common.whole),
        folds={name: [within(fold) for fold in folds] for name, folds in training.folds.items()},
        device=device,
        threads=max(1, int(limits.cpus_per_trial)),
        about=training.about,
    )


def _measured_requests(
    training: Training, context: WorkerContext, cpus: float, log: Log, interrupted: Callable[[], bool]
) -> Sequence[Request]:
    """What a trial asks for: a share of each kind of GPU, by what was measured on it."""
    kinds = gpu_kinds(live_nodes())
    if not kinds:
        raise ConfigError(
            "--gpus-per-trial auto measures on the GPUs that the cluster has now, and Ray sees none; give a number, or "
            "start a machine with a GPU first"
        )
    log("Measuring how much of a GPU a trial needs …")
    measured = on_gpus(kinds, cpus, partial(measure, context, training.space, training.fixed), interrupted)
    if interrupted():
        raise Interrupted
    return share_requests(cpus, measured, live_nodes(), log)
