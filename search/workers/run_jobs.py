"""Runs jobs on Ray Tune.

Ray Tune places jobs on workers, keeps actors alive between them and restarts jobs whose worker died. It decides
nothing: its searcher, scheduler and stopper (`_tune_parts`) pass every question to the source of the jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ray import tune
from ray.tune import Trainable

from search.jobs import JobSource
from search.workers._dispatch import Dispatcher, Places
from search.workers._handed import Handed
from search.workers._lanes import Lane, Lanes
from search.workers._part import WHOLE, Part, Taken
from search.workers._scratch import scratch_folder
from search.workers._tune_parts import Asker, Judge, Watch
from search.workers.lost_workers import MOST_LOST_WORKERS, LostWorkers
from search.workers.placement import Demand
from search.workers.ray_session import free_resources, live_nodes
from search.workers.training_actor import TrainingActor


class Context(Protocol):
    """What every worker of a run shares; the rest of it is the workers' business."""

    @property
    def run_folder(self) -> str:
        """On storage that all nodes reach."""


def lane_of(
    source: JobSource,
    context: Context,
    demand: Demand,
    log: Callable[[str], None],
    stage: Callable[[], int] = lambda: 0,
) -> Lane:
    """The jobs of a run, for `work_through`; see `Lane`."""
    return Lane(
        source=source,
        demand=demand,
        run_folder=Path(context.run_folder),
        context=Handed(context),
        log=log,
        stage=stage,
    )


def run_jobs(
    source: JobSource,
    context: Context,
    demand: Demand,
    *,
    actor: type[Trainable] = TrainingActor,
    log: Callable[[str], None] = lambda text: None,
) -> None:
    """Run all jobs of `source`; returns when it has no more, or as soon as `source.tick()` says to stop.

    Args:
        actor: see `work_through`.
        log: gets a line when the cluster grew or shrank, and on each job that needs more of a GPU.

    Raises:
        Exception: whatever the source raised, after the workers were stopped.
    """
    lanes, lane = Lanes(), lane_of(source, context, demand, log)
    lanes.add(lane)
    lanes.close()
    work_through(lanes, actor=actor, log=log)
    lane.raise_error()


def work_through(
    lanes: Lanes,
    *,
    actor: type[Trainable] = TrainingActor,
    log: Callable[[str], None] = lambda text: None,
    part: Callable[[], Part] = lambda: WHOLE,
) -> None:
    """Run the jobs of all lanes, until there are none and none will come, or all that are there are to stop.

    Args:
        actor: what works on the jobs; gets `{"job": Job, "share": float, "context": Handed}`, the share being that of a
            GPU and the context that of the job's run, and reports `{"chunk": Chunk}`.
        log: gets a line when the cluster grew or shrank.
        part: that of the cluster which is for these jobs, beside those of other drivers.
    """
    dispatcher = Dispatcher(lanes, Places(live_nodes, log, Taken(part, free_resources)))
    lost = LostWorkers()
    with scratch_folder() as scratch:
        tune.run(
            actor,
            name="jobs",
            search_alg=Asker(dispatcher, lost),
            scheduler=Judge(dispatcher, lost),
            stop=Watch(dispatcher),
            num_samples=-1,
            reuse_actors=True,
            max_failures=MOST_LOST_WORKERS,
            storage_path=str(scratch),
            raise_on_failed_trial=False,
            verbose=0,
        )
    lanes.end_stopped()
