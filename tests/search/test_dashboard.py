from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from search.dashboard import build_page, write_dashboard
from search.figures import figure_modules
from search.view import read_run

HOSTILE = "</script><img src=x onerror=alert(1)><b>joy</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class OpenedPage:
    """A page opened from disk without a network; `problems` collects console errors and requests to elsewhere."""

    def __init__(self, browser: Browser, path: Path, *, width: int = 1440, scheme: Any = "light") -> None:
        self.problems: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on("dialog", lambda dialog: self._note(True, dialog.message))
        self.page.on("request", lambda request: self._note(request.url != path.as_uri(), request.url[:200]))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]", timeout=90_000)

    def _note(self, bad: bool, text: str) -> None:
        if bad and not text.startswith(("data:", "blob:")):
            self.problems.append(text)

    def drawn(self, name: str) -> dict[str, Any]:
        """What plotly holds for a figure after drawing: {data, layout}."""
        script = "([name]) => { const d = document.getElementById(name); return {data: d.data, layout: d.layout}; }"
        found: dict[str, Any] = self.page.evaluate(script, [name])
        return found


def test_page_from_disk_shows_the_numbers_of_the_result(browser: Browser, run_maker: Callable[..., Any]) -> None:
    maker = run_maker("study").search().finish()
    result = json.loads((maker.folder / "result.json").read_text())
    opened = OpenedPage(browser, write_dashboard(maker.folder))
    assert opened.problems == []
    test_point = next(trace for trace in opened.drawn("fall")["data"] if trace.get("name") == "test")
    assert test_point["y"] == [round(100 * result["test"]["uar"]["mean"], 2)]
    assert opened.drawn("confusion")["data"][0]["customdata"] == result["test"]["confusion"]
    assert opened.page.locator(".tile.hero .value").inner_text() == f"{100 * result['test']['uar']['mean']:.1f}\u00a0%"
    assert opened.page.locator(".js-plotly-plot").count() == len(figure_modules())
    assert opened.page.locator(".banner").count() == 0


def test_page_fits_a_phone_in_the_dark_and_follows_the_reader(browser: Browser, run_maker: Callable[..., Any]) -> None:
    maker = run_maker("study").search().finish()
    opened = OpenedPage(browser, write_dashboard(maker.folder), width=390, scheme="dark")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.drawn("slices")["layout"]["height"] > 1200  # one column
    dark = opened.drawn("recall")["data"][0]["marker"]["color"]
    opened.page.emulate_media(color_scheme="light")
    opened.page.wait_for_selector("html[data-drawn=light]", timeout=90_000)
    assert opened.drawn("recall")["data"][0]["marker"]["color"] != dark
    assert opened.problems == []


def test_hostile_names_stay_text(browser: Browser, run_maker: Callable[..., Any]) -> None:
    classes = ["neutral", HOSTILE, "sad"]
    corpus = {"name": HOSTILE, "clips": 90, "speakers": 3, "classes": classes, "synthetic": False}
    skipped = [{"path": HOSTILE, "reason": HOSTILE}]
    maker = run_maker("study", corpus={**corpus, "skipped": skipped}, command=HOSTILE)
    maker.search(12, fail_every=0)
    maker.start(12)
    maker.epochs(12, [0.2], worker=HOSTILE)
    maker.end(12, "FAIL", HOSTILE)
    maker.finish()
    opened = OpenedPage(browser, write_dashboard(maker.folder))
    assert opened.problems == []
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("h1").inner_text() == f"ast on {HOSTILE}"
    assert opened.page.locator("figure b, figure a, svg a").count() == 0


def test_run_without_a_trial_has_a_page(browser: Browser, run_maker: Callable[..., Any]) -> None:
    opened = OpenedPage(browser, write_dashboard(run_maker("study").folder))
    assert opened.problems == []
    assert "not finished" in opened.page.locator(".pill").inner_text()
    assert opened.page.locator("main").inner_text().count("No trial has finished an epoch yet.") == 2


def test_page_says_synthetic_and_not_speaker_independent(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("study", synthetic=True, split="random", speaker_independent=False)
    page = build_page(read_run(maker.search(5).folder))
    assert "<strong>Synthetic corpus.</strong>" in page
    assert "<strong>Not speaker-independent.</strong>" in page


def test_page_holds_plotly_once_and_no_outside_address(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("many", trials=1000, max_epochs=50).search().finish()
    page = write_dashboard(maker.folder).read_text(encoding="utf-8")
    assert len(page.encode()) < 8_000_000
    assert page.count("plotly.js v") == 1
    own = html.unescape(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL))
    assert re.findall(r"(?:https?:)?//[\w.]+", own) == []
    assert "default-src 'none'" in own


def test_page_is_written_whole_or_not_at_all(run_maker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    maker = run_maker("study")
    path = write_dashboard(maker.folder)
    before = path.read_text(encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        write_dashboard(maker.folder)
    assert path.read_text(encoding="utf-8") == before
    assert [item.name for item in maker.folder.iterdir() if "part" in item.name] == []


def test_command_rebuilds_runs_and_names_what_is_none(run_maker: Callable[..., Any], tmp_path: Path) -> None:
    maker = run_maker("study")
    script = Path(__file__).parents[2] / "search" / "dashboard.py"
    command = [sys.executable, str(script), str(maker.folder), str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert (maker.folder / "dashboard.html").exists()
    assert "a run folder holds plan.json" in done.stderr
