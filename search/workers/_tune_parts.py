"""The three parts of Ray Tune that decide: searcher, scheduler and stopper, each of which asks the dispatcher.

Stock Tune hides from a searcher why and with which last result a trial ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune import Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.jobs import Wait
from search.workers._dispatch import Dispatcher
from search.workers.lost_workers import LostWorkers, watch_workers


class Asker(Searcher):
    """Asks for jobs, and passes on their end."""

    def __init__(self, dispatcher: Dispatcher, lost: LostWorkers) -> None:
        super().__init__()
        self._dispatcher, self._lost = dispatcher, lost

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        found = self._dispatcher.assign(trial_id)
        if found is None:
            return Searcher.FINISHED  # a word, by which Tune knows that it need not ask again
        if isinstance(found, Wait):
            return None
        return {"job": found.job, "share": found.request.gpus, "context": found.lane.context}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        reason = self._lost.take(trial_id)
        self._dispatcher.end(trial_id, lost=reason if error else "")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the records are the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Judge(FIFOScheduler):
    """Hands over every result, the last one too, and does as the answer says."""

    def __init__(self, dispatcher: Dispatcher, lost: LostWorkers) -> None:
        super().__init__()
        self._dispatcher, self._lost = dispatcher, lost
        self._watched = False

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        controller = tune_controller._tune_controller
        if not self._watched:
            watch_workers(controller, self._lost)
            let_workers_start(controller)
            self._watched = True
        forget_ended(controller)
        assignment = self._dispatcher.assigned(trial.trial_id)
        trial.update_resources(tune.PlacementGroupFactory([assignment.request.bundle()]))
        if assignment.enlarged:
            self._dispatcher.watch_waiting(trial.trial_id, lambda: trial.status == Trial.PENDING)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        goes_on = self._dispatcher.report(trial.trial_id, result["chunk"])
        if self._dispatcher.goes_on_later(trial.trial_id):
            self._dispatcher.watch_saving(trial.trial_id, saving_now(tune_controller._tune_controller, trial))
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP


class Watch(Stopper):
    """Gives the source its moment in every turn of Tune's loop, and ends the loop when it is to stop or has failed."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._dispatcher.stops()


def saving_now(controller: Any, trial: Trial) -> Callable[[], bool]:
    """Have the worker of a trial save it at once; the function says whether it is still at it.

    Tune keeps a worker whose trial is stopped for the next one, and lets it clean up no sooner than that comes.
    """
    saved = controller._actor_manager.schedule_actor_task(
        controller._trial_to_actor[trial], "cleanup", _return_future=True
    )
    return lambda: saved is not None and not ray.wait([saved], timeout=0)[0]


def let_workers_start(controller: Any) -> None:
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


def forget_ended(controller: Any) -> None:
    """Drop ended trials, which Tune keeps: it walks over all of them in every turn, and writes them out at the end."""
    controller._trials[:] = [trial for trial in controller._trials if not trial.is_finished()]
    controller._trials_to_cache.intersection_update(controller._trials)
    controller._stopped_trials.clear()
