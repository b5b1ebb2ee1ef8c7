"""Rules for every file that `ray up` reads, whatever the provider of its machines."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from search.cluster_check.cluster_file import COMMANDS_OF, ClusterFile, Finding, strings

PROVIDER_KEYS = {
    "": {
        "type", "disable_node_updaters", "disable_launch_config_check", "foreground_node_launch",
        "worker_liveness_check",
    },
    "aws": {
        "region", "availability_zone", "cache_stopped_nodes", "key_pair", "security_group", "use_internal_ips",
        "use_external_head_ip", "aws_credentials", "cloudwatch",
    },
    "local": {"head_ip", "worker_ips", "external_head_ip", "coordinator_address", "use_internal_ips"},
}  # fmt: skip
"""Keys below `provider` that Ray 2.60 reads anywhere: with every provider, and with two of them. It ignores others."""

LARGE_FOLDERS = (".git", ".venv")
"""Ray reads and copies every byte of what file_mounts names; these are never meant."""

NOTICE_SECONDS = 15.0
"""A dead node should be noticed within this time."""
HEALTH_CHECK = {"period_ms": 3000, "timeout_ms": 10000, "failure_threshold": 5}
"""Ray's defaults of RAY_health_check_*: a node is dead after so many checks that were not answered."""

TOKEN_PATH = "~/.ray/auth_token"
GENERATE = "ray get-auth-token --generate"
SHARED_SETUP = "bash ~/ser-search/clusters/setup.sh FOLDER, or SERVER:/EXPORT, in setup_commands"
OWN_FOLDERS = ("/tmp", "/home", "/root", "/dev/shm", "~", "$HOME")
"""Folders that each machine has for itself."""


def general_findings(cluster: ClusterFile) -> list[Finding]:
    """All findings of the rules below, in the order of the file's parts."""
    rules = (
        _schema,
        placeholders,
        _cut_commands,
        _provider,
        _numbers,
        _mounts,
        _token,
        _authentication,
        _health_check,
        _storage,
    )
    return [finding for rule in rules for finding in rule(cluster)]


def _schema(cluster: ClusterFile) -> Iterator[Finding]:
    """What Ray's own schema says, all at once and before any machine is asked."""
    spec = find_spec("ray")  # finds the file without importing Ray
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    validator = jsonschema.Draft7Validator(json.loads(path.read_text(encoding="utf-8")))
    filled_in = ("'resources' is a required property", "'node_config' is a required property")
    for error in sorted(validator.iter_errors(cluster.config), key=lambda error: list(map(str, error.path))):
        if error.message not in filled_in or cluster.provider_type != "aws":
            where = ".".join(map(str, error.path)) or "top level"
            yield Finding(where=where, problem=f"Ray refuses it: {error.message}", remedy="see cluster.yaml")


def placeholders(cluster: ClusterFile) -> Iterator[Finding]:
    """What the comments ask to change, once each, however many places share it."""
    places: dict[str, list[str]] = {}
    for where, value in strings({key: value for key, value in cluster.config.items() if key != "metadata"}):
        if "CHANGE" in value:
            places.setdefault(value, []).append(where)
    for value, wheres in places.items():
        more = f" (and {len(wheres) - 1} more)" if len(wheres) > 1 else ""
        remedy = "see the comment marked CHANGE"
        yield Finding(where=wheres[0] + more, problem=f"still a placeholder: {value}", remedy=remedy)


def _cut_commands(cluster: ClusterFile) -> Iterator[Finding]:
    """In YAML, ` #` begins a comment, in the middle of a shell command too."""
    root, lines = yaml.compose(cluster.text, Loader=yaml.SafeLoader), cluster.text.splitlines()
    names = {name for names in COMMANDS_OF.values() for name in names}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        for node in value.value if key.value in names and isinstance(value, yaml.SequenceNode) else ():
            comment = lines[node.end_mark.line][node.end_mark.column :].strip() if node.style is None else ""
            if comment and (not comment.startswith("# ") or _is_cut(node.value)):
                yield Finding(
                    where=f"{key.value}, line {node.end_mark.line + 1}",
                    problem=f"YAML takes the end of the command for a comment: {comment}",
                    remedy="put the whole command into quotes",
                )


def _is_cut(command: object) -> bool:
    """True for a command in which a quote is opened and not closed."""
    try:
        shlex.split(str(command))
    except ValueError:
        return True
    return False


def _provider(cluster: ClusterFile) -> Iterator[Finding]:
    kind = cluster.provider_type
    if kind not in PROVIDER_KEYS:
        known = ", ".join(filter(None, PROVIDER_KEYS))
        yield Finding(
            where="provider.type",
            problem=f"only general rules are known for {kind or 'no type'!r}",
            remedy=f"{known} are checked in full; mind the keys of others yourself",
        )
        return
    known_keys = PROVIDER_KEYS[""] | PROVIDER_KEYS[kind]
    for key in cluster.provider:
        if key not in known_keys:
            likely = get_close_matches(str(key), known_keys, n=1)
            remedy = f"perhaps {likely[0]} is meant" if likely else f"known: {', '.join(sorted(known_keys))}"
            yield Finding(where=f"provider.{key}", problem="Ray knows no such key and ignores it", remedy=remedy)


