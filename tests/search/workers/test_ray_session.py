"""A process that connects to Ray, and what reaches it meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ray._private import services
from ray.cluster_utils import Cluster

from search.workers._ray_processes import out_of_reach_of_signals
from tests.search.signals import heed_signals

LONGEST = 300.0
"""Seconds to wait for anything, on a busy machine."""

PROGRAM = """
import os, signal, sys

import ray._raylet

from search.interruption import interrupts
from search.workers.ray_session import ray_session

connect = ray._raylet.CoreWorker

def signalled(*arguments, **named):
    # Ray's own handlers are set by now, and ray.init is not over.
    worker = connect(*arguments, **named)
    os.kill(os.getpid(), signal.Signals[sys.argv[2]])
    return worker

ray._raylet.CoreWorker = signalled
with interrupts("last words") as asked, ray_session(sys.argv[1], object_store_bytes=0):
    print("asked" if asked() else "not asked", signal.getitimer(signal.ITIMER_REAL), flush=True)
print("left", flush=True)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_ray_connects_is_a_request(cluster: Cluster, number: signal.Signals) -> None:
    """Ray's handler in C++ prints a stack and sets an alarm, of which the process dies without a word of its own."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, cluster.address, number.name],
        capture_output=True, text=True, timeout=LONGEST, preexec_fn=heed_signals,
    )  # fmt: skip
    assert process.stdout == "asked (0.0, 0.0)\nleft\n", process.stderr
    assert "received" not in process.stderr
    assert process.returncode == 0


def test_what_a_failed_start_of_ray_had_begun_is_ended() -> None:
    begun = []

    def start() -> None:
        with out_of_reach_of_signals():
            begun.append(services.ConsolePopen(["sleep", "600"]))
            raise TimeoutError("too slow")

    with pytest.raises(TimeoutError, match="too slow"):
        start()
    assert begun[0].wait(LONGEST) == -signal.SIGKILL
