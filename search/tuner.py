"""Runs a `JobSource` on Ray Tune.

Ray Tune places jobs on workers, keeps actors alive between them and restarts jobs whose worker died. It decides
nothing: searcher, scheduler and stopper pass every question to the source, since stock Tune hides from a searcher why
and with which last result a trial ended.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.jobs import Chunk, JobSource, Wait
from search.losses import MAX_WORKER_LOSSES, LossLog, watch_workers
from search.trainable import TrainingActor, WorkerContext
from ser_core.config import ConfigError

START_TRIES = 3
"""Ray gives up a start after 30 s, which a busy machine may need."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one job gets, and how many run at once."""

    cpus: float
    gpus: float
    concurrency: int


def available_concurrency(cpus: float, gpus: float) -> int:
    """How many jobs fit on the cluster now.

    Raises:
        ConfigError: not even one does.
    """
    total = ray.cluster_resources()
    fits = [total.get("CPU", 0.0) / cpus] if cpus else []
    fits += [total.get("GPU", 0.0) / gpus] if gpus else []
    count = int(min(fits, default=1))
    if count < 1:
        raise ConfigError(
            f"no trial fits: one asks for {cpus:g} CPUs and {gpus:g} GPUs, and Ray sees {total.get('CPU', 0):g} and "
            f"{total.get('GPU', 0):g}; lower --cpus-per-trial or --gpus-per-trial, or give an --address with more"
        )
    return count


@contextmanager
def ray_session(address: str | None, *, object_store_bytes: int) -> Iterator[None]:
    """Ray, started here with an object store of that size, or found at `address`; its chatter off.

    Raises:
        ConnectionError: no cluster at `address`, or Ray cannot be started here.
    """
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints even at verbose=0
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # the command line has its own
    # Our records hold all that Tune's own snapshot would, which grows with every trial.
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(10**9)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    warnings.filterwarnings("ignore", module=r"ray\..*")
    for name in ("ray.tune", "ray._private", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    local: dict[str, Any] = {}
    if address is None:
        local = {"object_store_memory": object_store_bytes, "include_dashboard": False}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    for left in reversed(range(START_TRIES)):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
            break
        except ConnectionError:
            raise
        except Exception as error:  # Ray has no class for a start that takes more than its 30 s
            ray.shutdown()
            if not left:
                raise ConnectionError(f"Ray could not be started in {START_TRIES} tries: {error}") from error
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end the process with everything half done
    try:
        yield
    finally:
        ray.shutdown()


def share(value: Any) -> ray.ObjectRef:
    """Put a value into the object store, once per node and read there without a copy."""
    return ray.put(value)


def gpus_available() -> bool:
    """True when the cluster has a GPU that Ray knows of."""
    return ray.cluster_resources().get("GPU", 0.0) > 0


def run_jobs(source: JobSource, context: WorkerContext, resources: Resources) -> None:
    """Run all jobs of `source`; returns when it has no more, or as soon as `source.tick()` says to stop.

    Raises:
        Exception: whatever the source raised, after the workers were stopped.
    """
    bridge = _Bridge(source, Path(context.run_folder) / "checkpoints")
    trainable = tune.with_resources(
        tune.with_parameters(TrainingActor, context=context), {"cpu": resources.cpus, "gpu": resources.gpus}
    )
    with tempfile.TemporaryDirectory(prefix="ser-search-") as scratch:
        tune.run(
            trainable,
            name="jobs",
            search_alg=_Asker(bridge),
            scheduler=_Judge(bridge),
            stop=_Watch(bridge),
            num_samples=-1,
            max_concurrent_trials=resources.concurrency,
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


class _Bridge:
    """The source, with whatever it raises kept until the workers are stopped."""

    def __init__(self, source: JobSource, checkpoints: Path) -> None:
        self.source, self.checkpoints = source, checkpoints
        self.error: BaseException | None = None
        self.jobs: dict[str, str] = {}  # Ray's trial id -> job name
        self.losses = LossLog()
        self.ended: list[str] = []

    def end(self, name: str) -> None:
        """A job has ended: delete its checkpoint, unless the source may not have come to record the end."""
        if self.error is None:
            self.ended.append(name)
            self.clear(name)

    def clear(self, name: str) -> None:
        """Delete the checkpoint of a job that has ended."""
        shutil.rmtree(self.checkpoints / name, ignore_errors=True)

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
        job: Any = None
        if self._bridge.error is None:
            with self._bridge.guard():
                job = self._bridge.source.next_job()
        if job is None:
            return Searcher.FINISHED
        if isinstance(job, Wait):
            return None
        self._bridge.jobs[trial_id] = job.name
        return {"job": job}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        name = self._bridge.jobs.pop(trial_id)
        if error:
            with self._bridge.guard():
                self._bridge.source.lost(name, self._bridge.losses.reason(trial_id))
        self._bridge.end(name)

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
            self._watched = True
        _forget_ended(controller)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        chunk: Chunk = result["chunk"]
        goes_on = False
        with self._bridge.guard():
            goes_on = self._bridge.source.report(chunk)
            if chunk.disk_error is not None:
                raise chunk.disk_error
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


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
