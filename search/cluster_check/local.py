"""Rules for clusters of machines that one has (`provider: {type: local}`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from search.cluster_check.cluster_file import ClusterFile, Finding


def local_findings(cluster: ClusterFile) -> list[Finding]:
    """All findings of the rules below."""
    rules = (_addresses, _node_types, _autoscaler, _key, _head, _worker)
    return [finding for rule in rules for finding in rule(cluster)]


def _addresses(cluster: ClusterFile) -> Iterator[Finding]:
    provider = cluster.provider
    for key in ("head_ip", "worker_ips"):
        if key not in provider and "coordinator_address" not in provider:
            yield Finding(where=f"provider.{key}", problem="missing", remedy="name the machines there")
    workers = provider.get("worker_ips")
    workers = [str(address) for address in workers] if isinstance(workers, list) else []
    for address, count in Counter([str(provider.get("head_ip")), *workers]).items():
        if count > 1:
            yield Finding(
                where="provider.worker_ips",
                problem=f"{address} is named {count} times, as head and worker or as two workers",
                remedy="name every machine once; a head that is to work as well needs no --num-cpus=0",
            )
    for key in ("min_workers", "max_workers"):
        number = cluster.config.get(key)
        if isinstance(number, int) and workers and number != len(workers):
            yield Finding(
                where=key,
                problem=f"{number}, with {len(workers)} machines in provider.worker_ips",
                remedy="leave it out: all of them are used",
            )


def _node_types(cluster: ClusterFile) -> Iterator[Finding]:
    for key in ("available_node_types", "head_node_type"):
        if key in cluster.config:
            yield Finding(where=key, problem="Ray refuses it for machines that one has", remedy="leave it out")


def _autoscaler(cluster: ClusterFile) -> Iterator[Finding]:
    if cluster.environment("head").get("RAY_enable_autoscaler_v2") != "0":
        yield Finding(
            where="head_start_ray_commands",
            problem="with autoscaler v2, which Ray 2.60 switches on, no worker of such a cluster ever starts",
            remedy="export RAY_enable_autoscaler_v2=0 before `ray start`, as in clusters/local.yaml",
        )


def _key(cluster: ClusterFile) -> Iterator[Finding]:
    auth = cluster.config.get("auth")
    key = auth.get("ssh_private_key") if isinstance(auth, dict) else None
    if key is not None and not cluster.local(key).is_file():
        yield Finding(where="auth.ssh_private_key", problem=f"there is no {cluster.local(key)}", remedy="name your key")
    if key is None:
        yield Finding(
            where="auth.ssh_private_key",
            problem="missing: the head could not log in to the workers",
            remedy="name a key that opens all machines",
        )


def _head(cluster: ClusterFile) -> Iterator[Finding]:
    starts = [command for command in cluster.commands("head") if "ray start" in command]
    if not any("--autoscaling-config" in command for command in starts):
        yield Finding(
            where="head_start_ray_commands",
            problem="no `ray start` with --autoscaling-config: the head would start no workers",
            remedy="add --autoscaling-config=~/ray_bootstrap_config.yaml",
        )


def _worker(cluster: ClusterFile) -> Iterator[Finding]:
    starts = [command for command in cluster.commands("worker") if "ray start" in command]
    if not starts or "||" not in starts[-1]:
        yield Finding(
            where="worker_start_ray_commands",
            problem="a machine whose `ray start` fails once, be it while it boots, is never tried again",
            remedy="ray start --address=$RAY_HEAD_IP:6379 || ray stop",
        )
