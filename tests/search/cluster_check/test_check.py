"""What `search/cluster.py check` finds, each thing put into a file that is otherwise good."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from search.cluster import app
from search.cluster_check.aws import COMPUTE_CAPABILITY
from search.cluster_check.check import findings
from search.cluster_check.cluster_file import ClusterFile, load_cluster_file

ROOT = Path(__file__).parents[3]
Config = dict[str, Any]
Change = Callable[[Config], object]

FILLED_IN = {
    "ami-CHANGE": "ami-0123456789abcdef0",
    "sg-CHANGE": "sg-0123456789abcdef0",
    "fs-CHANGE": "fs-0123456789abcdef0",
    "HEAD-CHANGE": "10.0.0.1",
    "WORKER-1-CHANGE": "10.0.0.2",
    "WORKER-2-CHANGE": "10.0.0.3",
    "CHANGE/ser-search": "registry.example/ser-search",
}
FILES = {"aws": "cluster.yaml", "local": "clusters/local.yaml", "kuberay": "clusters/kuberay.yaml"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a token and a key, and the repository as the folder in which `ray up` is run."""
    for name in (".ray/auth_token", ".ssh/id_ed25519"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("0123456789abcdef", encoding="utf-8")
        path.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    return tmp_path


def filled_in(name: str) -> str:
    """The project's own file, with its placeholders replaced as its comments say."""
    text = (ROOT / FILES[name]).read_text(encoding="utf-8")
    for old, new in FILLED_IN.items():
        text = text.replace(old, new)
    return text


def checked(config: Config) -> Iterator[str]:
    """Findings as lines."""
    text = yaml.safe_dump(config, sort_keys=False)
    for finding in findings(ClusterFile(text=text, config=config, base=ROOT)):
        assert finding.remedy
        yield f"{finding.where}: {finding.problem}"


def changed(name: str, change: Change) -> list[str]:
    config = copy.deepcopy(yaml.safe_load(filled_in(name)))
    change(config)
    return list(checked(config))


@pytest.mark.parametrize("name", FILES)
def test_the_projects_own_files_are_good_once_filled_in(name: str) -> None:
    assert list(checked(yaml.safe_load(filled_in(name)))) == []


def test_one_line_puts_every_machine_of_aws_into_the_image() -> None:
    assert "docker" not in yaml.safe_load(filled_in("aws"))
    unfilled = (ROOT / FILES["aws"]).read_text(encoding="utf-8").replace("# <<: *container", "<<: *container")
    lines = list(checked(yaml.safe_load(unfilled)))
    assert any(line.startswith("docker.image: still a placeholder: CHANGE/ser-search:") for line in lines)
    text = filled_in("aws").replace("# <<: *container", "<<: *container")
    config = yaml.safe_load(text)
    assert config["docker"]["image"] == "registry.example/ser-search:0.1.0"
    assert config["initialization_commands"][-1] == "sudo chmod 1777 /shared"  # or the container's user cannot write
    assert [finding.problem for finding in findings(ClusterFile(text=text, config=config, base=ROOT))] == []


@pytest.mark.parametrize("name", FILES)
def test_placeholders_are_found_until_they_are_filled_in(name: str) -> None:
    config = yaml.safe_load((ROOT / FILES[name]).read_text(encoding="utf-8"))
    lines = list(checked(config))
    assert lines
    assert all("still a placeholder" in line for line in lines)


def put(path: str, value: object) -> Change:
    """Set a value by its dotted path."""

    def change(config: Config) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config[int(parent)] if isinstance(config, list) else config[parent]
        config[int(last) if isinstance(config, list) else last] = value

    return change


def drop(path: str) -> Change:
    """Take a value out by its dotted path."""

    def change(config: Config) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            config = config[parent]
        del config[last]

    return change


def both(*changes: Change) -> Change:
    return lambda config: [change(config) for change in changes]


SETUP = "bash ~/ser-search/clusters/setup.sh"
HEAD = "available_node_types.head"
SPOT = "available_node_types.gpu_spot"
MACHINE = f"{SPOT}.node_config"

GENERAL = {
    "unknown top-level key": (put("idle_minutes", 5), "top level: Ray refuses it: Additional properties"),
    "wrong type": (put("max_workers", "many"), "max_workers: Ray refuses it: 'many' is not of type 'integer'"),
    "no name": (drop("cluster_name"), "top level: Ray refuses it: 'cluster_name' is a required property"),
    "no provider": (drop("provider"), "top level: Ray refuses it: 'provider' is a required property"),
    "other provider": (put("provider.type", "gcp"), "provider.type: only general rules are known for 'gcp'"),
    "unknown provider key": (
        put("provider.cache_stoped_nodes", True),
        "provider.cache_stoped_nodes: Ray knows no such",
    ),
    "least above most": (
        both(put(f"{SPOT}.min_workers", 3), put(f"{SPOT}.max_workers", 2)),
        f"{SPOT}: min_workers 3 is above max_workers 2",
    ),
    "most above all": (put(f"{SPOT}.max_workers", 9), f"{SPOT}.max_workers: 9 is above the cluster's max_workers, 8"),
    "least above all": (put(f"{SPOT}.min_workers", 9), "max_workers: 8 is below the sum of all min_workers, 9"),
    "no source": (put("file_mounts.~/data", "no/such"), f"file_mounts.~/data: there is no {ROOT}/no/such"),
    "large source": (put("file_mounts.~/all", "."), "file_mounts.~/all: "),
    "no token": (lambda config: config["file_mounts"].pop("~/.ray/auth_token"), "file_mounts: no node gets the token"),
    "mode not set": (
        put("setup_commands", ["mount fs:/ /shared"]),
        "head_start_ray_commands and worker_start_ray_commands: RAY_AUTH_MODE must be token",
    ),
    "mode wrong": (
        put("worker_start_ray_commands.1", "export RAY_AUTH_MODE=disabled; ray start"),
        "worker_start_ray_commands: RAY_AUTH_MODE must be token on every node; on worker it is disabled",
    ),
    "slow health check": (
        put("head_start_ray_commands.1", "RAY_health_check_failure_threshold=30 ray start --head"),
        "head_start_ray_commands: a dead node is noticed after 90 s only",
    ),
    "no number in health check": (
        put("head_start_ray_commands.1", "RAY_health_check_period_ms=1s ray start --head"),
        "head_start_ray_commands: no whole number: RAY_health_check_period_ms=1s",
    ),
    "no storage": (put("setup_commands", ["echo"]), "setup_commands: head and worker are given no shared storage"),
    "storage of the head alone": (
        both(put("setup_commands", []), put("head_setup_commands", [f"{SETUP} /shared"])),
        "setup_commands: worker is given no shared storage",
    ),
    "different storage": (
        put("worker_setup_commands", [f"{SETUP} /other"]),
        "setup_commands: head and workers have different storage: /other and fs-",
    ),
    "bucket": (
        put("setup_commands", [f"{SETUP} s3://bucket/runs"]),
        "setup_commands: s3://bucket/runs: a bucket will not do",
    ),
    "own folder": (
        put("setup_commands", [f"{SETUP} /tmp/shared"]),
        "setup_commands: /tmp/shared: every machine has a folder",
    ),
    "relative folder": (put("setup_commands", [f"{SETUP} shared"]), "setup_commands: shared: not a path from the root"),
    "itself": (
        put("setup_commands", [f"{SETUP} localhost:/x"]),
        "setup_commands: localhost:/x: that is each machine itself",
    ),
}
AWS = {
    "no region": (drop("provider.region"), "provider.region: missing"),
    "unknown region": (put("provider.region", "us-east-9"), "provider.region: AWS has no region 'us-east-9'"),
    "zone elsewhere": (
        put("provider.availability_zone", "eu-west-1a"),
        "provider.availability_zone: eu-west-1a is not in us-east-1",
    ),
    "Ray's default types": (
        both(drop("available_node_types"), drop("head_node_type")),
        "available_node_types: Ray's own default has workers without a GPU",
    ),
    "no worker": (
        put(f"{SPOT}.max_workers", 0),
        "available_node_types: max_workers is 0 for every type but the head's",
    ),
    "no most": (drop("max_workers"), "max_workers: missing; Ray takes 2"),
    "trials on the head": (put(f"{HEAD}.resources", {}), f"{HEAD}.resources: trials would run on the head as well"),
    "workers of the head's type": (drop(f"{HEAD}.max_workers"), f"{HEAD}.max_workers: not 0"),
    "unknown setting": (
        put(f"{MACHINE}.Instancetype", "g5.xlarge"),
        f"{MACHINE}: EC2 refuses it: Unknown parameter in input",
    ),
    "wrong setting": (
        put(f"{MACHINE}.SecurityGroupIds", "sg-1"),
        f"{MACHINE}: EC2 refuses it: Invalid type for parameter",
    ),
    "nested setting": (
        put(f"{MACHINE}.InstanceMarketOptions", {"MarketTyp": "spot"}),
        f"{MACHINE}: EC2 refuses it: Unknown parameter in InstanceMarketOptions",
    ),
    "no machine": (drop(f"{MACHINE}.InstanceType"), f"{MACHINE}.InstanceType: missing"),
    "unknown machine": (
        put(f"{MACHINE}.InstanceType", "g5.xxlarge"),
        f"{MACHINE}.InstanceType: EC2 has no 'g5.xxlarge'",
    ),
    "no GPU": (put(f"{MACHINE}.InstanceType", "m7i.xlarge"), f"{MACHINE}.InstanceType: m7i.xlarge has no NVIDIA GPU"),
    "GPU of AMD": (
        put(f"{MACHINE}.InstanceType", "g4ad.xlarge"),
        f"{MACHINE}.InstanceType: g4ad.xlarge has no NVIDIA GPU",
    ),
    "old GPU": (
        put(f"{MACHINE}.InstanceType", "p3.2xlarge"),
        f"{MACHINE}.InstanceType: the GPU of p3.2xlarge has compute capability 7.0, and PyTorch needs 7.5",
    ),
    "no image": (drop(f"{MACHINE}.ImageId"), f"{MACHINE}.ImageId: missing; Ray takes an image of Ubuntu 18.04"),
    "no key there": (put("auth.ssh_private_key", "~/.ssh/other"), "auth.ssh_private_key: there is no "),
    "key without its name": (
        put("auth.ssh_private_key", "~/.ssh/id_ed25519"),
        f"{MACHINE}: auth.ssh_private_key is given",
    ),
    "open to all": (
        drop(f"{MACHINE}.SecurityGroupIds"),
        f"{MACHINE}: without SecurityGroupIds, Ray makes a group that opens",
    ),
    "file system elsewhere": (
        put("setup_commands", [f"{SETUP} fs-0a.efs.eu-west-1.amazonaws.com:/"]),
        "setup_commands: fs-0a.efs.eu-west-1.amazonaws.com lies in eu-west-1",
    ),
}
LOCAL = {
    "no head": (drop("provider.head_ip"), "provider.head_ip: missing"),
    "no workers": (drop("provider.worker_ips"), "provider.worker_ips: missing"),
    "head as worker": (
        put("provider.worker_ips", ["10.0.0.1", "10.0.0.2"]),
        "provider.worker_ips: 10.0.0.1 is named 2 times",
    ),
    "fewer workers": (put("max_workers", 1), "max_workers: 1, with 2 machines in provider.worker_ips"),
    "more workers": (put("min_workers", 3), "min_workers: 3, with 2 machines in provider.worker_ips"),
    "key of AWS": (put("provider.region", "us-east-1"), "provider.region: Ray knows no such key and ignores it"),
    "node types": (put("available_node_types", {}), "available_node_types: Ray refuses it for machines that one has"),
    "autoscaler v2": (
        put("head_start_ray_commands.1", "ray start --head --autoscaling-config=~/ray_bootstrap_config.yaml"),
        "head_start_ray_commands: with autoscaler v2, which Ray 2.60 switches on",
    ),
    "no key": (drop("auth.ssh_private_key"), "auth.ssh_private_key: missing"),
    "no key there": (put("auth.ssh_private_key", "~/other"), "auth.ssh_private_key: there is no "),
    "worker that is not tried again": (
        put("worker_start_ray_commands.1", "ray start --address=$RAY_HEAD_IP:6379"),
        "worker_start_ray_commands: a machine whose `ray start` fails once",
    ),
    "no autoscaling": (
        put("head_start_ray_commands.1", "RAY_enable_autoscaler_v2=0 ray start --head"),
        "head_start_ray_commands: no `ray start` with --autoscaling-config",
    ),
}
KUBERAY = {
    "other kind": (put("kind", "RayJob"), "kind: RayCluster is wanted; got 'RayJob'"),
    "no name": (drop("metadata.name"), "metadata.name: missing"),
    "other Ray": (put("spec.rayVersion", "2.9.0"), "spec.rayVersion: 2.9.0, and ser-search has Ray 2.60"),
    "no workers": (put("spec.workerGroupSpecs", []), "spec.workerGroupSpecs: no workers"),
    "trials on the head": (
        put("spec.headGroupSpec.rayStartParams", {}),
        "spec.headGroupSpec.rayStartParams: trials would run",
    ),
    "no token": (
        drop("spec.authOptions"),
        "spec.authOptions.mode: whoever reaches the pods can run code in them; got no mode",
    ),
    "least above most": (
        put("spec.workerGroupSpecs.0.minReplicas", 9),
        "spec.workerGroupSpecs.gpu: minReplicas 9 and maxReplicas 8",
    ),
    "never started": (
        put("spec.enableInTreeAutoscaling", False),
        "spec.enableInTreeAutoscaling: not true, and replicas are 0",
    ),
    "no GPU": (
        put("spec.workerGroupSpecs.0.template.spec.containers.0.resources", {"limits": {"cpu": 4}}),
        "spec.workerGroupSpecs.gpu: no container has nvidia.com/gpu",
    ),
    "no claim": (
        put("spec.workerGroupSpecs.0.template.spec.volumes", []),
        "spec.workerGroupSpecs.gpu: head and workers share no",
    ),
    "mounted elsewhere": (
        put(
            "spec.workerGroupSpecs.0.template.spec.containers.0.volumeMounts",
            [{"name": "shared", "mountPath": "/other"}],
        ),
        "spec.workerGroupSpecs.gpu: head and workers share no",
    ),
}
CASES = [
    pytest.param(name, change, expected, id=f"{name}: {title}")
    for name, cases in {"aws": {**GENERAL, **AWS}, "local": LOCAL, "kuberay": KUBERAY}.items()
    for title, (change, expected) in cases.items()
]


@pytest.mark.parametrize(("name", "change", "expected"), CASES)
def test_what_is_wrong_is_found(name: str, change: Change, expected: str) -> None:
    lines = changed(name, change)
    assert any(line.startswith(expected) for line in lines), lines
    # One change has few consequences: rules do not echo one another.
    assert len(lines) <= 4, lines


def test_trials_on_cpus_are_no_mistake_when_the_file_says_so() -> None:
    on_cpus = both(put(f"{MACHINE}.InstanceType", "m7i.xlarge"), put(f"{SPOT}.resources", {"GPU": 0}))
    assert changed("aws", on_cpus) == []


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [("", 0o600, "no token in"), ("0123", 0o644, "others on this machine can read")],
)
def test_tokens_that_do_not_serve(home: Path, content: str, mode: int, expected: str) -> None:
    token = home / ".ray" / "auth_token"
    token.write_text(content, encoding="utf-8")
    token.chmod(mode)
    (line,) = changed("aws", lambda config: None)
    assert expected in line


