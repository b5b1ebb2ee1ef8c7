"""Rules for clusters on AWS. What its API knows of regions, machine types and settings comes with botocore, offline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from search.cluster_check.cluster_file import ClusterFile, Finding
from search.cluster_check.rules import mapping

if TYPE_CHECKING:
    from botocore.model import ServiceModel

COMPUTE_CAPABILITY = {
    "g2": 3.0, "p2": 3.7, "g3": 5.2, "g3s": 5.2, "p3": 7.0, "p3dn": 7.0, "g4dn": 7.5, "g5g": 7.5, "p4d": 8.0,
    "p4de": 8.0, "g5": 8.6, "g6": 8.9, "g6e": 8.9, "g6f": 8.9, "gr6": 8.9, "gr6f": 8.9, "p5": 9.0, "p5e": 9.0,
    "p5en": 9.0, "p6-b200": 10.0, "p6e-gb200": 10.0, "p6-b300": 10.3, "g7": 12.0, "g7e": 12.0,
}  # fmt: skip
"""Families with NVIDIA GPUs (EC2 User Guide, "Accelerated computing instances") and what CUDA calls their compute
capability (NVIDIA, "CUDA GPU Compute Capability")."""
LEAST_CAPABILITY = 7.5
"""Of PyTorch 2.11 as it is installed here: `torch.cuda.get_arch_list()`."""


def aws_findings(cluster: ClusterFile) -> list[Finding]:
    """All findings of the rules below."""
    if find_spec("botocore") is None or find_spec("boto3") is None:
        remedy = "pip install 'ser-search[cluster]'"
        return [Finding(where="provider.type", problem="aws needs boto3, which is not installed here", remedy=remedy)]
    rules = (_region, _workers, _head, _node_configs, _gpus, _images, _keys, _firewall, _file_system)
    return [finding for rule in rules for finding in rule(cluster)]


@cache
def _regions() -> tuple[str, ...]:
    """Every region of EC2 that botocore knows of."""
    from botocore.session import Session

    session = Session()
    parts = session.get_available_partitions()
    return tuple(name for part in parts for name in session.get_available_regions("ec2", part))


@cache
def _ec2() -> ServiceModel:
    """EC2's operations and their settings; read once, which takes a second or two."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("ec2", "service-2"))


def _region(cluster: ClusterFile) -> Iterator[Finding]:
    region, known = cluster.provider.get("region"), _regions()
    if region is None:
        yield Finding(where="provider.region", problem="missing; Ray stops at it", remedy="name one, such as us-east-1")
    elif region not in known:
        likely = get_close_matches(str(region), known, n=1)
        remedy = f"perhaps {likely[0]} is meant" if likely else f"known: {', '.join(known)}"
        yield Finding(where="provider.region", problem=f"AWS has no region {region!r}", remedy=remedy)
    zones = str(cluster.provider.get("availability_zone") or "")
    for zone in filter(None, (zone.strip() for zone in zones.split(","))):
        if region is not None and not zone.startswith(str(region)):
            yield Finding(
                where="provider.availability_zone", problem=f"{zone} is not in {region}", remedy="name one of its zones"
            )


def _workers(cluster: ClusterFile) -> Iterator[Finding]:
    if "available_node_types" not in cluster.config or "head_node_type" not in cluster.config:
        yield Finding(
            where="available_node_types",
            problem="Ray's own default has workers without a GPU",
            remedy="name available_node_types and head_node_type as in cluster.yaml",
        )
    elif not cluster.worker_types:
        yield Finding(
            where="available_node_types",
            problem="max_workers is 0 for every type but the head's, so no worker is ever started",
            remedy="let one type have some",
        )
    if "max_workers" not in cluster.config:
        yield Finding(
            where="max_workers", problem="missing; Ray takes 2", remedy="say how many machines you will pay for"
        )


def _head(cluster: ClusterFile) -> Iterator[Finding]:
    head = str(cluster.config.get("head_node_type"))
    kind = cluster.node_types.get(head)
    if kind is None:
        return
    if mapping(kind.get("resources")).get("CPU") != 0 and cluster.worker_types:
        yield Finding(
            where=f"available_node_types.{head}.resources",
            problem="trials would run on the head as well, and the driver has to wait for them",
            remedy="resources: {CPU: 0, GPU: 0}",
        )
    if kind.get("max_workers", cluster.config.get("max_workers")) != 0:
        yield Finding(
            where=f"available_node_types.{head}.max_workers",
            problem="not 0, so machines of the head's type may be started as workers",
            remedy="max_workers: 0",
        )


