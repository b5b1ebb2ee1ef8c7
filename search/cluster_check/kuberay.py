"""Rules for a RayCluster on Kubernetes (KubeRay), as far as the manifest alone can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from search.cluster_check.cluster_file import ClusterFile, Finding
from search.cluster_check.rules import mapping, placeholders

GPU = "nvidia.com/gpu"


def kuberay_findings(cluster: ClusterFile) -> list[Finding]:
    """All findings of the rules below."""
    rules = (_manifest, placeholders, _authentication, _numbers, _gpus, _storage)
    return [finding for rule in rules for finding in rule(cluster)]


def _manifest(cluster: ClusterFile) -> Iterator[Finding]:
    kind, ours = cluster.config.get("kind"), version("ray")
    if kind != "RayCluster":
        yield Finding(where="kind", problem=f"RayCluster is wanted; got {kind!r}", remedy="see clusters/kuberay.yaml")
    if not mapping(cluster.config.get("metadata")).get("name"):
        yield Finding(where="metadata.name", problem="missing", remedy="give the cluster a name")
    theirs = _spec(cluster).get("rayVersion")
    if theirs != ours:
        yield Finding(where="spec.rayVersion", problem=f"{theirs}, and ser-search has Ray {ours}", remedy=f"{ours}")
    if not _groups(cluster):
        yield Finding(where="spec.workerGroupSpecs", problem="no workers", remedy="see clusters/kuberay.yaml")
    head = mapping(_spec(cluster).get("headGroupSpec"))
    if str(mapping(head.get("rayStartParams")).get("num-cpus")) != "0":
        yield Finding(
            where="spec.headGroupSpec.rayStartParams",
            problem="trials would run on the head as well, and the driver has to wait for them",
            remedy='num-cpus: "0"',
        )


def _authentication(cluster: ClusterFile) -> Iterator[Finding]:
    mode = mapping(_spec(cluster).get("authOptions")).get("mode")
    if mode != "token":
        yield Finding(
            where="spec.authOptions.mode",
            problem=f"whoever reaches the pods can run code in them; got {mode or 'no mode'}",
            remedy="authOptions: {mode: token}",
        )


def _numbers(cluster: ClusterFile) -> Iterator[Finding]:
    for name, group in _groups(cluster).items():
        least, most = group.get("minReplicas", 0), group.get("maxReplicas")
        if isinstance(most, int) and (least > most or most == 0):
            yield Finding(
                where=f"spec.workerGroupSpecs.{name}",
                problem=f"minReplicas {least} and maxReplicas {most} leave no room",
                remedy="minReplicas at most maxReplicas, and that at least 1",
            )
    if not _spec(cluster).get("enableInTreeAutoscaling") and not any(
        group.get("replicas") for group in _groups(cluster).values()
    ):
        yield Finding(
            where="spec.enableInTreeAutoscaling",
            problem="not true, and replicas are 0: no worker is ever started",
            remedy="enableInTreeAutoscaling: true",
        )


def _gpus(cluster: ClusterFile) -> Iterator[Finding]:
    for name, group in _groups(cluster).items():
        limits = [mapping(mapping(pod.get("resources")).get("limits")) for pod in _containers(group)]
        asks_for_none = str(mapping(group.get("rayStartParams")).get("num-gpus")) == "0"
        if not any(limit.get(GPU) for limit in limits) and not asks_for_none:
            yield Finding(
                where=f"spec.workerGroupSpecs.{name}",
                problem=f"no container has {GPU} among its limits",
                remedy=f'{GPU}: "1"; for trials on CPUs, say so: rayStartParams: {{num-gpus: "0"}}',
            )


def _storage(cluster: ClusterFile) -> Iterator[Finding]:
    """Run folders must lie on one claim that head and workers mount at one place."""
    head = _claims(mapping(_spec(cluster).get("headGroupSpec")))
    for name, group in _groups(cluster).items():
        if not head & _claims(group):
            yield Finding(
                where=f"spec.workerGroupSpecs.{name}",
                problem="head and workers share no PersistentVolumeClaim mounted at the same path",
                remedy="mount one with access mode ReadWriteMany in both, as in clusters/kuberay.yaml",
            )


def _spec(cluster: ClusterFile) -> Mapping[str, Any]:
    return mapping(cluster.config.get("spec"))


def _groups(cluster: ClusterFile) -> dict[str, Mapping[str, Any]]:
    groups = _spec(cluster).get("workerGroupSpecs")
    return {str(group.get("groupName")): group for group in groups or () if isinstance(group, Mapping)}


def _pod(group: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(group.get("template")).get("spec"))


def _containers(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [mapping(container) for container in _pod(group).get("containers") or ()]


def _claims(group: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Claims with the path at which a container of the group mounts them."""
    claims = {
        volume.get("name"): mapping(volume.get("persistentVolumeClaim")).get("claimName")
        for volume in _pod(group).get("volumes") or ()
    }
    mounts = [mount for container in _containers(group) for mount in container.get("volumeMounts") or ()]
    return {(str(claims[m["name"]]), str(m["mountPath"])) for m in mounts if claims.get(m.get("name"))}
