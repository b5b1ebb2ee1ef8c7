"""Trackers that cannot be reached, two senders at once, damaged positions, and `ser track`."""

from __future__ import annotations

import io
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.__main__ import app
from search.run_folder.run_view import read_run
from search.tracking import beside
from search.tracking.destination import Destination, destinations_of
from search.tracking.entries import run_key
from search.tracking.follower import Follower, sole_sender
from search.tracking.sent_file import followed, sent_path
from search.tracking.tracker import TrackerError
from ser_core.config import ConfigError
from tests.search.run_maker import RunMaker
from tests.search.tracking.readers import free_port, mlflow_server, read_mlflow, read_tensorboard

TENSORBOARD = Destination(tracker="tensorboard", place="", experiment="")


def ser_track(*words: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["track", *map(str, words)])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.slow
def test_what_a_server_that_is_down_missed_is_sent_when_it_is_back(
    run_maker: Callable[..., RunMaker], tmp_path: Path
) -> None:
    maker, port = run_maker(trials=4, max_epochs=6).search(2, fail_every=0), free_port()
    (place,) = destinations_of([f"mlflow=http://127.0.0.1:{port}"])
    follower = Follower(maker.folder, place)
    began = time.monotonic()
    with pytest.raises(TrackerError, match=rf"mlflow at http://127.0.0.1:{port}: ConnectionRefusedError"):
        follower.update(working=True)
    assert time.monotonic() - began < 60
    key = run_key(read_run(maker.folder))
    with mlflow_server(tmp_path / "server", port):
        follower.update(working=True)
        assert follower.problem == ""
        assert read_mlflow(place.place, key, place.experiment).keys() == {"run", "trial-00000", "trial-00001"}
    maker.start(2)
    maker.epochs(2, [0.5], worker="node-a/101", seconds=1.0)
    maker.end(2, "COMPLETE", "")
    with pytest.raises(TrackerError):
        follower.update(working=True)
    with mlflow_server(tmp_path / "server", port):
        code, out = ser_track(maker.folder, "--to", f"mlflow=http://127.0.0.1:{port}")
        assert code == 0, out
        found = read_mlflow(place.place, key, place.experiment)
        epochs = len(maker.writer.records.trials[0].epochs)
        assert {len(own) for own in found["trial-00000"].points.values()} == {epochs}
        assert (found["run"].state, found["run"].tags["status"]) == ("STOPPED", "KILLED")


def test_a_finished_run_and_all_runs_of_a_folder_are_sent_afterwards(run_maker: Callable[..., RunMaker]) -> None:
    one, two = (run_maker(name, trials=2, max_epochs=4).search(fail_every=0) for name in ("one", "two"))
    code, out = ser_track(one.folder.parent, "--to", "tensorboard")
    assert code == 0
    assert out == f"{one.folder} is at tensorboard {two.folder} is at tensorboard"
    for each in (one, two):
        assert read_tensorboard(each.folder / "tensorboard").keys() == {"run", "trial-00000", "trial-00001"}


def test_files_of_several_runs_may_go_to_one_folder(run_maker: Callable[..., RunMaker], tmp_path: Path) -> None:
    folder = run_maker("one", trials=1, max_epochs=4).search(fail_every=0).folder
    assert ser_track(folder, "--to", f"tensorboard={tmp_path / 'board'}")[0] == 0
    assert read_tensorboard(tmp_path / "board" / "one").keys() == {"run", "trial-00000"}
    assert not (folder / "tensorboard").exists()


