"""Where a run is sent: what may be asked for, and what the trackers' own variables say."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

import pytest

from search.tracking.destination import Destination, destinations_of
from search.tracking.trackers import tracker_names
from ser_core.config import ConfigError


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nobody has set anything up."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_DIR", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)


def one(text: str, experiment: str = "") -> Destination:
    (found,) = destinations_of([text], experiment)
    return found


def test_defaults_are_those_of_the_trackers(tmp_path: Path) -> None:
    assert one("mlflow") == Destination(
        tracker="mlflow", place=f"sqlite:///{tmp_path}/mlflow.db", experiment="ser-search"
    )
    assert one("tensorboard") == Destination(tracker="tensorboard", place="", experiment="")
    assert one("wandb") == Destination(tracker="wandb", place="", experiment="ser-search")


def test_the_trackers_own_variables_hold_and_options_go_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "emotions")
    monkeypatch.setenv("WANDB_PROJECT", "voices")
    monkeypatch.setenv("WANDB_DIR", "/data")
    assert (one("mlflow").place, one("mlflow").experiment) == ("http://tracker:5000", "emotions")
    assert (one("wandb").place, one("wandb").experiment) == ("/data", "voices")
    given = one("mlflow=http://other:80", "mine")
    assert (given.place, given.experiment) == ("http://other:80", "mine")
    assert given.options == "--to mlflow=http://other:80 --experiment mine"
    spaced = one("mlflow=http://other:80", "mine & yours").options
    assert shlex.split(spaced) == ["--to", "mlflow=http://other:80", "--experiment", "mine & yours"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("sqlite:///own.db", "sqlite:///{here}/own.db"),
        ("sqlite+pysqlite:///own.db", "sqlite+pysqlite:///{here}/own.db"),
        ("sqlite:////data/own.db", "sqlite:////data/own.db"),
        ("sqlite+pysqlite:////data/own.db", "sqlite+pysqlite:////data/own.db"),
        ("file:my%20runs", "file://{here}/my%20runs"),
        ("file:./mlruns", "file://{here}/mlruns"),
        ("file:///data/mlruns", "file:///data/mlruns"),
        ("mlruns", "{here}/mlruns"),
    ],
)
def test_a_relative_place_holds_from_any_folder(given: str, place: str, tmp_path: Path) -> None:
    assert one(f"mlflow={given}").place == place.format(here=tmp_path)


def test_an_address_in_a_variable_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@[tracker:5000")
    with pytest.raises(ConfigError, match=r"--track mlflow: http://…@\[tracker:5000 is no address"):
        destinations_of(["mlflow"])


def test_a_password_in_the_environment_is_used_and_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@tracker:5000")
    assert one("mlflow").place == "http://tracker:5000"
    from search.tracking.trackers.mlflow import with_credentials

    assert with_credentials("http://tracker:5000") == "http://me:secret@tracker:5000"
    assert with_credentials("http://other:5000") == "http://other:5000"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["mlfow"], r"--track mlfow: unknown tracker; known: mlflow, tensorboard, wandb, none. Did you mean mlflow\?"),
        (["mlflow=ftp://host"], "a tracking URI starts with http://, .*got ftp://host"),
        (["mlflow=http://me:secret@host"], "an address with a password would be kept in the run folder"),
        (["none", "mlflow"], "--track none excludes other trackers"),
        (["tensorboard=file"], "file is a file; name a folder"),
        (["mlflow=http://me:secret@[host"], r"--track mlflow: http://…@\[host is no address: .*; write it as http://"),
        (["mlflow=http://[host", "wandbb"], r"(?s)http://\[host is no address.*--track wandbb: unknown tracker"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_to_do(texts: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message) as caught:
        destinations_of(texts)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", tracker_names())
def test_a_tracker_that_is_not_installed_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("search.tracking.tracker.find_spec", lambda package: None if package == name else find(package))
    with pytest.raises(ConfigError, match=rf"--track {name}: it needs {name}.*pip install 'ser-search\[{name}\]'"):
        destinations_of([name])


def test_wandb_without_a_key_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    with pytest.raises(ConfigError, match=r"W&B knows no key of yours: `wandb login`, or set WANDB_API_KEY"):
        destinations_of(["wandb"])
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    assert one("wandb").tracker == "wandb"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(ConfigError, match="WANDB_MODE must be online or offline; got disabled"):
        destinations_of(["wandb"])


def test_none_stands_for_no_tracker() -> None:
    assert destinations_of(["none"]) == ()
    assert destinations_of(["tensorboard", "tensorboard"]) == (one("tensorboard"),)
