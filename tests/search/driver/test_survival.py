"""Real runs that are stopped, killed and starved of disk, and what their records and studies say afterwards."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest
from safetensors import safe_open

from search.interruption import SIGNALS
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, TrialRecord, TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.run_view import read_run
from search.study.asha import Asha
from search.study.search import trial_name
from ser_core.artifact import load_model
from tests.search.disks import mount, mounted
from tests.search.studies import study_of

REPOSITORY = Path(__file__).parents[3]
LONGEST = 600.0
"""Seconds to wait for anything; on a busy machine Ray takes a minute to start."""

Event = dict[str, Any]


class Driver:
    """The real command, as a terminal starts it: in a process group of its own, which Ctrl-C reaches as a whole."""

    started: ClassVar[list[Driver]] = []

    def __init__(self, *arguments: object, **environment: str) -> None:
        command = [sys.executable, str(REPOSITORY / "search" / "run.py"), *map(str, arguments)]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        self.started.append(self)
        self.lost_ray = False

    def kill(self) -> None:
        """What a failed test leaves behind."""
        self._process.kill()
        self._process.wait()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until the condition holds; the driver must not end before."""
        limit = time.monotonic() + LONGEST
        while not condition():
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.05)

    def descendants(self) -> list[int]:
        return descendants(self._process.pid)

    def end(self, *signals: signal.Signals, to_group: bool = False) -> tuple[str, int]:
        """Send signals, one at once after another -> what the driver printed, its exit code; no worker is left."""
        family = descendants(self._process.pid)
        for number in signals:
            os.killpg(self._process.pid, number) if to_group else self._process.send_signal(number)
            time.sleep(0.2)
        out, _ = self._process.communicate(timeout=LONGEST)
        at_once = signal.SIGKILL in signals or len(signals) > 1 or self.lost_ray
        wait_until_gone(family, but_agents=at_once)
        self.agents = [pid for pid in family if is_agent(pid)]
        return out, self._process.returncode


@pytest.fixture(autouse=True)
def _no_driver_outlives_its_test() -> Iterator[None]:
    yield
    while Driver.started:
        Driver.started.pop().kill()


def descendants(pid: int) -> list[int]:
    """Every process that a process has started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := read_text(entry / "stat")):
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(pid, ()))
    for child in found:  # grows meanwhile
        found += children.get(child, ())
    return found


def is_agent(pid: int) -> bool:
    """True for Ray's agents, idle processes that look for their dead parent now and then only."""
    words = read_text(Path(f"/proc/{pid}/cmdline")).split("\0")[:3]
    return any(re.match(r"ray::\w+Agent|.*/agent(\.py|/main\.py)$", word) for word in words)