def _node_configs(cluster: ClusterFile) -> Iterator[Finding]:
    """Every setting of a machine, as EC2's RunInstances defines it."""
    from botocore.validate import ParamValidator

    model = _ec2()
    shape = model.operation_model("RunInstances").input_shape
    types = model.shape_for("InstanceType").enum
    for name, config in _configs(cluster):
        where = f"available_node_types.{name}.node_config"
        settings = {
            key: value for key, value in config.items() if key != "SubnetIds"
        }  # Ray's own: it takes one of them
        report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **settings}, shape)
        if report.has_errors():
            for line in report.generate_report().splitlines():
                yield Finding(where=where, problem=f"EC2 refuses it: {line}", remedy="see EC2's RunInstances")
        kind = config.get("InstanceType")
        if kind is None and "LaunchTemplate" not in config:
            yield Finding(where=f"{where}.InstanceType", problem="missing", remedy="name one, such as g5.xlarge")
        elif kind is not None and kind not in types:
            likely = get_close_matches(str(kind), types, n=1)
            remedy = f"perhaps {likely[0]} is meant" if likely else "see EC2's list of instance types"
            yield Finding(where=f"{where}.InstanceType", problem=f"EC2 has no {kind!r}", remedy=remedy)


def _gpus(cluster: ClusterFile) -> Iterator[Finding]:
    for name, worker in cluster.worker_types.items():
        kind = str(mapping(worker.get("node_config")).get("InstanceType", ""))
        capability = COMPUTE_CAPABILITY.get(kind.partition(".")[0])
        where = f"available_node_types.{name}.node_config.InstanceType"
        if kind and capability is None and mapping(worker.get("resources")).get("GPU") != 0:
            yield Finding(
                where=where,
                problem=f"{kind} has no NVIDIA GPU",
                remedy="g5.xlarge has one; for trials on CPUs, say so: resources: {GPU: 0}",
            )
        elif capability is not None and capability < LEAST_CAPABILITY:
            yield Finding(
                where=where,
                problem=f"the GPU of {kind} has compute capability {capability}, and PyTorch needs {LEAST_CAPABILITY}",
                remedy="g4dn or newer",
            )


def _images(cluster: ClusterFile) -> Iterator[Finding]:
    for name, config in _configs(cluster):
        if config.get("ImageId") in (None, "", "latest_dlami") and "LaunchTemplate" not in config:
            yield Finding(
                where=f"available_node_types.{name}.node_config.ImageId",
                problem="missing; Ray takes an image of Ubuntu 18.04, whose Python and driver are too old",
                remedy="name an image as cluster.yaml says",
            )


def _keys(cluster: ClusterFile) -> Iterator[Finding]:
    key = mapping(cluster.config.get("auth")).get("ssh_private_key")
    if key is None:
        return  # Ray makes a pair
    if not cluster.local(key).is_file():
        yield Finding(where="auth.ssh_private_key", problem=f"there is no {cluster.local(key)}", remedy="name your key")
    for name, config in _configs(cluster):
        if "KeyName" not in config and "UserData" not in config:
            yield Finding(
                where=f"available_node_types.{name}.node_config",
                problem="auth.ssh_private_key is given, but not the KeyName that the machine is to let in",
                remedy="add KeyName, or leave ssh_private_key out and Ray makes a pair",
            )


def _firewall(cluster: ClusterFile) -> Iterator[Finding]:
    for name, config in _configs(cluster):
        if not any(key in config for key in ("SecurityGroupIds", "NetworkInterfaces", "LaunchTemplate")):
            yield Finding(
                where=f"available_node_types.{name}.node_config",
                problem="without SecurityGroupIds, Ray makes a group that opens port 22 to 0.0.0.0/0",
                remedy="make a group that lets in your own address, as cluster.yaml says, and name it",
            )


def _file_system(cluster: ClusterFile) -> Iterator[Finding]:
    """An EFS file system is reached from its own region alone."""
    region = cluster.provider.get("region")
    hosts = {host for role in ("head", "worker") for text in cluster.commands(role) for host in _efs_hosts(text)}
    for host, its_region in sorted(hosts):
        if region is not None and its_region != region:
            yield Finding(
                where="setup_commands",
                problem=f"{host} lies in {its_region}, and the machines in {region} cannot reach it",
                remedy="name a file system of the machines' own region",
            )


def _efs_hosts(text: str) -> list[tuple[str, str]]:
    return [
        (match.group(0), match.group(1)) for match in re.finditer(r"fs-\w+\.efs\.([a-z0-9-]+)\.amazonaws\.com", text)
    ]


def _configs(cluster: ClusterFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Node type -> the machine of it, of types that may be started."""
    head = cluster.config.get("head_node_type")
    for name, kind in cluster.node_types.items():
        if name == head or name in cluster.worker_types:
            yield name, mapping(kind.get("node_config"))
