"""Every tracker: a run is there whole, as one run, and nothing is there twice, whatever ended a session."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.run_folder.records import Phase, TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.run_view import read_run
from search.tracking.destination import Destination, destinations_of
from search.tracking.entries import run_key
from search.tracking.follower import Follower
from search.tracking.trackers import tracker_names
from tests.search.run_maker import RunMaker
from tests.search.tracking.readers import Read, free_port, mlflow_server, read_mlflow, read_tensorboard, read_wandb

EPOCH_VALUES = ("train_loss", "val_loss", "val_uar", "val_war", "learning_rate", "seconds")


@pytest.fixture(scope="module")
def mlflow_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as address:
        yield address


SLOW = {"mlflow": pytest.mark.slow}  # its server takes ten seconds to start


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in tracker_names()])
def destination(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Destination:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    place = f"={request.getfixturevalue('mlflow_address')}" if request.param == "mlflow" else ""
    (one,) = destinations_of([f"{request.param}{place}"])
    return one


@pytest.fixture
def maker(run_maker: Callable[..., RunMaker], tmp_path: Path) -> RunMaker:
    """A run of which nothing has happened yet, unlike those of other tests, with which it shares a server."""
    return run_maker("study", trials=6, max_epochs=6, command=f"ser search --run-dir {tmp_path}")


def send(folder: Path, destination: Destination, *, working: bool = False) -> Follower:
    """A session of its own."""
    follower = Follower(folder, destination)
    follower.update(working=working)
    follower.close()
    return follower


def read(folder: Path, destination: Destination) -> dict[str, Read]:
    key = run_key(read_run(folder))
    if destination.tracker == "mlflow":
        return read_mlflow(destination.place, key, destination.experiment)
    return read_tensorboard(folder / "tensorboard") if destination.tracker == "tensorboard" else read_wandb(folder, key)


def finished(maker: RunMaker) -> Path:
    """A run with a page and model folders, as far as they matter here."""
    folder = maker.search(fail_every=4).finish().folder
    (folder / "dashboard.html").write_text("<p>page</p>")
    model = folder / read_run(folder).result["winner"]["models"][0]  # type: ignore[index]
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "README.md").write_text("# The card")
    return folder


def check(folder: Path, destination: Destination) -> dict[str, Read]:
    """All that the records hold is there, once."""
    found, records = read(folder, destination), read_records(folder / "records.jsonl")
    finals = {f"{each.phase}-{each.trial:05d}-seed-{each.seed}": each for each in records.finals}
    trials = {f"trial-{number:05d}": trial for number, trial in records.trials.items()}
    assert found.keys() == {"run", *trials, *finals}
    for name, trained in {**trials, **finals}.items():
        expected: dict[str, Any] = {}
        for report in trained.epochs:
            for value in EPOCH_VALUES:
                number = report.as_json().get(value, math.nan)
                if number == number:
                    expected.setdefault(value, []).append((report.epoch, pytest.approx(number, abs=1e-6)))
        assert found[name].points == expected, name
        assert found[name].parent == "run"
    for name, trial in trials.items():
        assert (found[name].state, found[name].reason) == (trial.state, trial.reason)
        wanted = {knob: str(value) for knob, value in trial.params.items()}
        assert found[name].params.keys() == wanted.keys()
        assert all(same(found[name].params[knob], wanted[knob]) for knob in wanted)
    return found


def same(one: str, other: str) -> bool:
    """The same value, however a tracker writes numbers."""
    try:
        return float(one) == pytest.approx(float(other), rel=1e-6)
    except ValueError:
        return one == other


def test_a_finished_run_is_there_whole(maker: RunMaker, destination: Destination) -> None:
    folder = finished(maker)
    send(folder, destination)
    found, result = check(folder, destination), read_run(folder).result
    assert result is not None
    run = found["run"]
    assert run.state == "COMPLETE"
    assert run.params["model"] == "ast"
    test = result["test"]["ensemble"]["uar"]
    low, high = test["interval"]
    for name, value in {"test_uar": test["value"], "test_uar_low": low, "test_uar_high": high}.items():
        assert run.scores[name] == pytest.approx(value, abs=1e-6)
    assert [step for step, _ in run.points["best_score"]] == list(range(1, 7))
    assert run.points["best_score"][-1][1] == pytest.approx(result["search"]["best"]["val_uar"], abs=1e-6)
    model = result["winner"]["models"][0]
    page = {"dashboard.html", "result.json", "plan.json", f"{model}/model.safetensors"}
    assert run.files >= ({f"{model}/README.md"} | (set() if destination.tracker == "tensorboard" else page))


def test_nothing_is_there_twice_after_a_session_that_noted_nothing(maker: RunMaker, destination: Destination) -> None:
    folder = finished(maker)
    send(folder, destination)
    before = check(folder, destination)
    shutil.rmtree(folder / "tracking")  # as if the process had ended before its first note
    send(folder, destination)
    assert check(folder, destination) == before
    send(folder, destination)
    assert check(folder, destination) == before


def test_what_was_sent_and_not_noted_is_there_once(maker: RunMaker, destination: Destination) -> None:
    maker.search(4)
    first = send(maker.folder, destination, working=True)
    noted = {path: path.read_bytes() for path in (maker.folder / "tracking").glob("*.json")}
    assert first.problem == ""
    maker.start(4)
    maker.epochs(4, [0.2, 0.3])
    send(maker.folder, destination, working=True)
    for path, content in noted.items():
        path.write_bytes(content)
    maker.epochs(4, [0.4])
    send(maker.folder, destination)
    assert check(maker.folder, destination)["run"].state == "STOPPED"


def test_an_interrupted_run_that_goes_on_is_one_run(maker: RunMaker, destination: Destination) -> None:
    maker.search(3)
    maker.start(3)
    maker.epochs(3, [0.2, 0.3])
    send(maker.folder, destination)
    found = check(maker.folder, destination)
    assert (found["run"].state, found["trial-00003"].state) == ("STOPPED", "RUNNING")
    maker.writer.session()
    maker.epochs(3, [0.4])
    maker.end(3, "FAIL", "out of memory: 512 MiB wanted")
    maker.writer.final_started(Phase.FINALIST, 0, 1)
    maker.writer.final_ended(Phase.FINALIST, 0, 1, "diverged: loss is nan")
    send(maker.folder, destination, working=True)
    found = check(maker.folder, destination)
    assert (found["run"].state, found["finalist-00000-seed-1"].state) == ("RUNNING", "FAIL")
    maker.writer.final_started(Phase.FINALIST, 0, 1)
    maker.writer.final_ended(Phase.FINALIST, 0, 1)
    send(maker.folder, destination)
    found = check(maker.folder, destination)
    assert (found["run"].state, found["finalist-00000-seed-1"].state) == ("STOPPED", "COMPLETE")


def test_one_session_sends_epochs_as_they_come(maker: RunMaker, destination: Destination) -> None:
    maker.start(0)
    follower = Follower(maker.folder, destination)
    for uar in (0.2, 0.3, 0.4):
        maker.epochs(0, [uar])
        follower.update(working=True)
        if destination.tracker != "wandb":  # which writes its files in blocks
            assert len(read(maker.folder, destination)["trial-00000"].points["val_uar"]) == round(10 * uar) - 1
    maker.end(0, TrialState.COMPLETE)
    follower.update(working=False)
    follower.close()
    check(maker.folder, destination)


def test_a_run_of_a_batch_carries_its_name(maker: RunMaker, destination: Destination) -> None:
    (maker.folder.parent / "batch.json").write_text("{}")
    maker.search(1)
    send(maker.folder, destination)
    run = read(maker.folder, destination)["run"]
    batch = maker.folder.parent.name
    assert batch in (run.tags.get("batch"), run.tags.get("ser-search.batch"))
    if destination.tracker == "wandb":
        assert (run.tags["group"], run.tags["tags"]) == (f"{batch}/study", batch)