def read_text(path: Path) -> str:
    """A file of /proc; nothing when the process has ended meanwhile."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def wait_until_gone(pids: list[int], *, but_agents: bool = False, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while left := [pid for pid in pids if is_alive(pid) and not (but_agents and is_agent(pid))]:
        assert time.monotonic() < limit, [read_text(Path(f"/proc/{pid}/cmdline")) for pid in left]
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    stat = read_text(Path(f"/proc/{pid}/stat"))
    return bool(stat) and stat.rpartition(")")[2].split()[0] != "Z"


def run(*arguments: object, code: int = 0) -> str:
    out, exit_code = Driver(*arguments).end()
    assert exit_code == code, out
    return out


def events(folder: Path) -> list[Event]:
    path = folder / "records.jsonl"
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def session_events(folder: Path, session: int) -> list[Event]:
    """What the n-th session of a run has recorded, counted from 1."""
    lines = events(folder)
    starts = [index for index, event in enumerate(lines) if event["event"] == "session"]
    return lines[starts[session - 1] :] if len(starts) >= session else []


def count(lines: list[Event], *kinds: str) -> int:
    return sum(event["event"] in kinds for event in lines)


def checkpoints(folder: Path) -> dict[str, int]:
    """Job name -> epochs in its checkpoint, those of the folds before the one at work among them."""
    found = {}
    for path in folder.glob("checkpoints/*/last.safetensors"):
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["header"])
            found[path.parent.name] = len(header["earlier"]) + len(header["reports"])
    return found


def job_of(event: Mapping[str, Any]) -> str:
    if event["event"] == "epochs":
        return trial_name(event["trial"])
    return f"{event['phase']}-{event['trial']:05d}-seed-{event['seed']}"


def ended(folder: Path) -> dict[int, TrialRecord]:
    trials = read_records(folder / "records.jsonl").trials
    return {number: trial for number, trial in trials.items() if trial.ended is not None}


def at_work(folder: Path) -> bool:
    """True while a trial that has got past its first epochs goes on."""
    trials = read_records(folder / "records.jsonl").trials.values()
    return any(trial.ended is None and trial.epochs for trial in trials)


def check_truth(folder: Path, trials: int, snapshots: list[dict[str, int]]) -> None:
    """A finished run, however often it was ended: nothing is missing, doubled, repeated without need, or at odds.

    Args:
        snapshots: what lay in `checkpoints/` after each session but the last.
    """
    plan, lines, records = SearchPlan.load(folder), events(folder), read_run(folder).records
    assert list(records.trials) == list(range(trials))
    assert count(lines, "trial_start") == count(lines, "trial_end") == trials
    check_study(folder, records.trials)
    for trial in (*records.trials.values(), *records.finals):
        assert [epoch.epoch for epoch in trial.epochs] == list(range(1, len(trial.epochs) + 1))
    check_rungs(lines, records.trials, Asha(plan.max_epochs, plan.grace_epochs, plan.reduction, plan.folds_in_turn))
    check_resumptions(lines, snapshots)
    check_finals(folder, plan, lines)


def check_study(folder: Path, records: Mapping[int, TrialRecord]) -> None:
    frozen = study_of(folder).trials
    assert [trial.number for trial in frozen] == list(records)
    for trial in frozen:
        record = records[trial.number]
        assert record.state is not TrialState.RUNNING
        assert trial.state.name == record.state.name
        assert trial.params == record.params
        assert trial.intermediate_values == dict(enumerate(record.scoring.reported(record.epochs), 1))
        if record.state is TrialState.COMPLETE:
            assert trial.value == record.value
        else:
            assert trial.user_attrs["reason"] == record.reason != ""


def check_rungs(lines: list[Event], records: Mapping[int, TrialRecord], asha: Asha) -> None:
    """ASHA replayed over the records gives every verdict that was given, as if nobody had ever been killed."""
    reached: dict[int, int] = {}
    for event in lines:
        if event["event"] != "epochs":
            continue
        number, stops = event["trial"], False
        for report in event["reports"]:
            if report["epoch"] > reached.get(number, 0):
                reached[number] = report["epoch"]
                score = records[number].scoring.of(records[number].epochs[: report["epoch"]])
                stops = asha.stops(number, report["epoch"], score) and not (
                    asha.folds > 1 and number == 0
                )  # the recipe
        if stops:
            assert records[number].state is TrialState.PRUNED
            assert records[number].reason == f"rung {len(records[number].epochs)}"
            assert len(records[number].epochs) == reached[number]
    pruned = [trial for trial in records.values() if trial.state is TrialState.PRUNED]
    assert all(len(trial.epochs) in asha.rungs for trial in pruned)
    complete = [trial for trial in records.values() if trial.state is TrialState.COMPLETE]
    assert all(len(trial.epochs) == asha.last_epoch for trial in complete)
    assert len(pruned) + len(complete) == len(records)


def check_resumptions(lines: list[Event], snapshots: list[dict[str, int]]) -> None:
    """Each unfinished job went on behind its last checkpoint, and reported from there what was not known yet."""
    session, known = 0, dict[str, int]()
    last: dict[str, int] = {}  # in this session
    for event in lines:
        if event["event"] == "session":
            session, last = session + 1, {}
        elif event["event"] in ("epochs", "final_epochs"):
            job, reports = job_of(event), [report["epoch"] for report in event["reports"]]
            saved = snapshots[session - 2].get(job, 0) if session > 1 else 0
            before = last.get(job, min(saved, known.get(job, 0)))
            assert reports == list(range(before + 1, before + len(reports) + 1)), (job, session, saved, known.get(job))
            last[job] = reports[-1]
            known[job] = max(known.get(job, 0), reports[-1])
    assert session == len(snapshots) + 1


def check_finals(folder: Path, plan: SearchPlan, lines: list[Event]) -> None:
    """Every run of the finals ended once, the test set was read once, and the models are whole."""
    records = read_run(folder).records
    finals, best = records.finals, [trial.number for trial in records.ranked()[: plan.finalists]]
    assert {final.trial for final in finals if final.phase is Phase.FINALIST} == {*best, 0}  # and the recipe
    assert count(lines, "final_end") == len(finals) == (len({*best, 0}) + 1) * plan.seeds
    assert all(final.ended is not None and not final.reason for final in finals)
    assert sum(final.phase is Phase.REFIT for final in finals) == plan.seeds
    assert len((folder / "test_ledger.jsonl").read_text().splitlines()) == 1
    result = json.loads((folder / "result.json").read_text())
    assert result["test_reads"] == 1
    for model in result["winner"]["models"]:
        assert load_model(folder / model).config.architecture == plan.model
    assert not (folder / "checkpoints").exists()


def demo(cache: Path, folder: Path, trials: int, epochs: int, folds: object = 1) -> list[object]:
    """Options of a run whose longer trials take a few seconds, so that there are checkpoints."""
    return [
        "--model", "mlp", "--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache, "--run-dir", folder,
        "--trials", trials, "--max-epochs", epochs, "--folds", folds, "--finalists", 2, "--seeds", 2,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_that_is_stopped_and_killed_again_and_again_ends_like_any_other(tmp_path: Path, cache: Path) -> None:
    folder, snapshots = tmp_path / "run", []

    def session(until: Callable[[], bool], *signals: signal.Signals, to_group: bool = False) -> tuple[str, int]:
        resume = ["--resume", folder, "--cache-dir", cache]
        driver = Driver(*(resume if snapshots else demo(cache, folder, trials=14, epochs=200, folds="auto")))
        driver.wait_for(until)
        ending = driver.end(*signals, to_group=to_group)
        snapshots.append(checkpoints(folder))
        return ending

    # Ctrl-C in a terminal, twice: the workers are ended where they are.
    out, code = session(lambda: len(ended(folder)) >= 2, signal.SIGINT, signal.SIGINT, to_group=True)
    assert code == 130, out
    assert f"--resume {folder}" in out
    # SIGTERM, once: they end their epoch and save.
    out, code = session(lambda: len(ended(folder)) >= 4 and at_work(folder), signal.SIGTERM)
    assert code == 130, out
    assert "the workers end their epoch and save" in out
    assert snapshots[-1]  # of the trials that were at work
    session(lambda: len(ended(folder)) >= 6, signal.SIGKILL)
    before = ended(folder)
    session(lambda: count(events(folder), "final_epochs") >= 1, signal.SIGKILL)
    assert len(before) < 14
    run("--resume", folder, "--cache-dir", cache)
    check_truth(folder, 14, snapshots)
    after = ended(folder)
    assert all(after[number] == trial for number, trial in before.items())
    check_others_can_show(study_of(folder))


def check_others_can_show(study: optuna.Study) -> None:
    """Optuna's own figures draw the study, all of it."""
    figures = optuna.visualization
    complete = sum(trial.state.name == "COMPLETE" for trial in study.trials)
    pruned = len(study.trials) - complete
    assert len(figures.plot_optimization_history(study).data[0].x) == complete
    curves = figures.plot_intermediate_values(study).data
    assert [len(curve.x) for curve in curves] == [len(trial.intermediate_values) for trial in study.trials]
    bars = {bar.name: len(bar.x) for bar in figures.plot_timeline(study).data}
    assert {name: number for name, number in bars.items() if number} == {"COMPLETE": complete, "PRUNED": pruned}
    assert len(figures.plot_parallel_coordinate(study).data) >= complete  # a line for each, and the scale of colours
    (cumulative,) = figures.plot_edf(study).data
    assert cumulative.y[-1] == 1.0
    pair = ["optim.learning_rate", "model.dropout"]
    assert [len(points.x) for points in figures.plot_slice(study, pair).data] == [complete, complete]
    assert len(figures.plot_contour(study, pair).data[1].x) == complete
    assert len(figures.plot_rank(study, pair).data[0].x) == complete
    assert sum(figures.plot_param_importances(study).data[0].x) == pytest.approx(1.0)


