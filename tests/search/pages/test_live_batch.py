"""The live page of a batch: a line for each run, the way to its own page, and stops of one run and of all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from search.dashboard import _facts
from search.driver.batch import Batch
from search.driver.options import Options
from search.interruption import request_stop, stop_requested
from search.pages.live_batch import BatchFacts
from search.pages.live_view import LiveError, LiveView
from search.pages.write import write_comparison
from search.run_folder.paths import COMPARISON_FILE, PLAN_FILE, PROTOCOL_PAGE_FILE, RECORDS_FILE, RESULT_FILE
from search.run_folder.records_reader import read_records
from tests.search.pages.test_live_view import PATIENCE_MS, REPOSITORY, ask, served
from tests.search.run_maker import RunMaker

Open = Callable[..., Any]
Maker = Callable[..., Any]
FACTS = BatchFacts(runs=("fold-1", "fold-2", "fold-3"), models=("ast",), protocol="kfold:3")


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """The first run has ended, the second one searches, the third has not begun."""
    folder = tmp_path / "batch"
    RunMaker(folder / "fold-1").search(12).finish()
    RunMaker(folder / "fold-2").search(6)
    return folder


def cells(page: Any, row: int) -> list[str]:
    texts: list[str] = page.locator(f"#runs tbody tr:nth-child({row}) td").all_inner_texts()
    return texts


def test_a_folder_of_runs_says_which_runs_it_is_about(tmp_path: Path) -> None:
    options = Options(model="mlp,ast", data="demo", split="kfold:2")
    Batch(
        models=("mlp", "ast"), protocol="kfold:2", folds=("kfold:2:1", "kfold:2:2"), search_per_fold=True,
        options=options,
    ).save(tmp_path)  # fmt: skip
    facts = _facts(tmp_path)
    assert facts is not None
    assert facts.runs == ["mlp-fold-1", "mlp-fold-2", "ast-fold-1", "ast-fold-2"]
    assert (facts.models, facts.protocol) == (("mlp", "ast"), "kfold:2")
    assert _facts(tmp_path / "mlp-fold-1") is None


def test_the_lines_follow_the_runs(open_page: Open, batch: Path) -> None:
    with served(batch, batch=FACTS) as view:
        opened = open_page(view.address)
        page = opened.page
        done, going, waiting = (cells(page, row) for row in (1, 2, 3))
        assert done[:3] == ["fold-1", "done", "12 of 40"]
        assert done[4].endswith("%")
        assert going[:3] == ["fold-2", "search", "6 of 40"]
        assert going[4] == "–"
        assert going[5] != "–"
        assert going[6].endswith("ago")
        assert going[7] == "Stop"
        assert waiting == ["fold-3", "not begun", "–", "–", "–", "–", "", ""]
        assert "1 of 3" in page.locator(".tile.hero").inner_text()
        page.get_by_role("button", name="Stop", exact=True).focus()
        RunMaker(batch / "fold-3").search(2)
        expect(page.locator("#runs tbody tr:nth-child(3) td").nth(1)).to_have_text("search", timeout=PATIENCE_MS)
        assert page.evaluate("document.activeElement.dataset.what") == "fold-2"
        assert opened.problems == []


def test_a_run_has_its_own_page_there_with_its_own_button(open_page: Open, batch: Path) -> None:
    with served(batch, batch=FACTS) as view:
        opened = open_page(view.address)
        page = opened.page
        page.get_by_role("link", name="fold-2").click()
        page.wait_for_selector("#trial-table tbody tr")
        assert page.url.endswith("/runs/fold-2/")
        page.on("dialog", lambda dialog: dialog.accept())
        page.locator("#stop").click()
        expect(page.locator("#live-status")).to_contain_text("Asked to stop", timeout=PATIENCE_MS)
        assert stop_requested(batch / "fold-2")
        assert not stop_requested(batch)
        assert opened.problems == []
        assert ask(view, "GET", "/runs/fold-3/").status == 503  # it has not begun
        assert ask(view, "GET", "/runs/else/").status == 404
        assert ask(view, "GET", "/runs/../plan.json").status == 404


def test_stops_of_one_run_and_of_all_are_left_where_their_drivers_look(open_page: Open, batch: Path) -> None:
    with served(batch, batch=FACTS) as view:
        opened = open_page(view.address)
        page = opened.page
        asked: list[str] = []
        page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.get_by_role("button", name="asked to stop")).to_be_disabled(timeout=PATIENCE_MS)
        assert stop_requested(batch / "fold-2")
        assert not stop_requested(batch)
        page.locator("#stop").click()
        expect(page.locator("#stop")).to_be_disabled(timeout=PATIENCE_MS)
        assert stop_requested(batch)
        assert [text.partition("?")[0] for text in asked] == ["Stop fold-2", "Stop all runs"]
        assert opened.problems == []
        for path in ("/stop", "/runs/fold-2/stop"):
            assert ask(view, "POST", path, X_Token="else").status == 403
        assert ask(view, "POST", "/runs/fold-1/stop", X_Token=view.token).status == 409
        assert ask(view, "POST", "/runs/else/stop", X_Token=view.token).status == 404


def test_without_the_token_there_are_no_buttons(open_page: Open, batch: Path) -> None:
    with served(batch, batch=FACTS) as view:
        page = open_page(view.address.partition("#")[0]).page
        assert page.locator("#stop").is_hidden()
        assert page.get_by_text("Stop", exact=True).is_hidden()


def test_what_runs_say_together_is_a_page_away_as_soon_as_it_is_written(open_page: Open, batch: Path) -> None:
    with served(batch, batch=FACTS) as view:
        opened = open_page(view.address)
        page = opened.page
        assert page.locator("#together a").count() == 0
        assert ask(view, "GET", f"/{PROTOCOL_PAGE_FILE}").status == 503
        RunMaker(batch / "fold-2").search(12).finish()
        write_comparison(batch / COMPARISON_FILE, [batch / "fold-1", batch / "fold-2"])
        expect(page.locator("#together a")).to_have_text("the models compared so far", timeout=PATIENCE_MS)
        page.locator("#together a").click()
        page.wait_for_selector("html[data-drawn]")
        assert "2 runs compared" in page.locator("h1").inner_text()
        assert opened.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(scheme: str, open_page: Open, batch: Path) -> None:
    with served(batch, batch=FACTS) as view:
        opened = open_page(view.address, width=390, scheme=scheme)
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
        assert opened.problems == []


def test_a_batch_has_no_one_study(batch: Path) -> None:
    with pytest.raises(LiveError, match=r"each run of .* has its own"):
        LiveView(batch, optuna_dashboard=True, batch=FACTS)


@pytest.mark.slow  # a real batch
def test_a_stop_of_one_run_ends_it_alone_and_one_of_the_batch_ends_all(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "batch"
    data = ["--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache, "--split", "kfold:2"]
    limits = ["--trials", 500, "--max-epochs", 6, "--folds", 1, "--finalists", 1, "--seeds", 1]
    words = [*data, *limits, "--model", "mlp", "--run-dir", folder]
    driver = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "search" / "run.py"), *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    try:
        one, two = folder / "fold-1", folder / "fold-2"
        wait_for(lambda: ended(one) > 0 and ended(two) > 0, driver)
        request_stop(one)
        wait_for(lambda: not stop_requested(one), driver)
        known = ended(two)
        wait_for(lambda: ended(two) > known + 3, driver)
        assert not (one / RESULT_FILE).exists()
        request_stop(folder)
        out, _ = driver.communicate(timeout=180)
    finally:
        driver.send_signal(signal.SIGKILL)
    assert driver.returncode == 130
    assert "fold-1 could not be run: it was asked to stop" in out
    assert f"--resume {folder}" in " ".join(out.split())
    assert not stop_requested(folder)
    assert not (two / RESULT_FILE).exists()


def ended(folder: Path) -> int:
    if not (folder / PLAN_FILE).exists() or not (folder / RECORDS_FILE).exists():
        return 0
    return sum(trial.ended is not None for trial in read_records(folder / RECORDS_FILE).trials.values())


def wait_for(happened: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 600
    while not happened():
        assert driver.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.1)
