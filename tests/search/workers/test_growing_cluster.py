"""A real Ray cluster whose nodes come and go, and GPUs that are shared; the workers only sleep."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster
from ray.tune import Trainable

from search.jobs import Chunk, Job, Outcome, Wait
from search.workers._remote_calls import on_gpus
from search.workers.placement import KIND_PREFIX, Demand, Request
from search.workers.ray_session import ray_session, trials_at_once
from search.workers.run_jobs import run_jobs
from ser_core.config import ConfigError
from ser_core.training.report import EpochReport

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find tests by their names
STEP_SECONDS = 0.2
PATIENCE_SECONDS = 150
OUT_OF_MEMORY = "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB."


@dataclass(frozen=True)
class Folder:
    run_folder: str


class Sleeper(Trainable):
    """Sleeps for each epoch of its job; a job needs the share of a GPU that its settings say."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._job, self._share, self._epoch = new_config["job"], new_config["share"], 0
        return True

    def step(self) -> dict[str, Any]:
        time.sleep(STEP_SECONDS)
        self._epoch += 1
        worker = f"{ray.get_runtime_context().get_node_id()}:{os.getpid()}:{self._share:g}"
        if self._share < self._job.params.get("needs", 0.0):
            return {
                "chunk": Chunk(
                    job=self._job.name, reports=[], outcome=Outcome.FAILED, worker=worker, reason=OUT_OF_MEMORY
                )
            }
        report = EpochReport(
            epoch=self._epoch,
            train_loss=0.0,
            val_loss=0.0,
            scores={"uar": 0.5, "war": 0.5},
            learning_rate=0.1,
            seconds=0.2,
        )
        outcome = Outcome.DONE if self._epoch == self._job.last_epoch else Outcome.GOING
        return {"chunk": Chunk(job=self._job.name, reports=[report], outcome=outcome, worker=worker)}


class Endless:
    """Jobs without end, until `enough` says so of what was reported."""

    def __init__(self, enough: Callable[[Endless], bool], first: list[Job] | None = None) -> None:
        self.enough, self.first = enough, first or []
        self.limit = time.monotonic() + PATIENCE_SECONDS
        self.given: list[str] = []
        self.chunks: list[Chunk] = []
        self.at_work: dict[str, int] = {}  # epochs of each job that has not ended
        self.losses: dict[str, str] = {}

    def next_job(self) -> Job | Wait | None:
        new = self.first.pop(0) if self.first else job(f"job-{len(self.given)}")
        self.given.append(new.name)
        self.at_work[new.name] = 0
        return new

    def report(self, chunk: Chunk) -> bool:
        self.chunks.append(chunk)
        goes_on = chunk.outcome is Outcome.GOING
        if not goes_on:
            del self.at_work[chunk.job]
        return goes_on

    def lost(self, job: str, reason: str) -> None:
        self.losses[job] = reason

    def tick(self) -> bool:
        assert time.monotonic() < self.limit, f"gave up with {self.at_work} at work and {self.given} given"
        return self.enough(self)

    def nodes(self, last: int) -> set[str]:
        """Nodes that sent the last chunks."""
        return {chunk.worker.split(":")[0] for chunk in self.chunks[-last:]}


def job(name: str, last_epoch: int = 5, **params: float) -> Job:
    return Job(name=name, params=params, folds="search", last_epoch=last_epoch)


@contextmanager
def cluster_of(**head: Any) -> Iterator[Cluster]:
    cluster = Cluster(
        initialize_head=True, head_node_args={"object_store_memory": 80 * 2**20, "include_dashboard": False, **head}
    )
    try:
        with ray_session(cluster.address, object_store_bytes=0):
            yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow  # a cluster of three nodes, half a minute