@pytest.mark.slow
def test_killed_ten_times_at_random_moments(tmp_path: Path, cache: Path) -> None:
    """`kill -9` of the driver while it starts, searches and repeats its finalists, and never once with a warning."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # pytest shows it when the test fails
    chance = random.Random(seed)
    folder, snapshots, agents = tmp_path / "run", list[dict[str, int]](), list[int]()
    for kill in range(10):
        driver = Driver(*(["--resume", folder, "--cache-dir", cache] if kill else demo(cache, folder, 40, 300)))
        wait_for_a_moment(driver, folder, kill, chance)
        _, code = driver.end(signal.SIGKILL)
        assert code == -signal.SIGKILL
        snapshots.append(checkpoints(folder))
        agents += driver.agents
    run("--resume", folder, "--cache-dir", cache)
    check_truth(folder, 40, snapshots)
    wait_until_gone(agents, seconds=180)


def test_a_signal_to_the_whole_group_right_after_a_rung_costs_no_epoch(tmp_path: Path, cache: Path) -> None:
    """As a terminal, `timeout` and Slurm send it. The first epoch is a rung, long before a checkpoint is due."""
    folder = tmp_path / "run"
    driver = Driver(*demo(cache, folder, trials=2, epochs=3000), "--grace-epochs", 1)
    driver.wait_for(lambda: count(events(folder), "epochs") >= 1)
    out, code = driver.end(signal.SIGTERM, to_group=True)
    assert code == 130, out
    assert f"--resume {folder}" in out
    assert "GCS" not in out
    trials = read_records(folder / "records.jsonl").trials.values()
    trained = {trial_name(trial.number): len(trial.epochs) for trial in trials if trial.epochs and trial.ended is None}
    assert trained
    saved = checkpoints(folder)
    assert all(saved.get(name, 0) >= epochs for name, epochs in trained.items()), (saved, trained)


@pytest.mark.slow
def test_signals_to_the_whole_group_at_twenty_random_moments(tmp_path: Path, cache: Path) -> None:
    """Each ends the run with its own words, and every fourth one a moment after the one before it, at once."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    folder, snapshots = tmp_path / "run", list[dict[str, int]]()
    for number in range(20):
        driver = Driver(*(["--resume", folder, "--cache-dir", cache] if number else demo(cache, folder, 60, 300)))
        wait_for_a_moment(driver, folder, 3 if number % 5 == 3 else 0, chance)
        kinds = [chance.choice(SIGNALS) for _ in range(2 if number % 4 == 3 else 1)]
        out, code = driver.end(*kinds, to_group=True)
        assert code == 130, out
        assert f"--resume {folder}" in out
        assert "GCS" not in out
        snapshots.append(checkpoints(folder))
    run("--resume", folder, "--cache-dir", cache)
    check_truth(folder, 60, snapshots)


