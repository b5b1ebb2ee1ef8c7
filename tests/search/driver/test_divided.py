"""A batch divided over drivers: who does which run, and a real one."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from search.driver.batch import Member
from search.driver.divided import _Divided, divided
from search.driver.driver_messages import Ended, Over, Printed, Row, Stop
from search.driver.driver_process import _Sent
from search.driver.options import Options
from search.interruption import request_stop
from search.run_folder.paths import PLAN_FILE, RECORDS_FILE, RESULT_FILE
from search.run_folder.records_reader import read_records
from search.run_folder.run_view import read_run
from search.terminal.batch_progress import BatchProgress
from search.workers.pool import Part

REPOSITORY = Path(__file__).parents[3]
PATIENCE_SECONDS = 900.0


def due(*runs: str) -> list[tuple[Member, Options]]:
    """ "b<a" takes the winner of "a"."""
    parted = [run.partition("<") for run in runs]
    return [(Member(folder=name, model="mlp", taken_from=source), Options()) for name, _, source in parted]


def names(parts: list[list[tuple[Member, Options]]]) -> list[str]:
    return [" ".join(member.folder for member, _ in part) for part in parts]


def test_runs_are_dealt_out_in_turn_and_no_driver_is_without() -> None:
    assert names(divided(due("a", "b", "c", "d", "e"), 2)) == ["a c e", "b d"]
    assert names(divided(due("a", "b"), 5)) == ["a", "b"]


def test_who_takes_the_winner_of_another_run_goes_with_it() -> None:
    assert names(divided(due("a", "b<a", "c<a", "d", "e<d"), 4)) == ["a b c", "d e"]
    assert names(divided(due("b<a", "c<a"), 2)) == ["b", "c"]  # the other one is done


def test_what_a_driver_prints_is_sent_by_whole_lines() -> None:
    sent: list[str] = []
    console = Console(file=_Sent(lambda message: sent.append(message.text)), width=40, color_system="standard")
    console.print("one", end=" ")
    assert sent == []
    console.print("[red]two[/]")
    console.print("three\nfour")
    assert sent == ["one \x1b[31mtwo\x1b[0m", "three\nfour"]


class Stand:
    """A driver of which only what it says is there."""

    def __init__(self) -> None:
        self.line, self.its = Pipe()
        self.heard: list[object] = []
        self.process = SimpleNamespace(wait=lambda: -9)

    def send(self, message: object) -> None:
        self.heard.append(message)


def test_what_drivers_say_is_shown_and_who_ends_leaves_its_part_to_the_others() -> None:
    one, two = Stand(), Stand()
    out = io.StringIO()
    view = BatchProgress(["a", "b"], Console(file=out, width=100))

    def after_each() -> None:
        raise ValueError("the folds are of different corpora")

    with _Divided(cast(Any, [one, two]), view, after_each) as together:
        for message in (
            Row("a", ("search",), "[search] 1 of 4"),
            Printed("a word"),
            Ended("a", "is done"),
            Over({"c": "no"}),
        ):
            one.its.send(message)
        while len(together._alive) == 2:
            assert together.listen()
        assert two.heard == [Part(0, 1)]
        assert together.fault == ""
        two.its.close()
        assert not together.listen()
    assert together.problems == {"c": "no"}
    assert "ended without a word, with status -9" in together.fault
    text = out.getvalue()
    assert "a [search] 1 of 4" in text
    assert "a word" in text
    assert "a is done | 1 of 2 runs ended" in text
    assert "could not be written: the folds are of different corpora" in text


def test_a_stop_is_passed_on_once() -> None:
    one, two = Stand(), Stand()
    view = BatchProgress(["a", "b"], Console(file=io.StringIO()))
    with _Divided(cast(Any, [one, two]), view, lambda: None) as together:
        together.stop()
        together.stop()
    assert one.heard == two.heard == [Stop()]


# -- for real ----------------------------------------------------------------------------------------------------------


def command(*options: object) -> list[str]:
    return [sys.executable, str(REPOSITORY / "search" / "run.py"), *map(str, options)]


def demo(cache: Path, folder: Path, *, trials: int, epochs: int) -> list[object]:
    data = ["--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache, "--split", "kfold:3"]
    limits = ["--trials", trials, "--max-epochs", epochs, "--folds", 1, "--finalists", 1, "--seeds", 1]
    return ["--model", "mlp", *data, *limits, "--run-dir", folder]


def started(*options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def wait_for(happened: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert driver.poll() is None, driver.stdout and driver.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.1)


def ended(folder: Path) -> int:
    if not (folder / PLAN_FILE).exists() or not (folder / RECORDS_FILE).exists():
        return 0
    return sum(trial.ended is not None for trial in read_records(folder / RECORDS_FILE).trials.values())


def drivers_of(parent: int) -> list[int]:
    """The processes of drivers that a process has started."""
    found = subprocess.run(["pgrep", "-P", str(parent), "-f", "driver_process"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def is_over(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
def test_drivers_side_by_side_do_what_one_does(tmp_path: Path, cache: Path) -> None:
    """With a place for each, every run has the trials that it has with one driver and one worker."""
    one, several = tmp_path / "one", tmp_path / "several"
    subprocess.run(command(*demo(cache, one, trials=3, epochs=6), "--concurrency", 1), check=True)
    options = demo(cache, several, trials=3, epochs=6)
    done = subprocess.run(
        command(*options, "--drivers", 2, "--concurrency", 2), capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "3 of 3 runs ended" in done.stdout
    assert len(re.findall(r"fold-\d is done", done.stdout)) == 3
    for fold in ("fold-1", "fold-2", "fold-3"):
        apart, alike = (read_run(folder / fold) for folder in (several, one))
        assert apart.result is not None
        assert alike.result is not None
        assert apart.result["test"]["clips"] == alike.result["test"]["clips"]
        first, other = (run.records.trials for run in (apart, alike))
        assert len(first) == 3
        assert first[0].params == other[0].params
        assert first[0].value == other[0].value
    assert json.loads((several / "protocol.json").read_text())["folds"] == 3


@pytest.mark.slow
def test_a_stop_a_kill_and_a_resumption_of_drivers(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "batch"
    first = started(*demo(cache, folder, trials=6, epochs=200), "--drivers", 2)
    wait_for(lambda: any(ended(folder / fold) for fold in ("fold-1", "fold-2", "fold-3")), first)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 130, out
    assert f"--resume {folder}" in " ".join(out.split())

    killed = started("--resume", folder, "--cache-dir", cache, "--drivers", 3)
    wait_for(lambda: len(drivers_of(killed.pid)) == 3, killed)
    drivers = drivers_of(killed.pid)
    before = sum(ended(folder / fold) for fold in ("fold-1", "fold-2", "fold-3"))
    wait_for(lambda: sum(ended(folder / fold) for fold in ("fold-1", "fold-2", "fold-3")) > before, killed)
    killed.kill()
    killed.wait()
    limit = time.monotonic() + PATIENCE_SECONDS
    while not all(map(is_over, drivers)):
        assert time.monotonic() < limit
        time.sleep(0.1)

    stopped = started("--resume", folder, "--cache-dir", cache, "--drivers", 2)
    wait_for(lambda: len(drivers_of(stopped.pid)) == 2, stopped)
    request_stop(folder)
    out, _ = stopped.communicate(timeout=PATIENCE_SECONDS)
    assert stopped.returncode == 130, out

    last = started("--resume", folder, "--cache-dir", cache, "--drivers", 2)
    out, _ = last.communicate(timeout=PATIENCE_SECONDS)
    assert last.returncode == 0, out
    for fold in ("fold-1", "fold-2", "fold-3"):
        assert len(read_records(folder / fold / RECORDS_FILE).trials) == 6
        assert json.loads((folder / fold / RESULT_FILE).read_text())["test_reads"] == 1


@pytest.mark.slow
def test_a_driver_that_is_killed_stops_the_others_and_is_told(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "batch"
    batch = started(*demo(cache, folder, trials=200, epochs=6), "--drivers", 2)
    wait_for(lambda: any(ended(folder / fold) for fold in ("fold-1", "fold-2")), batch)
    subprocess.run(["kill", "-9", str(drivers_of(batch.pid)[0])], check=True)
    out, _ = batch.communicate(timeout=PATIENCE_SECONDS)
    assert batch.returncode == 2, out
    assert "A driver ended without a word, with status -9" in out
    assert f"--resume {folder}" in " ".join(out.split())
