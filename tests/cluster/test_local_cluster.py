"""`ray up` with the project's file for machines that one has, on three hosts, and real searches there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import (
    ENDLESS,
    Cluster,
    await_true,
    check_exact,
    enough_trials,
    epochs_of,
    hosts_up,
    local_file,
    records_of,
    workers_of,
)

pytestmark = pytest.mark.cluster

RAYS_OWN_SECONDS = 65.0
"""How long Ray's own settings need to notice a dead node; those of the cluster file about 10 s on a quiet machine."""
SMALL = ("--finalists", "1", "--seeds", "1")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Head and two workers, joined."""
    with hosts_up(tmp_path_factory.mktemp("local"), 3) as hosts:
        made = Cluster(hosts, local_file(hosts, 2))
        checked = hosts.run("op", f"python search/cluster.py check {made.file}")
        assert "nothing found" in checked
        made.up()
        with made.watched():
            await_true("both workers have joined", lambda: made.seen(3), 300)
            yield made


def check_complete(run: Path, trials: int) -> None:
    """A search that ended with a number, counted exactly, and trained by workers alone."""
    assert sum(check_exact(run, trials).values()) == trials
    assert workers_of(run) <= {"worker1", "worker2"}  # the head trains nothing
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert 0 <= result["test"]["uar"]["mean"] <= 1
    assert len((run / "test_ledger.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert not (run / "checkpoints").exists()


def test_submit_runs_a_search_on_both_workers(cluster: Cluster) -> None:
    run = cluster.hosts.shared / "runs" / "submitted"
    options = cluster.search(run, "--model", "mlp", "--data", "demo", "--trials", "6", *SMALL)
    cluster.hosts.run("op", f"ray submit {cluster.file} search/run.py -- {options}", timeout=300)
    check_complete(run, 6)
    assert workers_of(run) == {"worker1", "worker2"}


def test_attach_opens_a_shell_on_the_head(cluster: Cluster) -> None:
    shown = cluster.hosts.run("op", f"ray attach {cluster.file}", stdin="hostname; ray status; exit\n")
    assert "head" in shown.split()
    assert "0.0/2.0 CPU" in shown


def test_job_submit_through_the_dashboards_tunnel_needs_the_token(cluster: Cluster) -> None:
    hosts, run = cluster.hosts, cluster.hosts.shared / "runs" / "job"
    tunnel = hosts.start("op", f"exec ray dashboard {cluster.file}", hosts.folder / "tunnel.log")
    address = "--address http://localhost:8265"
    try:
        options = cluster.search(run, "--model", "mlp", "--data", "demo", "--trials", "2", *SMALL)
        listed = f"ray job list {address} | grep JobDetails"
        await_true("the tunnel is open", lambda: hosts.run("op", listed, check=False), 90)
        hosts.run("op", f"ray job submit {address} -- ser-search {options}", timeout=300)
        refused = hosts.run("op", f"RAY_AUTH_MODE=disabled ray job list {address}", check=False)
    finally:
        tunnel.terminate()
        tunnel.wait(30)
    check_complete(run, 2)
    assert "Missing authentication token" in refused


def test_a_client_address_is_refused(cluster: Cluster) -> None:
    shown = cluster.hosts.run("op", "ser-search --model mlp --data demo --address ray://10.77.0.10:10001", check=False)
    assert "error: --address must be that of a cluster that this machine is part of" in shown


def test_a_run_folder_that_workers_do_not_see_stops_the_run(cluster: Cluster) -> None:
    options = cluster.search(Path("/root/runs/alone"), "--model", "mlp", "--data", "demo", "--trials", "2", *SMALL)
    shown = cluster.hosts.run("head", f"ser-search {options}", timeout=180, check=False)
    assert "does not see the run folder; --run-dir must lie on storage of all nodes" in shown


def test_a_power_cut_and_a_killed_driver_cost_no_trial(cluster: Cluster) -> None:
    """One worker's power is cut in the middle of its trial and comes back; then the driver is killed, and resumed.

    The search would go on for ever, so that it is under way whenever the worker is back.
    """
    hosts, run = cluster.hosts, cluster.hosts.shared / "runs" / "cut"
    options = cluster.search(run, "--model", "cnn_lstm", "--data", "demo", *ENDLESS, "--max-epochs", "30", *SMALL)
    driver = hosts.start("head", f"echo $$ >~/driver.pid; exec ser-search {options}", hosts.folder / "driver.log")
    try:
        await_true("both workers train", lambda: workers_of(run) == {"worker1", "worker2"}, 120)
        await_true("there is a checkpoint", lambda: any((run / "checkpoints").glob("*/last.safetensors")), 120)
        cut = time.time()
        hosts.cut_power("worker1")
        await_true("the dead node is noticed", lambda: cluster.seen(2, since=cut), 90)
        noticed = (cluster.seen(2, since=cut) or cut) - cut
        print(f"a worker without power was noticed after {noticed:.1f} s")
        assert noticed < RAYS_OWN_SECONDS
        hosts.power_on("worker1")
        back = await_true("the worker is back", lambda: cluster.seen(3, since=cut + noticed), 300)
        print(f"a worker that came back had joined after {back:.1f} s")
        trained = epochs_of(run)
        await_true("training goes on", lambda: epochs_of(run) > trained, 60)
        assert driver.poll() is None
        hosts.run("head", "kill -9 $(cat ~/driver.pid)")
    finally:
        driver.kill()
        driver.wait(30)
    known = {number: list(trial.epochs) for number, trial in records_of(run).trials.items()}
    trials = enough_trials(run)
    shown = hosts.run(
        "head", f"ser-search --resume {run} --trials {trials} --cache-dir {hosts.shared / 'cache'}", timeout=1800
    )
    assert "error" not in shown
    check_complete(run, trials)
    for number, epochs in known.items():  # what was recorded before the kill stands
        assert records_of(run).trials[number].epochs[: len(epochs)] == epochs


@pytest.mark.parametrize(("model", "options"), [("mlp", ()), ("cnn_lstm", ("--max-epochs", "2"))])
def test_ravdess(cluster: Cluster, model: str, options: tuple[str, ...]) -> None:
    if "SER_RAVDESS" not in os.environ:
        pytest.skip("SER_RAVDESS names no copy of RAVDESS")
    run = cluster.hosts.shared / "runs" / f"ravdess-{model}"
    data = str(Path(os.environ["SER_RAVDESS"]).resolve())
    asked = cluster.search(run, "--model", model, "--data", data, "--trials", "3", *SMALL, *options)
    cluster.hosts.run("op", f"ray exec {cluster.file} {asked_of(asked)}", timeout=900)
    check_complete(run, 3)


def asked_of(options: str) -> str:
    """The search as `ray exec` takes it: one argument."""
    return f"'ser-search {options}'"


def test_down_ends_every_node(cluster: Cluster) -> None:
    """Last: Ray stops the head alone, and the workers end when they have lost it."""
    cluster.down()
    for name in ("head", "worker1", "worker2"):
        await_true(f"{name} runs nothing of Ray", lambda name=name: not raylets(cluster, name), 120, every=2)


def raylets(cluster: Cluster, host: str) -> bool:
    return "raylet" in cluster.hosts.run(host, "ps -eo comm")
