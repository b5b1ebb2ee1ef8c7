"""Ray itself: a session on this machine or on a cluster, and what fits there."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray

from search.workers._ray_processes import out_of_reach_of_signals, watched
from search.workers._scratch import own, scratch_folder
from search.workers.placement import Demand, Node
from ser_core.config import ConfigError

START_TRIES = 3
"""Ray gives up a start after 30 s, which a busy machine may need."""

MOST_PENDING = 256
"""Jobs that wait for a node at the same time: what a cluster that scales itself may be asked for in one go."""


def live_nodes() -> list[Node]:
    """The resources of every node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def free_resources() -> dict[str, float]:
    """What no driver has taken, over all nodes."""
    free: dict[str, float] = ray.available_resources()
    return free


def session_address() -> str:
    """Where other drivers find the present session."""
    address: str = ray.get_runtime_context().gcs_address
    return address


def check_fits(demand: Demand) -> None:
    """Refuse jobs that the cluster has no place for, unless it may grow and knows to which size.

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
def ray_session(
    address: str | None, *, object_store_bytes: int, on_death: Callable[[str], object] | None = None
) -> Iterator[None]:
    """Ray, started here with an object store of that size, or found at `address`; its chatter off.

    Within another session it is that one.

    Args:
        on_death: called from another thread, with what has died, when the head of Ray is gone and no call of Ray can be
            relied on to come back.

    Raises:
        ConnectionError: no cluster at `address`, or Ray cannot be started here.
    """
    if ray.is_initialized():
        yield
        return
    _set_up()
    with scratch_folder() as scratch:
        _start(address, object_store_bytes)
        if address is None:
            own(scratch, Path(ray._private.worker._global_node.get_session_dir_path()))
        try:
            with watched(on_death) if on_death is not None else nullcontext():
                yield
        finally:
            ray.shutdown()


def _set_up() -> None:
    """Settings that Ray reads from the environment, before it is started."""
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


def _start(address: str | None, object_store_bytes: int) -> None:
    local: dict[str, Any] = {}
    if address is None:
        local = {"object_store_memory": object_store_bytes, "include_dashboard": False}
    for left in reversed(range(START_TRIES)):
        try:
            with out_of_reach_of_signals():
                ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
            break
        except ConnectionError:
            raise
        except Exception as error:  # Ray has no class for a start that takes more than its 30 s
            ray.shutdown()
            if not left:
                raise ConnectionError(f"Ray could not be started in {START_TRIES} tries: {error}") from error


def gpus_available() -> bool:
    """True when the cluster has a GPU that Ray knows of."""
    return ray.cluster_resources().get("GPU", 0.0) > 0
