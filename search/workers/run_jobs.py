"""Runs a `JobSource` on Ray Tune.

Ray Tune places jobs on workers, keeps actors alive between them and restarts jobs whose worker died. It decides
nothing: its searcher, scheduler and stopper (`_tune_parts`) pass every question to the source.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ray import tune
from ray.tune import Trainable

from search.jobs import JobSource
from search.workers._dispatch import Dispatcher, Places
from search.workers._scratch import scratch_folder
from search.workers._tune_parts import Asker, Judge, Watch
from search.workers.lost_workers import MOST_LOST_WORKERS, LostWorkers
from search.workers.placement import Demand
from search.workers.ray_session import live_nodes
from search.workers.training_actor import TrainingActor


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
    log: Callable[[str], None] = lambda text: None,
) -> None:
    """Run all jobs of `source`; returns when it has no more, or as soon as `source.tick()` says to stop.

    Args:
        actor: what works on the jobs, made with `context`; gets `{"job": Job, "share": float}`, the share being that of
            a GPU, and reports `{"chunk": Chunk}`.
        log: gets a line when the cluster grew or shrank, and on each job that needs more of a GPU.

    Raises:
        Exception: whatever the source raised, after the workers were stopped.
    """
    dispatcher = Dispatcher(source, Places(demand, live_nodes, log), Path(context.run_folder), log)
    lost = LostWorkers()
    trainable = tune.with_resources(
        tune.with_parameters(actor, context=context), tune.PlacementGroupFactory([demand.requests[0].bundle()])
    )
    with scratch_folder() as scratch:
        tune.run(
            trainable,
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
    dispatcher.raise_error()
