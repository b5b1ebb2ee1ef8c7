"""Real searches with trackers beside them: killed and resumed, with a server that is down meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search.driver.options import Options
from search.driver.tracking import asked_destinations, tracked
from search.run_folder.records_reader import read_records
from search.run_folder.run_view import read_run
from search.tracking.destination import Destination
from search.tracking.entries import run_key
from search.tracking.sent_file import followed, sent_path
from ser_core.config import ConfigError
from tests.search.run_maker import RunMaker
from tests.search.tracking.readers import Read, free_port, mlflow_server, read_mlflow, read_tensorboard

REPOSITORY = Path(__file__).parents[3]
LONGEST = 600.0


def driver(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPOSITORY / "search" / "run.py"), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, out
    return " ".join(out.split())


def epochs_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Validation UARs by trial, as the records have them."""
    trials = read_records(folder / "records.jsonl").trials.values()
    return {
        f"trial-{trial.number:05d}": [(each.epoch, pytest.approx(each.score("uar"), abs=1e-6)) for each in trial.epochs]
        for trial in trials
    }


def check(found: dict[str, Read], folder: Path) -> None:
    """One run, with every epoch once."""
    uars = {name: read.points.get("val_uar", []) for name, read in found.items() if name.startswith("trial-")}
    assert uars == epochs_of(folder)
    assert sum(name.startswith("refit-") for name in found) == 1
    assert found["run"].state == "COMPLETE"
    test = json.loads((folder / "result.json").read_text())["test"]
    assert found["run"].scores["test_uar"] == pytest.approx(test["uar"]["mean"], abs=1e-6)


@pytest.mark.slow
def test_a_killed_and_resumed_run_is_one_run_although_the_server_was_down(tmp_path: Path, cache: Path) -> None:
    folder, port = tmp_path / "run", free_port()
    address = f"http://127.0.0.1:{port}"
    first = driver(
        "--model", "mlp", "--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache, "--folds", 1,
        "--trials", 6, "--max-epochs", 40, "--finalists", 1, "--seeds", 1, "--concurrency", 1, "--run-dir", folder,
        "--track", f"mlflow={address}", "--track", "tensorboard",
    )  # fmt: skip
    limit = time.monotonic() + LONGEST
    while not any(len(trial.epochs) > 3 for trial in read_records(folder / "records.jsonl").trials.values()):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    places = {place.tracker: place for place in followed(folder)}
    while not (folder / "tensorboard").exists() or len(places) < 2:  # their processes go on for a moment
        time.sleep(0.2)
        places = {place.tracker: place for place in followed(folder)}
        assert time.monotonic() < limit
    with mlflow_server(tmp_path / "server", port):
        out = ended(driver("--resume", folder, "--cache-dir", cache))
        key = run_key(read_run(folder))
        found = read_mlflow(address, key, places["mlflow"].experiment)
        check(found, folder)
        assert "dashboard.html" in found["run"].files
        assert any(name.endswith("model.safetensors") for name in found["run"].files)
    assert "Not everything was sent" not in out
    check(read_tensorboard(folder / "tensorboard"), folder)


def test_a_server_that_is_down_delays_no_run_and_the_way_on_is_named(run_maker: Callable[..., RunMaker]) -> None:
    folder, said = run_maker(trials=2, max_epochs=4).search(fail_every=0).folder, list[str]()
    nowhere = Destination(tracker="mlflow", place=f"http://127.0.0.1:{free_port()}", experiment="x")
    with tracked(folder, [nowhere], said.append):
        limit = time.monotonic() + LONGEST
        while not said:
            assert time.monotonic() < limit
            time.sleep(0.1)
    assert "The run goes on; what is not sent is kept and tried again" in said[0]
    assert said[-1].endswith(f"ser track {folder} {nowhere.options}")
    assert json.loads(sent_path(folder, nowhere).read_text())["problem"]


def test_what_the_folder_was_sent_to_is_followed_again(run_maker: Callable[..., RunMaker]) -> None:
    folder = run_maker(trials=2, max_epochs=4).search(fail_every=0).finish().folder
    (board,) = asked_destinations(Options(track=["tensorboard"]), None)
    said: list[str] = []
    with tracked(folder, [board], said.append):
        pass
    assert said == []
    assert read_tensorboard(folder / "tensorboard")["run"].state == "COMPLETE"
    assert asked_destinations(Options(), folder) == (board,)
    assert asked_destinations(Options(track=["none"]), folder) == ()


def test_an_experiment_needs_a_tracker() -> None:
    with pytest.raises(ConfigError, match="--experiment mine names one of a tracker; give --track too"):
        asked_destinations(Options(experiment="mine"), None)