@pytest.mark.slow
def test_when_rays_head_dies_the_run_says_so_and_how_to_go_on(tmp_path: Path, cache: Path) -> None:
    """By itself Ray tries for a minute to reach it again, without a word."""
    folder = tmp_path / "run"
    driver = Driver(*demo(cache, folder, trials=2, epochs=10_000))
    driver.wait_for(lambda: at_work(folder))
    (head,) = [pid for pid in driver.descendants() if "gcs_server" in read_text(Path(f"/proc/{pid}/cmdline"))]
    os.kill(head, signal.SIGKILL)
    driver.lost_ray = True
    out, code = driver.end()
    assert code == 2, out
    assert "error: Ray stopped working: gcs_server has died. What was done is kept." in out
    assert f"--resume {folder}" in out


@pytest.mark.slow
def test_a_batch_that_is_killed_and_stopped_ten_times_equals_the_one_that_was_not(tmp_path: Path, cache: Path) -> None:
    """Up to what is left to chance with one worker: nothing."""

    def batch(name: str) -> list[object]:
        options = demo(cache, tmp_path / name, trials=6, epochs=300)
        return [*options, "--split", "kfold:2", "--concurrency", 1]

    run(*batch("unbroken"))
    folder = tmp_path / "broken"
    chance = random.Random(0)
    kinds = [signal.SIGKILL] * 6 + [signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT]
    chance.shuffle(kinds)
    for number, kind in enumerate(kinds):
        driver = Driver(*(["--resume", folder, "--cache-dir", cache] if number else batch("broken")))
        lines = chance.randint(2, 6)
        begun = sum(len(events(fold)) for fold in folder.glob("fold-*"))
        driver.wait_for(lambda: sum(len(events(fold)) for fold in folder.glob("fold-*")) >= begun + lines)  # noqa: B023
        time.sleep(chance.random())
        out, code = driver.end(kind, to_group=kind is not signal.SIGKILL)
        assert code in (130, -signal.SIGKILL), out
        assert "GCS" not in out
    run("--resume", folder, "--cache-dir", cache)
    for fold in ("fold-1", "fold-2"):
        broken, unbroken = (read_run(tmp_path / name / fold) for name in ("broken", "unbroken"))
        assert [trial.params for trial in broken.records.trials.values()] == [
            trial.params for trial in unbroken.records.trials.values()
        ]
        assert [trial.value for trial in broken.records.trials.values()] == [
            trial.value for trial in unbroken.records.trials.values()
        ]
        assert broken.result is not None
        assert unbroken.result is not None
        assert broken.result["test"] == unbroken.result["test"]
        assert broken.result["test_reads"] == 1


