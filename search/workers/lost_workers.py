"""Workers that die with a job: how often a job goes on elsewhere, and why it failed in the end."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial

MOST_LOST_WORKERS = 3
"""How often a job may lose its worker and go on elsewhere before it has failed."""

MOST_MEMORY_KILLS = 1
"""How often Ray may end a job's worker because the node runs out of memory. Ray may have picked an innocent one, so the
job is tried once more; then it has failed, since every try also endangers its neighbours."""


@dataclass
class _Lost:
    """Workers that one job lost: how many, how many for lack of memory, and what Ray said of the last one."""

    count: int = 0
    memory: int = 0
    last: str = ""

    def __str__(self) -> str:
        if self.memory > MOST_MEMORY_KILLS:
            return f"out of memory: Ray ended {self.memory} workers with this trial. {self.last}"
        return f"worker lost: {self.count} workers died with this trial. {self.last}"


class LostWorkers:
    """The workers that every job at work has lost, by Ray's id of its trial."""

    def __init__(self) -> None:
        self._lost: defaultdict[str, _Lost] = defaultdict(_Lost)

    def add(self, trial_id: str, error: Exception) -> bool:
        """Count a lost worker; False when the job must not be tried again, however few it lost."""
        lost = self._lost[trial_id]
        lost.count += 1
        lost.memory += isinstance(error, OutOfMemoryError)
        lost.last = gist(error)
        return lost.memory <= MOST_MEMORY_KILLS

    def take(self, trial_id: str) -> str:
        """A job has ended -> why it failed, if it did because it lost its workers."""
        return str(self._lost.pop(trial_id, _Lost()))


def watch_workers(controller: Any, log: LostWorkers) -> None:
    """Make Ray Tune survive the loss of any worker, and log what Ray reports of it.

    Two faults of Ray Tune 2.60 are mended here. Its actor manager knows a dead worker by `RayActorError` alone and ends
    the whole run on anything else, such as the `OutOfMemoryError` for a worker that Ray's memory monitor killed. And
    the death of a worker that is being made ready for its next trial counts twice there: once as that of a worker, once
    as that of its task, which ends the trial.

    Args:
        controller: the `TuneController` of a run that begins.
    """
    manager = controller._actor_manager
    task_failed, start_failed = manager._actor_task_failed, manager._actor_start_failed

    def on_task(tracked_actor_task: Any, exception: Exception) -> None:
        task_failed(tracked_actor_task, _noted(controller, log, tracked_actor_task._tracked_actor, exception))

    def on_start(tracked_actor: Any, exception: Exception) -> None:
        start_failed(tracked_actor, _noted(controller, log, tracked_actor, exception))

    manager._actor_task_failed, manager._actor_start_failed = on_task, on_start


def _noted(controller: Any, log: LostWorkers, actor: Any, error: Exception) -> Exception:
    """Log a failed worker, or a failed task on it -> the error in the form that Tune understands."""
    trial = controller._actor_to_trial.get(actor)
    if trial is not None:
        if trial in controller._resetting_trials:  # from here on it is like any trial that loses its worker at work
            controller._resetting_trials.remove(trial)
            controller._unstage_trial_with_resources(trial)
            controller._set_trial_status(trial, Trial.RUNNING)
        if not log.add(trial.trial_id, error):
            trial.max_failures = 0
    if isinstance(error, RayError) and not isinstance(error, RayActorError | RayTaskError):
        return RayActorError(error_msg=str(error))
    return error


def gist(error: Exception) -> str:
    """The line of a Ray error that says what happened: the last of a traceback, else the first that is no heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    if isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed):
        lines.reverse()
    lines = [line for line in lines if line != ActorDiedError.BASE_ERROR_MSG] or [type(error).__name__]
    return shorten(lines[0], 300)
