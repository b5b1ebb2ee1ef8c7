"""The picture of a dashboard that README and docs show.

    python docs/picture.py RUN

Opens dashboard.html of the run folder RUN in Chromium, with nothing fetched from elsewhere, and writes what a reader
sees first to docs/dashboard.png.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("dashboard.png")
WIDTH, HEIGHT = 1440, 1500
MOST_BYTES = 300_000
"""A page with a larger picture opens slowly."""


def take(page_file: Path, picture: Path) -> None:
    """Draw the upper part of a dashboard into a PNG.

    Raises:
        FileNotFoundError: no Chromium on this machine.
        ValueError: a picture of more than `MOST_BYTES`; it is not written.
    """
    browser_file = shutil.which("chromium")
    if browser_file is None:
        raise FileNotFoundError("chromium must be installed, and found on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")  # every figure is there
        taken = page.screenshot(animations="disabled")
        browser.close()
    if len(taken) > MOST_BYTES:
        raise ValueError(f"the picture may have {MOST_BYTES} bytes; it has {len(taken)}: take less of the page")
    picture.write_bytes(taken)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    take(Path(sys.argv[1]) / "dashboard.html", PICTURE)
    print(PICTURE)