def test_another_run_of_the_same_name_gets_a_folder_of_its_own(
    run_maker: Callable[..., RunMaker], tmp_path: Path
) -> None:
    board = tmp_path / "board"
    one = run_maker("a/one", trials=2, max_epochs=4, command="ser search --seed 1").search(fail_every=0).folder
    two = run_maker("b/one", trials=1, max_epochs=4, command="ser search --seed 2").search(fail_every=0).folder
    (board / "one").mkdir(parents=True)
    for folder in (one, two, one, two):
        shutil.rmtree(folder / "tracking", ignore_errors=True)
        code, out = ser_track(folder, "--to", f"tensorboard={board}")
        assert code == 0, out
    key = run_key(read_run(two))
    assert sorted(path.name for path in board.iterdir()) == ["one", f"one-{key}"]
    assert read_tensorboard(board / "one").keys() == {"run", "trial-00000", "trial-00001"}
    assert read_tensorboard(board / f"one-{key}").keys() == {"run", "trial-00000"}
    assert (board / f"one-{key}" / "run").read_text() == key
    shutil.rmtree(board / f"one-{key}")
    (board / f"one-{key}").mkdir()
    (board / f"one-{key}" / "notes.txt").write_text("of mine")
    code, out = ser_track(two, "--to", f"tensorboard={board}")
    assert (code, f"one-{key} holds something else than this run: move it away" in out) == (1, True)


def test_a_fault_of_what_is_sent_is_not_laid_on_the_tracker(
    run_maker: Callable[..., RunMaker], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def faulty(*_: object, **__: object) -> None:
        raise KeyError("wall_seconds")

    folder = run_maker(trials=2, max_epochs=4).search(fail_every=0).folder
    monkeypatch.setattr("search.tracking.follower.overview", faulty)
    follower = Follower(folder, TENSORBOARD)
    with pytest.raises(KeyError, match="wall_seconds"):
        follower.update(working=False)
    assert follower.problem == ""
    monkeypatch.setattr("sys.argv", ["beside", str(folder), *vars(TENSORBOARD).values()])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit, match="1"):
        beside.main()
    told = capsys.readouterr().out
    assert re.search(r"the tracker is not to blame: KeyError: 'wall_seconds' \(test_follower.py, line \d+\)", told)


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda folder: None, 1, "a run folder holds plan.json"),
        (lambda folder: RunMaker(folder).writer and (folder / "records.jsonl").write_text(""), 1, "has not begun"),
    ],
)
def test_what_is_no_run_cannot_be_sent(make: Callable[[Path], object], code: int, message: str, tmp_path: Path) -> None:
    make(tmp_path)
    before = sorted(tmp_path.iterdir())
    found, out = ser_track(tmp_path, "--to", "tensorboard")
    assert before == ([] if not before else sorted(set(tmp_path.iterdir()) - {tmp_path / "tracking"}))
    assert (found, message in out) == (code, True)
    assert ser_track(tmp_path / "nowhere", "--to", "tensorboard")[0] == 1
    assert ser_track(tmp_path, "--to", "tensorbord")[0] == 2


def test_a_run_is_sent_to_a_place_by_one_process(run_maker: Callable[..., RunMaker]) -> None:
    folder = run_maker(trials=1).search(fail_every=0).folder
    again = sole_sender(folder, TENSORBOARD)
    with sole_sender(folder, TENSORBOARD), pytest.raises(ConfigError, match=r"another process sends .* already"), again:
        pass


def test_damaged_positions_say_that_they_may_be_deleted(run_maker: Callable[..., RunMaker]) -> None:
    folder = run_maker(trials=1).search(fail_every=0).folder
    Follower(folder, TENSORBOARD, follows=True).update(working=True)
    assert followed(folder) == (TENSORBOARD,)
    path = sent_path(folder, TENSORBOARD)
    path.write_text(path.read_text()[:40])
    with pytest.raises(ConfigError, match=r"is not JSON.*delete .*\.json: everything is sent again"):
        Follower(folder, TENSORBOARD)


def test_positions_of_another_run_are_worth_nothing(run_maker: Callable[..., RunMaker]) -> None:
    folder = run_maker(trials=2, max_epochs=4).search(fail_every=0).folder
    Follower(folder, TENSORBOARD).update(working=False)
    plan = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(plan.replace("--model ast", "--model mlp"))
    (folder / "tensorboard" / "trial-00001").rename(folder / "elsewhere")
    Follower(folder, TENSORBOARD).update(working=False)
    assert read_tensorboard(folder / "tensorboard").keys() == {"run", "trial-00000", "trial-00001"}
