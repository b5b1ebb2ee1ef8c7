"""The file of a Ray cluster, read, with the questions that its rules ask of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ser_core.errors import UserError

COMMANDS_OF = {
    "head": ("initialization_commands", "setup_commands", "head_setup_commands", "head_start_ray_commands"),
    "worker": ("initialization_commands", "setup_commands", "worker_setup_commands", "worker_start_ray_commands"),
}
"""Which commands Ray runs on which nodes, in order."""


class ClusterFileError(UserError, ValueError):
    """A cluster file that cannot be read; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: where in the file, the rule with the value that breaks it, and what to do."""

    where: str
    problem: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class ClusterFile:
    """A parsed cluster file.

    Attributes:
        text: as it lies on disk.
        config: the mapping in it.
        base: folder from which relative paths in it count: that in which `ray up` is run.
    """

    text: str
    config: Mapping[str, Any]
    base: Path

    @property
    def is_kuberay(self) -> bool:
        """True for a manifest of Kubernetes, which has another form altogether."""
        return str(self.config.get("apiVersion", "")).startswith("ray.io/")

    @property
    def provider(self) -> Mapping[str, Any]:
        provider = self.config.get("provider")
        return provider if isinstance(provider, Mapping) else {}

    @property
    def provider_type(self) -> str:
        return str(self.provider.get("type", ""))

    @property
    def node_types(self) -> Mapping[str, Mapping[str, Any]]:
        """Name -> node type, of those that are mappings; Ray's schema tells of others."""
        types = self.config.get("available_node_types")
        return {k: v for k, v in types.items() if isinstance(v, Mapping)} if isinstance(types, Mapping) else {}

    @property
    def worker_types(self) -> Mapping[str, Mapping[str, Any]]:
        """Node types of which workers may be started."""
        most = {name: kind.get("max_workers", self.config.get("max_workers", 0)) for name, kind in self.types_but_head}
        return {name: kind for name, kind in self.types_but_head if most[name] != 0}

    @property
    def types_but_head(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        head = self.config.get("head_node_type")
        return [(name, kind) for name, kind in self.node_types.items() if name != head]

    @property
    def mounts(self) -> Mapping[str, Path]:
        """Remote path -> local source of `file_mounts`."""
        mounts = self.config.get("file_mounts")
        return {str(k): self.local(v) for k, v in mounts.items()} if isinstance(mounts, Mapping) else {}

    def local(self, path: object) -> Path:
        """A path on this machine, as `ray up` takes it."""
        return self.base / Path(str(path)).expanduser()

    def commands(self, role: str) -> list[str]:
        """What is run on the "head" or on a "worker", in order."""
        lists = [self.config.get(name) for name in COMMANDS_OF[role]]
        return [str(command) for part in lists if isinstance(part, Sequence) for command in part]

    def environment(self, role: str) -> dict[str, str]:
        """Variables that commands set, by themselves or by scripts that `file_mounts` brings and that are named.

        Scripts come first: setup runs before Ray starts.
        """
        commands = "\n".join(self.commands(role))
        scripts, text = "", commands
        waiting = {path for source in self.mounts.values() for path in _scripts(source)}
        while named := {path for path in waiting if path.name in text}:
            text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(named))
            scripts, waiting = f"{scripts}\n{text}", waiting - named
        code = "\n".join(line for line in f"{scripts}\n{commands}".splitlines() if not line.lstrip().startswith("#"))
        return dict(re.findall(r"(?:^|[\s;])([A-Za-z_]\w*)=[\"']?([^\s;\"']*)", code))


def _scripts(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(source.glob("*.sh"))
    return [source] if source.suffix == ".sh" and source.is_file() else []


def load_cluster_file(path: Path, base: Path) -> ClusterFile:
    """Read a cluster file.

    Raises:
        ClusterFileError: no such file, no YAML, or no mapping in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        config = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterFileError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ClusterFileError(f"{path} is no YAML: {error}; mend it there") from error
    if not isinstance(config, dict):
        raise ClusterFileError(f"{path} holds no settings but {type(config).__name__}; see cluster.yaml for an example")
    return ClusterFile(text=text, config=config, base=base)


def strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a configuration, with its dotted place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, Sequence):
        for position, item in enumerate(value):
            yield from strings(item, f"{where}[{position}]")
