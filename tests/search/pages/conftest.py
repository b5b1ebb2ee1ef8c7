"""Pages in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PATIENCE_MS = 180_000
"""For a page to be drawn on a machine that is busy with other things."""


class OpenedPage:
    """A page in a browser; `problems` collects console errors, dialogs, and requests to anywhere but `address`."""

    def __init__(self, browser: Browser, address: str, *, width: int = 1440, scheme: Any = "light") -> None:
        self.problems: list[str] = []
        self.address = address
        offline = address.startswith("file:")
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=offline
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on("request", lambda request: self._note(not self._own(request.url), request.url[:200]))
        self.page.goto(address)
        self.page.wait_for_selector("html[data-drawn]")

    def _own(self, url: str) -> bool:
        base = self.address.partition("#")[0]
        return url == base if base.startswith("file:") else url.startswith(base)

    def _note(self, bad: bool, text: str) -> None:
        if bad and not text.startswith(("data:", "blob:")):
            self.problems.append(text)

    def drawn(self, name: str) -> dict[str, Any]:
        """What plotly holds for a figure after drawing: {data, layout}."""
        script = "([name]) => { const d = document.getElementById(name); return {data: d.data, layout: d.layout}; }"
        found: dict[str, Any] = self.page.evaluate(script, [name])
        return found


@pytest.fixture(scope="module")  # while it is open, its loop takes the place of any other in this process
def browser() -> Iterator[Browser]:
    """Debian's chromium without a window; tests skip where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., OpenedPage]]:
    """Opens a page by its path or address: `open_page(path, width=390, scheme="dark")`; closed after the test."""
    opened: list[OpenedPage] = []

    def open_(where: Path | str, **settings: Any) -> OpenedPage:
        opened.append(OpenedPage(browser, where.as_uri() if isinstance(where, Path) else where, **settings))
        return opened[-1]

    yield open_
    for each in opened:
        each.context.close()
