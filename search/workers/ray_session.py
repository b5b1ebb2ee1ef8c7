"""Ray itself: a session on this machine or on a cluster, what fits there, and calls on its nodes."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.workers.lost_workers import gist
from search.workers.placement import Demand, Node, Request
from ser_core.config import ConfigError

T = TypeVar("T")
R = TypeVar("R")

START_TRIES = 3
"""Ray gives up a start after 30 s, which a busy machine may need."""

CALLS_PER_CPU = 2
"""Of `in_order`, under way at a time: one at work and one that waits."""

MOST_PENDING = 256
"""Jobs that wait for a node at the same time: what a cluster that scales itself may be asked for in one go."""


def live_nodes() -> list[Node]:
    """The resources of every node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def check_fits(demand: Demand) -> None:
    """Refuse jobs that the cluster has no place for, unless it may grow and is told to which size.

    Raises:
        ConfigError: not even one job fits.
    """
    nodes = live_nodes()
    if demand.fits(nodes) or (demand.surplus and demand.concurrency):
        return
    cpus, gpus = (max((node.get(name, 0.0) for node in nodes), default=0.0) for name in ("CPU", "GPU"))
    asked = " or ".join(f"{request.cpus:g} CPUs and {request.gpus:g} GPUs" for request in demand.requests)
    raise ConfigError(
        f"no trial fits: one asks for {asked}, and no node that Ray sees has more than {cpus:g} and {gpus:g}; lower "
        f"--cpus-per-trial or --gpus-per-trial, or give an --address with more. For a cluster that starts its machines "
        f"on demand, --concurrency N asks it for N trials at once"
    )


def trials_at_once(demand: Demand) -> int:
    """How many jobs are at work at once, on the cluster as it is now."""
    fits = max(1, demand.fits(live_nodes()))
    return min(fits, demand.concurrency or fits)


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
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(MOST_PENDING)
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
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
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


def gpus_available() -> bool:
    """True when the cluster has a GPU that Ray knows of."""
    return ray.cluster_resources().get("GPU", 0.0) > 0


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
    # Unless told otherwise, Ray ends a process after one call on a GPU, and each would load its encoder anew.
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
