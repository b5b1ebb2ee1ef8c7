"""What the driver does between the epochs: the page of the run is drawn beside it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from search.driver import heartbeat
from search.driver.heartbeat import Heartbeat
from search.run_folder.records import RunRecords

PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def _due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "DASHBOARD_SECONDS", 0.0)


def beating(folder: Path, said: list[str]) -> Heartbeat:
    progress = cast(Any, SimpleNamespace(update=lambda: None, message=said.append))
    return Heartbeat(folder, RunRecords(), progress, lambda: False)


def test_the_driver_goes_on_while_the_page_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on, drawn = threading.Event(), threading.Event(), list[threading.Thread]()

    def draw(_folder: Path) -> None:
        begun.set()
        assert goes_on.wait(PATIENCE_SECONDS)
        drawn.append(threading.current_thread())

    monkeypatch.setattr(heartbeat, "write_dashboard", draw)
    with beating(tmp_path, []) as beat:
        beat.tick()
        assert begun.wait(PATIENCE_SECONDS)
        beat.tick()  # one is enough
        assert drawn == []
        goes_on.set()
    assert len(drawn) == 1
    assert drawn[0] is not threading.current_thread()


def test_the_last_page_comes_after_one_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, order = threading.Event(), list[str]()

    def draw(_folder: Path) -> None:
        name = "last" if threading.current_thread() is threading.main_thread() else "beside"
        order.append(f"{name} begins")
        begun.set()
        order.append(f"{name} ends")

    monkeypatch.setattr(heartbeat, "write_dashboard", draw)
    with beating(tmp_path, []) as beat:
        beat.tick()
        assert begun.wait(PATIENCE_SECONDS)
        beat.draw_page()
    assert order == ["beside begins", "beside ends", "last begins", "last ends"]


def test_a_page_that_cannot_be_drawn_costs_no_run(tmp_path: Path) -> None:
    said: list[str] = []
    with beating(tmp_path, said) as beat:
        beat.tick()
    assert len(said) == 1
    assert said[0].startswith("dashboard.html could not be drawn (RunFolderError: ")
