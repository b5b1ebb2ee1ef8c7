"""Calls of functions on the nodes of a cluster, within a Ray session."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.workers.lost_workers import gist
from search.workers.placement import Request
from ser_core.config import ConfigError

T = TypeVar("T")
R = TypeVar("R")

CALLS_PER_CPU = 2
"""Of `in_order`, under way at a time: one at work and one that waits."""


def on_gpus(
    kinds: Iterable[str], cpus: float, function: Callable[[], T], interrupted: Callable[[], bool]
) -> dict[str, T]:
    """Call a function on a whole GPU of every kind, in processes that end with it; {} when interrupted meanwhile.

    Waits for the GPUs as long as it takes: for a cluster that grows, waiting is how it learns that it should.

    Raises:
        ConfigError: it failed on a GPU; with the reason.
    """
    called = {}
    for kind in kinds:
        bundle = Request(cpus=cpus, gpus=1, kind=kind).bundle()
        options = {"num_cpus": bundle.pop("CPU"), "num_gpus": bundle.pop("GPU"), "resources": bundle}
        called[kind] = ray.remote(max_calls=1, max_retries=0, **options)(_call).remote(function)
    waiting = list(called.values())
    while waiting:
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0.5)
        if interrupted():
            for reference in waiting:
                ray.cancel(reference, force=True)
            return {}
    try:
        return {kind: ray.get(reference) for kind, reference in called.items()}
    except RayError as error:
        raise ConfigError(f"--gpus-per-trial auto: measuring failed: {gist(error)} Give a number instead") from error


def in_order(function: Callable[[T], R], items: Iterable[T], *, gpus: float = 0.0) -> Iterator[R]:
    """Call a function of each item on one CPU somewhere in the cluster; the results in the order of the items.

    About two calls for each CPU that the cluster has at the time are under way: enough to keep every node busy, and few
    enough that results which wait for their turn fit the memory. A call whose node is lost is made again.

    Args:
        gpus: that each call needs beside its CPU.

    Raises:
        ConnectionError: a call was lost again and again.
        Exception: what the function raises.
    """
    # By default Ray ends a process after one call on a GPU, and each would load its encoder anew.
    call = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=0, scheduling_strategy="SPREAD")(_call)
    shared = ray.put(function)
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(call.remote(shared, item))
            while len(waiting) > CALLS_PER_CPU * max(1.0, ray.cluster_resources().get("CPU", 0.0)):
                yield _returned(waiting.popleft())
        while waiting:
            yield _returned(waiting.popleft())
    finally:
        for reference in waiting:
            ray.cancel(reference)


def _call(function: Callable[..., T], *arguments: Any) -> T:
    """What is remote: Ray takes functions and classes alone, and a `partial` is neither."""
    return function(*arguments)


def _returned(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from None
    except RayError as error:
        raise ConnectionError(f"the cluster lost a call for good: {gist(error)}") from error


def nodes_without(path: Path) -> list[str]:
    """Names of the nodes with CPUs for trials that do not see a file.

    Where none is up yet, one is waited for, as the work itself would: it speaks for those that come.
    """
    look = ray.remote(num_cpus=0)(_missing_here)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0.0) >= 1]
    if not nodes:
        started = ray.remote(num_cpus=1)(_missing_here)
        return ["the cluster's nodes"] if _returned(started.remote(str(path))) else []
    asked = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(str(path))
        for node in nodes
    ]
    missing = [_returned(reference) for reference in asked]
    return [node["NodeManagerHostname"] for node in itertools.compress(nodes, missing)]


def _missing_here(path: str) -> bool:
    return not Path(path).is_file()
