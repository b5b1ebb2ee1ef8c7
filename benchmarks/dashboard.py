"""The page of a long search: its size, how long it takes to write, and how long a browser takes to open and draw it.

    python benchmarks/dashboard.py [RUN]

RUN is a run folder; without one a search of 1,000 trials of up to 50 epochs is made up. First text means that the head
of the page is on the screen, opened that the figures in view are drawn, drawn that all are. Seconds are medians over
rounds in headless chromium at 1440 pixels; those of the CPU are the page's own thread and do not grow with what else
the machine does. A page that holds plotly.js alone stands beside it: what no page with plotly can go below.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from plotly.offline import get_plotlyjs
from rich.console import Console
from rich.table import Table

from search.pages.write import write_dashboard
from search.run_folder.paths import PLAN_FILE, RECORDS_FILE
from search.run_folder.records import TrialState
from search.run_folder.records_writer import RecordWriter
from search.study.asha import Asha
from ser_core.training.report import EpochReport

TRIALS, EPOCHS, ROUNDS = 1000, 50, 5
SPACE = {
    "optim.learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True, "when": None},
    "optim.batch_size": {"type": "choice", "values": [16, 32, 64], "when": None},
    "optim.weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True, "when": None},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.6, "log": False, "when": None},
    "model.width": {"type": "int", "low": 16, "high": 64, "step": 8, "log": False, "when": None},
    "augment.kind": {"type": "choice", "values": ["none", "specaugment"], "when": None},
}
ALONE = """<!doctype html><meta charset="utf-8"><body><script>{plotly}</script>
<script>document.documentElement.dataset.opened = document.documentElement.dataset.drawn = "yes"</script>"""


def make_run(folder: Path) -> None:
    """A search of made-up learning curves, stopped by ASHA."""
    asha = Asha(max_epochs=EPOCHS, grace_epochs=EPOCHS // 5, reduction=3)
    corpus = {"name": "made-up", "clips": 0, "speakers": 0, "classes": ["a", "b"], "skipped": []}
    plan = {
        "model": "mlp", "corpus": corpus, "split": "speaker", "speaker_independent": True, "synthetic": True,
        "max_epochs": EPOCHS, "grace_epochs": asha.grace_epochs, "reduction": 3, "finalists": 3, "seeds": 3,
        "space": SPACE, "limits": {"trials": TRIALS, "concurrency": 4},
    }  # fmt: skip
    (folder / PLAN_FILE).write_text(json.dumps(plan), encoding="utf-8")
    rng, now = random.Random(7), 0.0
    writer = RecordWriter(folder / RECORDS_FILE, clock=lambda: now)
    writer.session()
    for number in range(TRIALS):
        params = {name: _value(knob, rng) for name, knob in SPACE.items()}
        writer.trial_started(number, params, "sampler")
        top, state = 0.7 - 0.1 * abs(math.log10(float(params["optim.learning_rate"])) + 3.3), TrialState.COMPLETE
        reports = []
        for epoch in range(1, EPOCHS + 1):
            uar = top * (1 - math.exp(-5 * epoch / EPOCHS)) + rng.gauss(0, 0.02)
            report = EpochReport(
                epoch=epoch,
                train_loss=1.0,
                val_loss=1.2,
                scores={"uar": uar, "war": uar},
                learning_rate=1e-3,
                seconds=2.0,
            )
            reports.append(report)
            now += 2.0
            if asha.stops(number, epoch, uar):
                state = TrialState.PRUNED
                break
        writer.epochs(number, reports, worker=f"node/{number % 4}", setup_seconds=0.1)
        writer.trial_ended(number, state)
    writer.close()


def _value(knob: dict[str, object], rng: random.Random) -> float | int | str:
    if knob["type"] == "choice":
        return rng.choice(knob["values"])  # type: ignore[call-overload, no-any-return]
    low, high = float(knob["low"]), float(knob["high"])  # type: ignore[arg-type]
    if knob["type"] == "int":
        return rng.randrange(int(low), int(high) + 1, int(knob["step"]))  # type: ignore[call-overload]
    return 10 ** rng.uniform(math.log10(low), math.log10(high)) if knob["log"] else rng.uniform(low, high)


def open_once(browser: Browser, path: Path) -> dict[str, float]:
    """Seconds until the page is opened and drawn, by the clock and on the CPU."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(300_000)
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    began, seconds = time.perf_counter(), {}
    page.goto(path.as_uri(), wait_until="commit")
    for moment in ("opened", "drawn"):
        page.wait_for_selector(f"html[data-{moment}]")
        seconds[moment] = time.perf_counter() - began
        metrics = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
        seconds[f"{moment}, CPU"] = metrics["ThreadTime"]
    paint = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime / 1e3)"
    paints = page.evaluate(paint)
    seconds["first text"] = paints[0] if paints else math.nan  # a page of scripts alone paints nothing
    context.close()
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN")
    given = parser.parse_args().run
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium on the path: apt-get install chromium")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        if given is None:
            make_run(folder)
        began = time.perf_counter()
        page = write_dashboard(given or folder).resolve()
        written = time.perf_counter() - began
        alone = folder / "plotly-alone.html"
        alone.write_text(ALONE.replace("{plotly}", get_plotlyjs()), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=300_000)
        rounds = [(open_once(browser, page), open_once(browser, alone)) for _ in range(ROUNDS)]
        browser.close()
        table = Table("seconds", "page", "plotly.js alone", title=f"{given or f'{TRIALS:,} trials of {EPOCHS} epochs'}")
        for name in rounds[0][0]:
            medians = (statistics.median(both[side][name] for both in rounds) for side in (0, 1))
            table.add_row(name, *(f"{median:.2f}" for median in medians))
        Console().print(table)
        print(f"{page.stat().st_size / 1e6:.2f} MB, written in {written:.2f} s")


if __name__ == "__main__":
    main()