def test_trials_at_once_follow_the_cluster_as_it_grows_and_shrinks(tmp_path: Path) -> None:
    log: list[str] = []
    most = {"alone": 0, "grown": 0}
    stage, given_before, added = "alone", 0, list[Any]()

    def enough(source: Endless) -> bool:
        nonlocal stage, given_before
        if stage in most:
            most[stage] = max(most[stage], len(source.at_work))
        if stage == "alone" and len(source.chunks) >= 3:
            added.append(cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20))
            stage = "grown"
        elif stage == "grown" and len(source.at_work) == 3 and len(source.nodes(6)) == 2:
            cluster.remove_node(added.pop(), allow_graceful=False)
            stage = "shrinking"
        elif stage == "shrinking" and len(log) == 2:
            stage, given_before = "shrunk", len(source.given)
        # The two jobs of the lost node end before any new one begins.
        return stage == "shrunk" and len(source.given) > given_before + 1

    with cluster_of(num_cpus=1) as cluster:
        demand = Demand(requests=[Request(cpus=1, gpus=0)])
        source = Endless(enough)
        run_jobs(source, Folder(str(tmp_path)), demand, actor=Sleeper, log=log.append)
        assert trials_at_once(demand) == 1
    assert most == {"alone": 1, "grown": 3}
    assert list(source.at_work) == [source.given[-1]]
    assert source.losses == {}
    assert log == [
        "The cluster changed: 3 trials fit at once (1 before)",
        "The cluster changed: 1 trials fit at once (3 before)",
    ]


def kind_here(prefix: str) -> str:
    """The kind of GPU that this process was given."""
    return next(name for name in ray.get_runtime_context().get_assigned_resources() if name.startswith(prefix))


def fail() -> None:
    raise ValueError("no such thing")


@pytest.mark.slow
def test_shared_gpus_of_two_kinds_and_a_job_that_needs_more(tmp_path: Path) -> None:
    """The GPUs are logical: Ray counts them, nobody uses them."""
    log: list[str] = []
    big, huge = job("big", needs=0.9), job("huge", needs=1.5)

    def enough(source: Endless) -> bool:
        ended = {chunk.job for chunk in source.chunks if chunk.outcome is not Outcome.GOING}
        return {"big", "huge"} <= ended and len(ended) >= 12

    with cluster_of(num_cpus=8, num_gpus=1, resources={KIND_PREFIX + "A": 1}) as cluster:
        cluster.add_node(num_cpus=8, num_gpus=1, resources={KIND_PREFIX + "B": 1}, object_store_memory=80 * 2**20)
        cluster.wait_for_nodes()
        requests = [Request(cpus=1, gpus=0.25, kind="A"), Request(cpus=1, gpus=0.5, kind="B")]
        source = Endless(enough, first=[big, huge])
        here = partial(kind_here, KIND_PREFIX)
        called = on_gpus({"A", "B"}, 1, here, lambda: False)
        with pytest.raises(ConfigError, match=r"measuring failed: .*no such thing.* Give a number instead"):
            on_gpus({"A"}, 1, fail, lambda: False)
        assert on_gpus({"C"}, 1, here, lambda: True) == {}  # nobody waits for a GPU that nobody wants any more
        run_jobs(source, Folder(str(tmp_path)), Demand(requests=requests), actor=Sleeper, log=log.append)
    assert called == {"A": KIND_PREFIX + "A", "B": KIND_PREFIX + "B"}
    share_of: dict[str, set[str]] = {}
    for chunk in source.chunks:
        node, _, share = chunk.worker.split(":")
        share_of.setdefault(node, set()).add(share)
    assert len(share_of) == 2
    assert {frozenset(shares - {"1"}) for shares in share_of.values()} == {frozenset({"0.25"}), frozenset({"0.5"})}
    last = {chunk.job: chunk for chunk in source.chunks}
    assert last["big"].outcome is Outcome.DONE
    assert last["big"].worker.endswith(":1")
    assert last["huge"].outcome is Outcome.FAILED
    assert last["huge"].reason == OUT_OF_MEMORY
    assert [chunk.outcome for chunk in source.chunks if chunk.job == "huge"] == [
        Outcome.FAILED
    ]  # reported once, at the end
    assert all("ran out of memory with 0." in text for text in log)
    assert 2 <= len(log) <= 4  # from a half, or from a quarter by way of a half
    assert source.losses == {}