def test_a_missing_token_is_told_once_with_the_command_that_makes_one(home: Path) -> None:
    (home / ".ray" / "auth_token").unlink()
    config = yaml.safe_load(filled_in("local"))
    (finding,) = findings(ClusterFile(text="{}", config=config, base=ROOT))
    assert finding.remedy == "ray get-auth-token --generate"


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        ("  - echo 'a # b'", True),
        ("  - echo a #b", True),
        ("  - echo a # says a", False),
        ('  - "echo a # b"', False),
        ("  - echo a#b", False),
    ],
)
def test_a_command_that_yaml_cuts_off_is_found(tmp_path: Path, line: str, cut: bool) -> None:
    path = tmp_path / "cut.yaml"
    text = filled_in("local").replace("setup_commands:\n", f"setup_commands:\n{line}\n", 1)
    path.write_text(text, encoding="utf-8")
    lines = [finding.where for finding in findings(load_cluster_file(path, ROOT))]
    number = text.splitlines().index(line) + 1
    assert lines == ([f"setup_commands, line {number}"] if cut else [])


def test_families_with_gpus_are_those_that_ec2_lists() -> None:
    """The types that EC2 lists now, as moto recorded them; the table also knows older ones that are still for hire."""
    spec = find_spec("moto")
    assert spec is not None
    assert spec.origin is not None
    packed = Path(spec.origin).parent / "ec2" / "resources" / "instance_types.json.gz"
    types = json.loads(gzip.decompress(packed.read_bytes()))
    families = {
        kind.partition(".")[0]
        for kind, facts in types.items()
        if any(gpu["Manufacturer"] == "NVIDIA" for gpu in facts.get("GpuInfo", {}).get("Gpus", ()))
    }
    assert len(families) > 10
    assert families <= set(COMPUTE_CAPABILITY)
    without = {kind.partition(".")[0] for kind in types} - families
    assert not without & set(COMPUTE_CAPABILITY)


def test_the_command_prints_findings_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(filled_in("aws").replace("region: us-east-1", "region: us-east1"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert "provider.region" in result.stdout
    assert "-> perhaps us-east-1 is meant" in result.stdout


def test_the_command_says_when_nothing_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(filled_in("aws"), encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert (result.exit_code, "nothing found" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read"), ("a: [", "is no YAML"), ("- a", "holds no settings but list")],
)
def test_files_that_cannot_be_read_are_told_apart(tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "cluster.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 2
    assert expected in result.stdout
