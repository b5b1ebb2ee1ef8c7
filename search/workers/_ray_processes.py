"""The processes that Ray starts for a driver: kept from its signals, and watched."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services

WATCH_SECONDS = 1.0
MOST_REFUSALS = 3
"""Refused connections in a row, a second apart, after which nothing listens at the head any more."""


@contextmanager
def out_of_reach_of_signals() -> Iterator[None]:
    """What Ray starts within the block gets a session of its own, and the driver keeps its handler of SIGTERM.

    A terminal, `timeout` and Slurm signal the driver's whole process group. Ray's own processes would end at once, and
    the workers with them, before they have saved. Ray's own handlers would end the driver with everything half done:
    one in Python, and for as long as Ray connects one in C++, which sets an alarm that aborts the process 3 s later.

    When the block fails, what it started is ended: of a start that took too long, Ray itself no longer knows anything.
    """
    popen, set_handler = services.ConsolePopen, ray._private.utils.set_sigterm_handler
    without_cpp = ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER
    started = []

    def start(*arguments: Any, **named: Any) -> Any:
        started.append(popen(*arguments, start_new_session=True, **named))
        return started[-1]

    services.ConsolePopen = start
    ray._private.utils.set_sigterm_handler = lambda handler: None
    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True  # read in this process alone, so workers have theirs
    try:
        yield
    except BaseException:
        for process in started:
            process.kill()
        raise
    finally:
        services.ConsolePopen, ray._private.utils.set_sigterm_handler = popen, set_handler
        ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = without_cpp


@contextmanager
def watched(on_death: Callable[[str], object]) -> Iterator[None]:
    """Call `on_death` with what has died, from a thread of its own, when the head of Ray's session dies.

    Calls of Ray wait a minute for it then, and some for ever.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(_processes(), _head(), over, on_death), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(
    processes: dict[str, Any], head: tuple[str, int], over: threading.Event, on_death: Callable[[str], object]
) -> None:
    refusals = 0
    while not over.wait(WATCH_SECONDS):
        dead = [name for name, process in processes.items() if process.poll() is not None]
        refusals = refusals + 1 if _refuses(head) else 0
        if dead or refusals >= MOST_REFUSALS:
            on_death(f"{dead[0]} has died" if dead else f"nothing answers at {head[0]}:{head[1]} any more")
            return


def _processes() -> dict[str, Any]:
    """Of the session, those that were started here and without which there is no session."""
    kinds = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)
    started = ray._private.worker._global_node.all_processes
    return {kind: started[kind][0].process for kind in kinds if kind in started}


def _head() -> tuple[str, int]:
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    return host.strip("[]"), int(port)


def _refuses(address: tuple[str, int]) -> bool:
    """True when the machine is there and nothing listens; a network that is away for a while is Ray's business."""
    try:
        socket.create_connection(address, timeout=WATCH_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False
