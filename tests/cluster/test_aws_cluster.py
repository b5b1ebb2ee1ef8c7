"""`cluster.yaml` through `ray up` against moto, a server that answers as AWS does: instances are made, hosts stand in.

Not shown here: that AWS itself has the machines, images and permissions, spot prices and reclaims, and EFS.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.interruption import request_stop
from tests.cluster.fake_aws import REGION
from tests.cluster.machines import (
    ENDLESS,
    ROOT,
    Cluster,
    Hosts,
    await_true,
    check_exact,
    enough_trials,
    hosts_up,
    workers_of,
)

pytestmark = pytest.mark.cluster

NET = "10.78.0"
ACCOUNT = {
    "AWS_ENDPOINT_URL": f"http://{NET}.1:5000",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}
LIMITS = "--memory=2000000000 --object-store-memory=200000000"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The head is up; moto hands out .4, .5 and .6 in that order, which are the addresses of the hosts."""
    folder = tmp_path_factory.mktemp("aws")
    with hosts_up(folder, 3, HOSTS_PREFIX="a", HOSTS_NET=NET, HOSTS_FIRST="4") as hosts:
        exports = "".join(f"export {name}={value}\n" for name, value in ACCOUNT.items())
        for bashrc in (folder / "hosts.d").glob("*/home/.bashrc"):
            bashrc.write_text(exports + bashrc.read_text(encoding="utf-8"), encoding="utf-8")
        command = "MOTO_IAM_LOAD_MANAGED_POLICIES=true exec moto_server -H 0.0.0.0 -p 5000"
        server = hosts.start("op", command, folder / "moto.log")
        try:
            yield Cluster(hosts, aws_file(hosts))
        finally:
            server.terminate()
            server.wait(30)


def aws_file(hosts: Hosts) -> Path:
    """`cluster.yaml` filled in as its comments say, and on internal addresses, since there are no others here."""
    ask = f"python tests/cluster/fake_aws.py prepare {NET}.0/24 ~/.ssh/id_ed25519.pub {NET}.1"
    await_true(
        "moto answers", lambda: "OK" in hosts.run("op", f"curl -s {NET}.1:5000 >/dev/null && echo OK", check=False), 60
    )
    account = json.loads(hosts.run("op", ask).splitlines()[-1])
    text = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
    text = text.replace("ami-CHANGE", account["image"]).replace("sg-CHANGE", account["security_group"])
    text = text.replace("fs-CHANGE.efs.us-east-1.amazonaws.com:/", str(hosts.shared))
    text = text.replace("max_workers: 8", "max_workers: 2").replace(
        "idle_timeout_minutes: 5", "idle_timeout_minutes: 0.5"
    )
    text = text.replace("ray start --head", f"ray start {LIMITS} --head")
    text = text.replace("ray start --address", f"ray start {LIMITS} --num-cpus=1 --address")
    config = yaml.safe_load(text)
    config["available_node_types"]["gpu_spot"]["resources"] = {"CPU": 1}  # as the hosts have: a trial fills a machine
    config["provider"]["use_internal_ips"] = True
    config["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id_ed25519"}
    for kind in config["available_node_types"].values():
        kind["node_config"] |= {"SubnetIds": [account["subnet"]], "KeyName": account["key_name"]}
    path = hosts.shared / "cluster.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, width=1000), encoding="utf-8")
    return path


def account_of(cluster: Cluster) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(
        cluster.hosts.run("op", "python tests/cluster/fake_aws.py show").splitlines()[-1]
    )
    return shown


def alive(cluster: Cluster) -> list[dict[str, Any]]:
    return [instance for instance in account_of(cluster)["instances"] if instance["state"] == "running"]


def test_from_create_instances_to_a_search_on_machines_that_come_and_go(cluster: Cluster) -> None:
    hosts = cluster.hosts
    assert "nothing found" in hosts.run("op", f"python search/cluster.py check {cluster.file}")
    cluster.up()
    (head,) = alive(cluster)  # no worker before there is work
    assert (head["type"], head["spot"], head["groups"]) == ("m7i.xlarge", False, ["ser-search"])
    assert account_of(cluster)["ssh_from"] == [f"{NET}.1/32"]  # Ray has opened nothing to others
    run = hosts.shared / "runs" / "first"
    search_on_two_machines(cluster, run)
    workers = [instance for instance in account_of(cluster)["instances"] if instance["type"] == "g5.xlarge"]
    assert [worker["spot"] for worker in workers] == [True, True]
    assert REGION in cluster.file.read_text(encoding="utf-8")
    waited = await_true("idle machines are given back", lambda: len(alive(cluster)) == 1, 180, every=3)
    print(f"idle machines were given back after {waited:.0f} s")
    cluster.down()
    assert alive(cluster) == []


def search_on_two_machines(cluster: Cluster, run: Path) -> None:
    """A search that lasts until both machines have trained, however late the second one comes, and then ends."""
    hosts, submit = cluster.hosts, f"ray submit {cluster.file} search/run.py --"
    options = cluster.search(
        run, "--model", "cnn_lstm", "--data", "demo", *ENDLESS, "--max-epochs", "20", "--finalists", "1",
        "--seeds", "1", "--concurrency", "2", "--gpus-per-trial", "0",  # these hosts have none
    )  # fmt: skip
    endless = hosts.start("op", f"exec {submit} {options}", hosts.folder / "submit.log")
    try:
        await_true("both machines train", lambda: workers_of(run) == {"worker1", "worker2"}, 400)
        request_stop(run)
        endless.wait(120)
    finally:
        endless.kill()
        endless.wait(30)
    trials = enough_trials(run)
    resume = shlex.join(["--resume", str(run), "--trials", str(trials), "--cache-dir", str(hosts.shared / "cache")])
    hosts.run("op", f"{submit} {resume}", timeout=400)
    assert sum(check_exact(run, trials).values()) == trials