def _numbers(cluster: ClusterFile) -> Iterator[Finding]:
    most = cluster.config.get("max_workers")
    most = most if isinstance(most, int) else None
    least_of_all = 0
    for name, kind in cluster.node_types.items():
        least, own = kind.get("min_workers", 0), kind.get("max_workers", most)
        if not isinstance(least, int):
            continue  # the schema says so
        least_of_all += least
        if isinstance(own, int) and least > own:
            yield Finding(
                where=f"available_node_types.{name}",
                problem=f"min_workers {least} is above max_workers {own}",
                remedy="lower the one or raise the other",
            )
        if isinstance(own, int) and most is not None and own > most:
            yield Finding(
                where=f"available_node_types.{name}.max_workers",
                problem=f"{own} is above the cluster's max_workers, {most}, and never reached",
                remedy="raise that one, or leave this one out",
            )
    if most is not None and least_of_all > most:
        yield Finding(
            where="max_workers",
            problem=f"{most} is below the sum of all min_workers, {least_of_all}",
            remedy="raise it or lower those",
        )


def _mounts(cluster: ClusterFile) -> Iterator[Finding]:
    for remote, source in cluster.mounts.items():
        if not source.exists():
            if remote != TOKEN_PATH:
                yield Finding(
                    where=f"file_mounts.{remote}",
                    problem=f"there is no {source}",
                    remedy="mend the path; relative ones count from the folder in which `ray up` is run",
                )
            continue
        large = [name for name in LARGE_FOLDERS if (source / name).exists()]
        if large:
            yield Finding(
                where=f"file_mounts.{remote}",
                problem=f"{source} holds {' and '.join(large)}, and Ray reads every file of it at each `ray up`",
                remedy="name the folders that the nodes need one by one",
            )


def _token(cluster: ClusterFile) -> Iterator[Finding]:
    source = cluster.mounts.get(TOKEN_PATH)
    if source is None:
        yield Finding(
            where="file_mounts",
            problem=f"no node gets the token: {TOKEN_PATH} is missing",
            remedy=f"add {TOKEN_PATH}: {TOKEN_PATH}",
        )
    elif not source.is_file() or not source.read_text(encoding="utf-8").strip():
        yield Finding(where=f"file_mounts.{TOKEN_PATH}", problem=f"no token in {source}", remedy=GENERATE)
    elif source.stat().st_mode & 0o077:
        yield Finding(
            where=f"file_mounts.{TOKEN_PATH}",
            problem=f"others on this machine can read {source} (mode {source.stat().st_mode & 0o777:o})",
            remedy=f"chmod 600 {source}",
        )


def _authentication(cluster: ClusterFile) -> Iterator[Finding]:
    """A head that has a token asks for it; nodes without RAY_AUTH_MODE=token do not show theirs and never join."""
    modes = {role: cluster.environment(role).get("RAY_AUTH_MODE", "not set") for role in COMMANDS_OF}
    for mode in sorted(set(modes.values()) - {"token"}):
        roles = [role for role in modes if modes[role] == mode]
        yield Finding(
            where=" and ".join(f"{role}_start_ray_commands" for role in roles),
            problem=f"RAY_AUTH_MODE must be token on every node; on {' and '.join(roles)} it is {mode}",
            remedy="run clusters/setup.sh in setup_commands, or export it before `ray start`",
        )


def _health_check(cluster: ClusterFile) -> Iterator[Finding]:
    environment = cluster.environment("head")
    values = {name: environment.get(f"RAY_health_check_{name}", str(default)) for name, default in HEALTH_CHECK.items()}
    bad = [f"RAY_health_check_{name}={value}" for name, value in values.items() if not value.isdecimal()]
    if bad:
        yield Finding(where="head_start_ray_commands", problem=f"no whole number: {', '.join(bad)}", remedy="mend it")
        return
    period, timeout, threshold = (int(values[name]) for name in HEALTH_CHECK)
    seconds = threshold * (period + timeout) / 1000
    if seconds > NOTICE_SECONDS:
        yield Finding(
            where="head_start_ray_commands",
            problem=f"a dead node is noticed after {seconds:g} s only, and its trials wait for that",
            remedy="run clusters/setup.sh in setup_commands, or export RAY_health_check_* as environment.sh does",
        )


def _storage(cluster: ClusterFile) -> Iterator[Finding]:
    """Run folders and checkpoints must lie where every node finds them."""
    stores = {role: _storage_of(cluster.commands(role)) for role in COMMANDS_OF}
    without = [role for role, store in stores.items() if store is None]
    if without:
        verb = "is" if len(without) == 1 else "are"
        yield Finding(
            where="setup_commands",
            problem=f"{' and '.join(without)} {verb} given no shared storage for corpus and run folders",
            remedy=SHARED_SETUP,
        )
    given = {store for store in stores.values() if store is not None}
    if len(given) > 1:
        yield Finding(
            where="setup_commands",
            problem=f"head and workers have different storage: {' and '.join(sorted(given))}",
            remedy=SHARED_SETUP,
        )
    for store in sorted(given):
        problem = _storage_problem(store)
        if problem:
            yield Finding(where="setup_commands", problem=f"{store}: {problem}", remedy=SHARED_SETUP)


def _storage_of(commands: Sequence[str]) -> str | None:
    """What the last call of setup.sh names; for commands of one's own, what they mount."""
    found = None
    for command in commands:
        call = re.search(r"setup\.sh\s+([^\s;&|]+)", command) or re.search(r"\bmount\b.*?(\S+:/\S*)", command)
        found = call.group(1) if call else found
    return found


def _storage_problem(store: str) -> str:
    """Why other machines cannot reach a storage, or ""."""
    if store.startswith("s3:") or ".s3." in store:
        return "a bucket will not do, since records are appended to and folders renamed"
    if ":/" in store:
        host = store.partition(":/")[0]
        return "that is each machine itself" if host in ("localhost", "127.0.0.1") else ""
    if store.startswith(OWN_FOLDERS):
        return "every machine has a folder of its own there"
    return "" if store.startswith("/") else "not a path from the root, so each node looks elsewhere"


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, be it empty: what the schema refuses is not looked into."""
    return value if isinstance(value, Mapping) else {}
