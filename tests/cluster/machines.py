"""Throw-away hosts on this machine (`hosts`: namespaces with an sshd each), and clusters that `ray up` makes there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.run_folder.records import RunRecords
from search.run_folder.records_reader import read_records

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "hosts"
HEAD_LIMITS = "--num-cpus=0 --memory=2000000000 --object-store-memory=200000000"
WORKER_LIMITS = "--num-cpus=1 --memory=2000000000 --object-store-memory=200000000"
"""Of each host: without them each would take the whole machine for its own."""


@dataclass
class Hosts:
    """Some hosts that are up: `op`, from which clusters are started, `head`, `worker1` and so on.

    Attributes:
        folder: where they keep their disks.
        shared: a folder that all of them see under its own path.
    """

    folder: Path
    shared: Path
    environment: dict[str, str] = field(default_factory=dict)

    def script(self, *arguments: str, timeout: float = 60) -> str:
        done = subprocess.run(
            [SCRIPT, *arguments], env=self._environ(), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"hosts {shlex.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def run(self, host: str, command: str, *, timeout: float = 120, check: bool = True, stdin: str = "") -> str:
        """What a shell command on a host prints, its errors included."""
        done = subprocess.run(
            [SCRIPT, "exec", host, "bash", "-c", self._command(command)],
            env=self._environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            input=stdin,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{host}: {command}\n{done.stdout[-6000:]}"
        return done.stdout

    def start(self, host: str, command: str, log: Path) -> subprocess.Popen[bytes]:
        """A shell command on a host, left running."""
        with log.open("wb") as file:
            return subprocess.Popen(
                [SCRIPT, "exec", host, "bash", "-c", self._command(command)],
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def cut_power(self, host: str) -> None:
        self.script("kill", host)

    def power_on(self, host: str) -> None:
        self.script("start", host)

    def _command(self, command: str) -> str:
        settings = "".join(f"export {name}={shlex.quote(value)}; " for name, value in self.environment.items())
        return f". ~/.bashrc; {settings}cd {shlex.quote(str(ROOT))} && {command}"

    def _environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOSTS_DIR": str(self.folder / "hosts.d"),
            "HOSTS_EXPOSE": ":".join(str(path) for path in exposed()),
            "HOSTS_SHARED": str(self.shared),
            **{name: value for name, value in self.environment.items() if name.startswith("HOSTS_")},
        }


def exposed() -> list[Path]:
    """What all hosts see of this machine: the repository, the virtual environment, its Python, and the real corpus."""
    wanted = {ROOT.resolve(), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    if "SER_RAVDESS" in os.environ:
        wanted.add(Path(os.environ["SER_RAVDESS"]).resolve())
    return sorted(path for path in wanted if not wanted & set(path.parents))


@contextmanager
def hosts_up(folder: Path, count: int, **environment: str) -> Iterator[Hosts]:
    """Hosts with a token and the virtual environment on their PATH; skips the test where they cannot be made."""
    # Not below /tmp, of which every machine has its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="ser-search-") as shared:
        yield from _hosts_up(Hosts(folder, Path(shared), environment), count)


def _hosts_up(hosts: Hosts, count: int) -> Iterator[Hosts]:
    made = subprocess.run(
        [SCRIPT, "up", str(count)], env=hosts._environ(), capture_output=True, text=True, timeout=120, check=False
    )
    if made.returncode == 2:
        pytest.skip(f"no hosts can be made here: {made.stderr.strip()}")
    assert made.returncode == 0, made.stderr
    try:
        for name in [line.split()[0] for line in made.stdout.splitlines()]:
            lines = f'export PATH="{Path(sys.prefix) / "bin"}:$PATH"\n'  # the image has the packages
            (hosts.folder / "hosts.d" / name / "home" / ".bashrc").write_text(lines, encoding="utf-8")
        hosts.run("op", "ray get-auth-token --generate >/dev/null && chmod 600 ~/.ray/auth_token")
        hosts.environment["RAY_AUTH_MODE"] = "token"
        yield hosts
    finally:
        hosts.script("down", timeout=120)


@dataclass(frozen=True)
class Cluster:
    """A cluster on some hosts, by its file."""

    hosts: Hosts
    file: Path

    def up(self) -> str:
        """`ray up`, again where it failed: Ray's raylet gives up when its agents take some 15 s to start."""
        for _ in range(2):
            shown = self.hosts.run("op", f"ray up -y {self.file} && echo is-up", timeout=300, check=False)
            if "is-up" in shown.splitlines():
                return shown
        return self.hosts.run("op", f"ray up -y {self.file}", timeout=300)

    def down(self) -> str:
        return self.hosts.run("op", f"ray down -y {self.file}", timeout=240)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Follow how many nodes are alive; for `seen`."""
        command = f"exec python tests/cluster/watch.py {self.hosts.shared / 'alive'}"
        watcher = self.hosts.start("head", command, self.hosts.folder / "watch.log")
        try:
            yield
        finally:
            watcher.terminate()
            watcher.wait(30)

    def seen(self, nodes: int, *, since: float = 0.0) -> float | None:
        """When so many nodes were first seen alive after a moment, both in seconds since 1970; None for not yet."""
        path = self.hosts.shared / "alive"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        moments = [float(moment) for moment, count in map(str.split, lines) if int(count) == nodes]
        return next((moment for moment in moments if moment >= since), None)

    def search(self, run: Path, *options: str) -> str:
        """The command of a search on this cluster, as README has it."""
        cache = self.hosts.shared / "cache"
        return shlex.join(
            ["--address", "auto", "--run-dir", str(run), "--cache-dir", str(cache), "--folds", "1", *options]
        )


ENDLESS = ("--trials", "100000")
"""Of a search that is stopped before its end, however fast the machine: `enough_trials` gives it one afterwards."""


def enough_trials(run: Path) -> int:
    """How many trials a search is to have that goes on only to finish those it began.

    One more than are recorded: a driver that was killed may have asked Optuna for it already.
    """
    return len(records_of(run).trials) + 1


def await_true(what: str, ask: Callable[[], object], seconds: float, *, every: float = 1.0) -> float:
    """Ask until it holds -> how many seconds that took."""
    began = time.monotonic()
    while not ask():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(every)
    return time.monotonic() - began


def local_file(hosts: Hosts, workers: int) -> Path:
    """`clusters/local.yaml`, changed as its comments say for these hosts."""
    text = (ROOT / "clusters" / "local.yaml").read_text(encoding="utf-8")
    text = text.replace("HEAD-CHANGE", "10.77.0.10").replace(
        "clusters/setup.sh /shared", f"clusters/setup.sh {hosts.shared}"
    )
    text = text.replace("ray start --head --port=6379 --num-cpus=0", f"ray start --head --port=6379 {HEAD_LIMITS}")
    text = text.replace(
        "ray start --address=$RAY_HEAD_IP:6379", f"ray start --address=$RAY_HEAD_IP:6379 {WORKER_LIMITS}"
    )
    config = yaml.safe_load(text)
    config["provider"]["worker_ips"] = [f"10.77.0.{11 + number}" for number in range(workers)]
    config["auth"]["ssh_user"] = "root"
    path = hosts.shared / "cluster.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, width=1000), encoding="utf-8")
    return path


def records_of(run: Path) -> RunRecords:
    return read_records(run / "records.jsonl")


def workers_of(run: Path) -> set[str]:
    """Hosts that trained trials of a run."""
    return {trial.worker.partition(":")[0] for trial in records_of(run).trials.values() if trial.worker}


def epochs_of(run: Path) -> int:
    """Epochs recorded so far, over all trials."""
    return sum(len(trial.epochs) for trial in records_of(run).trials.values())


def check_exact(run: Path, trials: int) -> dict[str, int]:
    """The study, read by Optuna itself, holds every trial and every epoch once, as the records do -> states."""
    storage = JournalStorage(JournalFileBackend(str(run / "study.journal")))
    study = optuna.load_study(study_name=run.name, storage=storage)
    frozen, recorded = study.get_trials(deepcopy=False), records_of(run).trials
    assert [trial.number for trial in frozen] == list(range(trials)) == sorted(recorded)
    states: dict[str, int] = {}
    for trial in frozen:
        record: Any = recorded[trial.number]
        assert trial.state.is_finished()
        assert trial.state.name == record.state.value
        epochs = [report.epoch for report in record.epochs]
        assert epochs == list(range(1, len(epochs) + 1))
        assert trial.intermediate_values == {report.epoch: report.score("uar") for report in record.epochs}
        assert dict(trial.params) == dict(record.params)
        states[trial.state.name] = states.get(trial.state.name, 0) + 1
    return states