def wait_for_a_moment(driver: Driver, folder: Path, kill: int, chance: random.Random) -> None:
    """The fourth kill comes while Ray starts, the last four in the finals, the others in the search."""
    session = count(events(folder), "session") + 1
    if kill == 3:
        driver.wait_for(lambda: bool(session_events(folder, session)))
        time.sleep(chance.uniform(0, 8))
        return
    kinds, most = (("final_start", "final_epochs", "final_end"), 5) if kill >= 6 else (("trial_start", "epochs"), 12)
    lines = chance.randint(1, most)
    driver.wait_for(lambda: count(session_events(folder, session), *kinds) >= lines)
    time.sleep(chance.uniform(0, 0.3))


@pytest.mark.slow
def test_a_full_disk_and_then_a_read_only_one(small_disk: Callable[[str], Path], cache: Path) -> None:
    """The run ends with the disk's error, keeps what it had, and goes on once there is room."""
    disk = small_disk("24m")  # the page alone takes five, and twice that while it is written
    folder = disk / "run"
    driver = Driver(*demo(cache, folder, trials=14, epochs=300))
    driver.wait_for(lambda: len(ended(folder)) >= 3)
    fill(disk / "filler")
    out, code = driver.end()
    assert code == 2, out
    assert re.search(r"error: the disk refused: No space left on device.*then --resume", " ".join(out.split()))
    assert "Traceback" not in out
    before, snapshots = ended(folder), [checkpoints(folder)]
    assert 3 <= len(before) < 14
    mount("-o", "remount,ro", str(disk))
    out = run("--resume", folder, "--cache-dir", cache, code=2)
    assert "the disk refused: Read-only file system" in out
    mount("-o", "remount,rw", str(disk))
    out = run("--resume", folder, "--cache-dir", cache, code=2)
    assert "the disk refused: No space left on device" in out
    (disk / "filler").unlink()
    run("--resume", folder, "--cache-dir", cache)
    check_truth(folder, 14, snapshots)
    assert all(ended(folder)[number] == trial for number, trial in before.items())


@pytest.fixture
def shared_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that can be frozen: until it is thawed, who writes there waits, as on network storage that is away."""
    image, folder = tmp_path / "image", tmp_path / "storage"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(folder, "-o", "loop,noatime", str(image)):
        yield folder
        subprocess.run(["fsfreeze", "--unfreeze", str(folder)], stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_storage_that_is_away_for_half_a_minute_costs_the_time_alone(shared_disk: Path, cache: Path) -> None:
    folder = shared_disk / "run"
    driver = Driver(*demo(cache, folder, trials=14, epochs=300))
    driver.wait_for(lambda: len(ended(folder)) >= 3)
    subprocess.run(["fsfreeze", "--freeze", str(shared_disk)], check=True)
    before = events(folder)
    time.sleep(30)
    assert events(folder) == before
    subprocess.run(["fsfreeze", "--unfreeze", str(shared_disk)], check=True)
    out, code = driver.end()
    assert code == 0, out
    check_truth(folder, 14, [])
    assert count(events(folder), "session") == 1
    assert events(folder)[: len(before)] == before


def fill(path: Path) -> None:
    """Take all the room that there is, and what becomes free meanwhile."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


@pytest.mark.slow
def test_a_trial_for_which_the_machine_has_no_memory_says_so(tmp_path: Path, cache: Path) -> None:
    """Ray's monitor ends its worker, twice. Stock Ray Tune would end the run."""
    total, available = memory("MemTotal"), memory("MemAvailable")
    if available < 12 * 2**30:
        pytest.skip("needs 12 GiB of free memory")
    folder = tmp_path / "run"
    driver = Driver(
        *demo(cache, folder, trials=1, epochs=30), "--finalists", 1,
        "--set", "model.width=8192", "--set", "model.layers=8",
        RAY_memory_usage_threshold=f"{(total - available + 4 * 2**30) / total:.4f}", RAY_memory_monitor_refresh_ms="50",
    )  # fmt: skip
    out, code = driver.end()
    assert code == 2, out
    reason = read_records(folder / "records.jsonl").trials[0].reason
    assert re.match(r"out of memory: Ray ended 2 workers with this trial\. .*running low on memory", reason)
    (trial,) = study_of(folder).trials
    assert (trial.state.name, trial.user_attrs["reason"]) == ("FAIL", reason)
    assert "1 trial ended without a validation score" in " ".join(out.split())


def memory(name: str) -> int:
    """A line of /proc/meminfo, in bytes."""
    line = next(line for line in read_text(Path("/proc/meminfo")).splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
