"""Runs of a batch at the same time: whose turn it is, and what one that fails does to the others. Without Ray."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray
from rich.console import Console

from search.driver.batch import Member
from search.driver.one_run import Means
from search.driver.options import Options
from search.driver.side_by_side import StoppedAlone, run_together
from search.interruption import Interrupted
from search.run_folder.limits import Limits
from search.workers import pool
from ser_core.config import ConfigError

RunOne = Callable[[str, Means], object]

PATIENCE_SECONDS = 60

NOTHING = cast(Any, SimpleNamespace(stores={}, development=()))
"""All that is read of a `Training` before Ray is up."""


def together(
    run_one: RunOne,
    folder: Path,
    *,
    names: tuple[str, ...] = ("a", "b", "c"),
    after: str = "",
    after_each: Callable[[], object] = lambda: None,
) -> tuple[dict[str, Exception], str]:
    """Do `run_one(name, means)` of each -> problems, and what was printed."""
    members = [Member(folder=name, model="mlp", taken_from=after if name != after else "") for name in names]
    due = [(member, Options(run_dir=folder / member.folder)) for member in members]
    out = io.StringIO()

    def run(options: Options, _console: Console, means: Means) -> None:
        assert options.run_dir is not None
        run_one(options.run_dir.name, means)

    return run_together(due, folder, run, Console(file=out, width=200), after_each=after_each), out.getvalue()


def test_every_run_has_its_turn_in_a_thread_of_its_own(tmp_path: Path) -> None:
    seen: dict[str, tuple[threading.Thread, int]] = {}
    problems, text = together(
        lambda name, means: seen.update({name: (threading.current_thread(), means.runs)}), tmp_path
    )
    assert problems == {}
    assert list(seen) == ["a", "b", "c"]
    assert len({thread for thread, _ in seen.values()} | {threading.main_thread()}) == 4
    assert {runs for _, runs in seen.values()} == {3}
    assert "c is done | 3 of 3 runs ended" in text


def test_an_error_that_the_user_can_mend_ends_one_run_alone(tmp_path: Path) -> None:
    done: list[str] = []

    def run(name: str, _means: Means) -> None:
        if name == "b":
            raise ConfigError("train has no sad")
        done.append(name)

    problems, text = together(run, tmp_path)
    assert done == ["a", "c"]
    assert {name: str(error) for name, error in problems.items()} == {"b": "train has no sad"}
    assert "b could not be run: train has no sad" in text


def test_what_fails_between_two_runs_is_said_and_costs_neither(tmp_path: Path) -> None:
    def after_each() -> None:
        raise ValueError("the folds are of different corpora")

    problems, text = together(lambda name, means: None, tmp_path, after_each=after_each)
    assert problems == {}
    assert "could not be written: the folds are of different corpora" in text


def test_a_run_that_is_stopped_by_itself_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    done: list[str] = []

    def run(name: str, means: Means) -> None:
        if name == "a":
            raise Interrupted
        assert not means.by_signal()
        done.append(name)

    problems, _ = together(run, tmp_path)
    assert done == ["b", "c"]
    assert isinstance(problems["a"], StoppedAlone)
    assert "--resume goes on with it" in str(problems["a"])


def test_any_other_error_ends_them_all_and_comes_out(tmp_path: Path) -> None:
    done: list[str] = []

    def run(name: str, means: Means) -> None:
        if name == "a":
            raise OSError(28, "No space left on device")
        done.append(name)

    with pytest.raises(OSError, match="No space left"):
        together(run, tmp_path)
    assert done == []


def test_who_takes_the_winner_of_another_run_waits_for_it(tmp_path: Path) -> None:
    done: list[str] = []
    problems, _ = together(lambda name, means: done.append(name), tmp_path, names=("a", "b", "z"), after="z")
    assert problems == {}
    assert done[0] == "z"
    assert sorted(done) == ["a", "b", "z"]


def test_a_ray_that_cannot_be_reached_is_a_problem_of_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself looks for minutes before it gives up."""

    def refuse(**_: object) -> None:
        raise ConnectionError("no cluster there")

    monkeypatch.setattr(ray, "init", refuse)

    def run(_name: str, means: Means) -> None:
        limits = Limits(address="127.0.0.1:1")
        with means.workers.pool(NOTHING, limits, log=print, interrupted=lambda: False):
            raise AssertionError("there is no Ray at that address")

    problems, _ = together(run, tmp_path)
    assert list(problems) == ["a", "b", "c"]
    assert {type(error) for error in problems.values()} == {ConnectionError}


def test_ray_ends_while_the_last_run_is_concluded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, left = threading.Event(), list[str]()

    @contextmanager
    def session(*_: object, **__: object) -> Iterator[None]:
        yield
        ended.set()

    monkeypatch.setattr(pool, "ray_session", session)
    monkeypatch.setattr(pool, "_prepared", lambda *_: (None, None))

    def run(name: str, means: Means) -> None:
        with means.workers.pool(NOTHING, Limits(), log=print, interrupted=lambda: False):
            assert not ended.is_set()
        left.append(name)
        assert ended.wait(PATIENCE_SECONDS if len(left) == 3 else 0) is (len(left) == 3)

    assert together(run, tmp_path)[0] == {}
    assert len(left) == 3
