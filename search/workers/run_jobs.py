"""Runs a `JobSource` on Ray Tune.

Ray Tune places jobs on workers, keeps actors alive between them and restarts jobs whose worker died. It decides
nothing: searcher, scheduler and stopper pass every question to the source, since stock Tune hides from a searcher why
and with which last result a trial ended.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ray import tune
from ray.tune import Stopper, Trainable
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.jobs import Chunk, Job, JobSource, Outcome
from search.run_folder.paths import checkpoint_file
from search.run_folder.records import NO_MEMORY, failure_kind
from search.workers.lost_workers import MAX_WORKER_LOSSES, LossLog, watch_workers
from search.workers.placement import Demand, Request
from search.workers.ray_session import live_nodes
from search.workers.training_actor import TrainingActor

NODES_SECONDS = 1.0
"""How often Ray is asked which nodes there are."""


class Context(Protocol):
    """What every worker of a run shares; the rest of it is the workers' business."""

    @property
    def run_folder(self) -> str:
        """On storage that all nodes reach."""


def run_jobs(
    source: JobSource,
    context: Context,
    demand: Demand,
    *,
    actor: type[Trainable] = TrainingActor,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Run all jobs of `source`; returns when it has no more, or as soon as `source.tick()` says to stop.

    Args:
        actor: what works on the jobs, made with `context`; gets `{"job": Job, "share": float}`, the share being that of
            a GPU, and reports `{"chunk": Chunk}`.
        tell: hears of a cluster that grew or shrank, and of jobs that need more of a GPU.

    Raises:
        Exception: whatever the source raised, after the workers were stopped.
    """
    bridge = _Bridge(source, Path(context.run_folder), _Places(demand, tell))
    trainable = tune.with_resources(
        tune.with_parameters(actor, context=context), tune.PlacementGroupFactory([demand.requests[0].bundle()])
    )
    with tempfile.TemporaryDirectory(prefix="ser-search-") as scratch:
        tune.run(
            trainable,
            name="jobs",
            search_alg=_Asker(bridge),
            scheduler=_Judge(bridge),
            stop=_Watch(bridge),
            num_samples=-1,
            reuse_actors=True,
            max_failures=MAX_WORKER_LOSSES,
            storage_path=scratch,
            raise_on_failed_trial=False,
            verbose=0,
        )
    for name in bridge.ended:  # a worker that is sent home saves what it has, also of a trial that ASHA ended
        bridge.clear(name)
    if bridge.error is not None:
        raise bridge.error


class _Places:
    """Says what the next job may ask for, on the cluster as it is now."""

    def __init__(self, demand: Demand, tell: Callable[[str], None]) -> None:
        self.demand, self.tell = demand, tell
        self._nodes = live_nodes()
        self._fits = demand.fits(self._nodes)
        self._asked_at = time.monotonic()

    def next(self, at_work: Counter[Request]) -> Request | None:
        now = time.monotonic()
        if now - self._asked_at >= NODES_SECONDS:
            self._nodes, self._asked_at = live_nodes(), now
            before, self._fits = self._fits, self.demand.fits(self._nodes)
            if self._fits != before:
                self.tell(f"The cluster changed: {self._fits} trials fit at once ({before} before)")
        return self.demand.next(self._nodes, at_work)


class _Bridge:
    """The source, with whatever it raises kept until the workers are stopped."""

    def __init__(self, source: JobSource, run_folder: Path, places: _Places) -> None:
        self.source, self.run_folder, self.places = source, run_folder, places
        self.error: BaseException | None = None
        self.jobs: dict[str, tuple[Job, Request]] = {}  # by Ray's trial id, at work or waiting for a worker
        self.again: deque[tuple[Job, Request]] = deque()  # to be done anew, with a larger share of a GPU
        self.enlarged: dict[str, Trial] = {}  # those of them that are at work or waiting for a worker
        self.losses = LossLog()
        self.ended: list[str] = []

    def enlarge(self, trial_id: str, chunk: Chunk) -> bool:
        """True when a job ran out of memory with a share of a GPU, and is to be done anew with a larger one.

        The source does not hear of the attempt: what was not reported is trained again.
        """
        job, request = self.jobs[trial_id]
        larger = request.larger()
        if chunk.outcome is not Outcome.FAILED or failure_kind(chunk.reason) != NO_MEMORY or larger is None:
            return False
        self.places.tell(
            f"{job.name} ran out of memory with {request.gpus:g} of a GPU; it is done anew with {larger.gpus:g}"
        )
        self.again.append((job, larger))
        return True

    def starved(self) -> bool:
        """True while a job waits for its larger share: it would never get it if smaller ones took every place."""
        return any(trial.status == Trial.PENDING for trial in self.enlarged.values())

    def end(self, name: str) -> None:
        """A job has ended: delete its checkpoint, unless the source may not have come to record the end."""
        if self.error is None:
            self.ended.append(name)
            self.clear(name)

    def clear(self, name: str) -> None:
        """Delete the checkpoint of a job that has ended."""
        shutil.rmtree(checkpoint_file(self.run_folder, name).parent, ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its parts into a snapshot of its own, from which nothing is ever restored here."""
        return {}

    @contextmanager
    def guard(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = self.error or error


class _Asker(Searcher):
    """Asks the source for jobs."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        found: tuple[Job, Request] | str | None = Searcher.FINISHED
        if self._bridge.error is None:
            with self._bridge.guard():
                found = self._next()
        if found is None or isinstance(found, str):
            return found
        self._bridge.jobs[trial_id] = found
        job, request = found
        return {"job": job, "share": request.gpus}

    def _next(self) -> tuple[Job, Request] | str | None:
        bridge = self._bridge
        if bridge.starved():
            return None
        if bridge.again:
            return bridge.again.popleft()
        request = bridge.places.next(Counter(request for _, request in bridge.jobs.values()))
        if request is None:
            return None
        job = bridge.source.next_job()
        if isinstance(job, Job):
            return job, request
        # Tune never asks again after that, and a job at work may have to be done anew.
        return Searcher.FINISHED if job is None and not bridge.jobs else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job, _ = self._bridge.jobs.pop(trial_id)
        self._bridge.enlarged.pop(trial_id, None)
        if any(job is waiting for waiting, _ in self._bridge.again):
            return
        if error:
            with self._bridge.guard():
                self._bridge.source.lost(job.name, self._bridge.losses.reason(trial_id))
        self._bridge.end(job.name)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _Judge(FIFOScheduler):
    """Hands every result, the last one too, to the source and does as it says."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._watched = False

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        controller = tune_controller._tune_controller
        if not self._watched:
            watch_workers(controller, self._bridge.losses)
            _let_workers_start(controller)
            self._watched = True
        _forget_ended(controller)
        _, request = self._bridge.jobs[trial.trial_id]
        trial.update_resources(tune.PlacementGroupFactory([request.bundle()]))
        if request not in self._bridge.places.demand.requests:
            self._bridge.enlarged[trial.trial_id] = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        chunk: Chunk = result["chunk"]
        goes_on = False
        if self._bridge.enlarge(trial.trial_id, chunk):
            return TrialScheduler.STOP
        with self._bridge.guard():
            goes_on = self._bridge.source.report(chunk)
            if chunk.disk_error is not None:
                raise chunk.disk_error
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


def _let_workers_start(controller: Any) -> None:
    """Make Tune leave a job to the worker that is starting for it.

    Tune hands it to any worker that has just become free, and ends the one that starts: where jobs are shorter than a
    start, new workers, such as those of a node that joined, never come to work.
    """
    reuse = controller._maybe_reuse_cached_actor

    def reuse_unless_starting(trial: Trial) -> bool:
        actor = controller._trial_to_actor.get(trial)
        if actor is not None and trial.status == Trial.PENDING and controller._actor_manager.is_actor_started(actor):
            return trial in controller._resetting_trials
        reused: bool = reuse(trial)
        return reused

    controller._maybe_reuse_cached_actor = reuse_unless_starting


def _forget_ended(controller: Any) -> None:
    """Drop ended trials, which Tune keeps: it walks over all of them in every turn, and writes them out at the end."""
    controller._trials[:] = [trial for trial in controller._trials if not trial.is_finished()]
    controller._trials_to_cache.intersection_update(controller._trials)
    controller._stopped_trials.clear()


class _Watch(Stopper):
    """Gives the source its moment in every turn of Tune's loop, and ends the loop when it says so or has failed."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        stop = True
        with self._bridge.guard():
            stop = self._bridge.source.tick()
        return stop or self._bridge.error is not None
