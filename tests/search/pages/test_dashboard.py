"""Pages from disk, in a real browser: what they show, what a reader can do with them, and that they fetch nothing."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from playwright.sync_api import expect
from typer.testing import CliRunner

from search.comparison.comparable import BUDGET, PROTOCOL, differences
from search.dashboard import command
from search.pages.comparison_head import comparison_head
from search.pages.figures import history
from search.pages.html import build_page
from search.pages.run_head import page_head
from search.pages.sections import run_sections
from search.pages.write import write_comparison, write_dashboard
from search.run_folder.run_view import RunFolderError, read_run
from ser_core.training.report import EpochReport

HOSTILE = "</script><img src=x onerror=alert(1)><b>joy</b>"
SCRIPT = Path(__file__).parents[3] / "search" / "dashboard.py"
Open = Callable[..., Any]
Maker = Callable[..., Any]


def test_page_from_disk_shows_the_numbers_of_the_result(open_page: Open, run_maker: Maker) -> None:
    maker = run_maker("study").search().finish()
    result = json.loads((maker.folder / "result.json").read_text())
    opened = open_page(write_dashboard(maker.folder))
    assert opened.problems == []
    test_point = next(trace for trace in opened.drawn("fall")["data"] if trace.get("name") == "test")
    assert test_point["y"] == [round(100 * result["test"]["uar"]["mean"], 2)]
    assert opened.drawn("confusion")["data"][0]["customdata"] == result["test"]["confusion"]
    assert (
        opened.page.locator(".tile.hero .value").inner_text()
        == f"{100 * result['test']['ensemble']['uar']['value']:.1f}\u00a0%"
    )
    figures = [figure for section in run_sections(read_run(maker.folder)) for figure in section.figures]
    assert opened.page.locator(".js-plotly-plot").count() == sum(figure.drawing is not None for figure in figures)
    assert opened.page.locator(".banner").count() == 0
    check_trial_table(opened, maker.writer.records)
    check_table_behind_a_figure(opened, maker.folder)
    check_pictures(opened)
    assert opened.problems == []


def test_the_page_says_which_runs_were_not_to_be_trusted_to_bf16(run_maker: Maker) -> None:
    note = "trained in fp32, since in bf16 layer conv is off by 98 %"
    maker = run_maker("study").search(3, fail_every=0)
    maker.start(3)
    reports = [EpochReport.of_score(1, 0.4)]
    maker.writer.epochs(3, reports, worker="w", setup_seconds=0.1, precision_note=note)
    (banner,) = page_head(read_run(maker.folder)).banners
    assert (banner.word, banner.text) == ("Not in bf16.", f"1 training run of the search and the finals {note}.")


def check_trial_table(opened: Any, records: Any) -> None:
    """A filter by state, a filter by text and sorting, each by what a reader presses."""
    page, states = opened.page, [trial.state.value for trial in records.trials.values()]
    rows = page.locator("#trial-table tbody tr")
    assert rows.count() == len(states)
    page.get_by_label("Show trials of this state").select_option("FAIL")
    assert rows.count() == states.count("FAIL") > 0
    page.get_by_label("Show rows with this text").fill("out of memory")
    assert rows.count() == sum("out of memory" in trial.reason for trial in records.trials.values()) > 0
    assert "of 40 rows" in page.locator("#trial-table .status").inner_text()
    page.get_by_label("Show rows with this text").fill("")
    page.get_by_label("Show trials of this state").select_option("")
    page.get_by_role("button", name="val uar, %").first.press("Enter")
    assert page.locator("#trial-table th[aria-sort=descending]").inner_text().startswith("val uar")
    shown = [float(text) for text in page.locator("#trial-table tbody td:nth-child(3)").all_inner_texts() if text]
    scores = [round(100 * trial.value, 2) for trial in records.trials.values() if trial.epochs]
    assert shown == sorted(scores, reverse=True)


def check_table_behind_a_figure(opened: Any, folder: Path) -> None:
    """Opened by the keyboard, and saved as a CSV file that says the same as the figure's own table."""
    page, card = opened.page, opened.page.locator("#card-history")
    info = history.info(read_run(folder))
    assert info is not None
    expected = history.table(info)
    card.locator("summary").press("Enter")
    expect(card.locator("tbody tr")).to_have_count(len(expected))  # browsers tell of the opening a moment later
    with page.expect_download() as download:
        card.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "history.csv"
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [float(row["val_uar_percent"]) for row in rows] == [row["val_uar_percent"] for row in expected]


def check_pictures(opened: Any) -> None:
    """PNG and SVG, made on the page, with the title in them."""
    card = opened.page.locator("#card-confusion")
    with opened.page.expect_download() as download:
        card.get_by_role("button", name="SVG").click()
    drawing = download.value.path().read_text()
    assert drawing.startswith("<svg")
    assert "Confusion: what the test clips are taken for" in drawing
    with opened.page.expect_download() as download:
        card.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "confusion.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_page_fits_a_phone_in_the_dark_and_follows_the_reader(open_page: Open, run_maker: Maker) -> None:
    maker = run_maker("study").search().finish()
    opened = open_page(write_dashboard(maker.folder), width=390, scheme="dark")
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.drawn("slices")["layout"]["height"] > 1200  # one column
    dark = opened.drawn("recall")["data"][0]["marker"]["color"]
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    light = opened.drawn("recall")["data"][0]["marker"]["color"]
    assert light != dark  # paper is white
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.drawn("recall")["data"][0]["marker"]["color"] == dark
    opened.page.emulate_media(color_scheme="light")
    opened.page.wait_for_selector("html[data-drawn=light]")
    assert opened.drawn("recall")["data"][0]["marker"]["color"] == light
    assert opened.problems == []


def test_hostile_names_stay_text(open_page: Open, run_maker: Maker) -> None:
    classes = ["neutral", HOSTILE, "sad"]
    corpus = {"name": HOSTILE, "clips": 90, "speakers": 3, "classes": classes, "synthetic": False}
    skipped = [{"path": HOSTILE, "reason": HOSTILE}]
    maker = run_maker("study", corpus={**corpus, "skipped": skipped}, command=HOSTILE)
    maker.search(12, fail_every=0)
    maker.start(12)
    maker.epochs(12, [0.2], worker=HOSTILE)
    maker.end(12, "FAIL", HOSTILE)
    maker.finish().predict(0.6)
    other = run_maker("other", corpus=maker.plan["corpus"], model=HOSTILE).search(12).finish().predict(0.5)
    for path in (
        write_dashboard(maker.folder),
        write_comparison(maker.folder / "c.html", [maker.folder, other.folder]),
    ):
        opened = open_page(path)
        for summary in opened.page.locator("details.data summary").all():
            summary.click()
        assert opened.problems == []
        assert opened.page.locator("img").count() == 0
        assert opened.page.locator("figure b, figure a, svg a, table b").count() == 0
        assert HOSTILE in opened.page.locator("body").inner_text()
    assert [len(trace["y"]) for trace in opened.drawn("differences")["data"]] in ([1, 0], [0, 1])


def test_a_formula_in_a_name_stays_text_in_a_spreadsheet(open_page: Open, run_maker: Maker) -> None:
    maker = run_maker("study").search(3)
    maker.start(3)
    maker.end(3, "FAIL", '=HYPERLINK("http://x.example","a, b")')
    opened = open_page(write_dashboard(maker.folder))
    with opened.page.expect_download() as download:
        opened.page.locator("#trial-table").get_by_role("button", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["reason"] for row in rows] == ["", "", "", '\'=HYPERLINK("http://x.example","a, b")']


def test_run_without_a_trial_has_a_page(open_page: Open, run_maker: Maker) -> None:
    opened = open_page(write_dashboard(run_maker("study").folder))
    assert opened.problems == []
    assert "not finished" in opened.page.locator(".pill").inner_text()
    assert opened.page.locator("main").inner_text().count("No trial has finished an epoch yet.") == 2


def test_page_says_synthetic_and_not_speaker_independent(run_maker: Maker) -> None:
    maker = run_maker("study", synthetic=True, split="random", speaker_independent=False)
    page = build_page(read_run(maker.search(5).folder))
    assert "<strong>Synthetic corpus.</strong>" in page
    assert "<strong>Not speaker-independent.</strong>" in page


def test_page_holds_plotly_once_and_no_outside_address(run_maker: Maker) -> None:
    maker = run_maker("many", trials=1000, max_epochs=50).search().finish()
    page = write_dashboard(maker.folder).read_text(encoding="utf-8")
    assert len(page.encode()) < 8_000_000
    assert page.count("plotly.js v") == 1
    own = html.unescape(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL))
    assert re.findall(r"""https?://[\w.]+|(?:src|href)\s*=\s*(?:["'][^#]|[^"'])\S*""", own) == []
    assert "default-src 'none'" in own


def test_page_is_written_whole_or_not_at_all(run_maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
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


# -- several runs -----------------------------------------------------------------------------------------------------


def test_comparison_shows_runs_side_by_side_and_says_aloud_what_differs(
    open_page: Open, run_maker: Maker, tmp_path: Path
) -> None:
    one = run_maker("one", speakers={"fit": ["1"], "validation": ["2"], "test": ["3"]}).search().finish()
    speakers = {"fit": ["1"], "validation": ["2"], "test": ["4", "5"]}
    two = run_maker("two", split="emobox:1", trials=20, speakers=speakers, model="mlp").search().finish()
    open_run = run_maker("open").search(5)
    opened = open_page(write_comparison(tmp_path / "all.html", [one.folder, two.folder, open_run.folder]))
    banners = opened.page.locator(".banner").all_inner_texts()
    assert banners[0].startswith("These test scores cannot be compared.")
    assert "Split: speaker (speakers kept apart) in one, open; emobox:1 (speakers kept apart) in two." in banners[0]
    assert "Test speakers: 3 in one; 4, 5 in two; unknown in open." in banners[0]
    assert "Trials: 40 in one, open; 20 in two." in banners[1]
    assert "Not finished: open." in banners[2]
    result = json.loads((two.folder / "result.json").read_text())
    row = opened.page.locator("table.runs tbody tr", has_text="two").inner_text()
    assert f"{100 * result['test']['uar']['mean']:.1f}" in row
    assert [trace["name"].split(":")[0] for trace in opened.drawn("edf")["data"]] == ["one", "two", "open"]
    assert opened.page.locator("#confusion-0, #confusion-1, #history-2").count() == 3
    assert opened.page.locator("#confusion-2").count() == 0
    assert opened.drawn("confusion-1")["data"][0]["customdata"] == result["test"]["confusion"]
    assert opened.problems == []


def test_runs_of_one_protocol_differ_in_nothing(run_maker: Maker) -> None:
    runs = [read_run(run_maker(name).search(3).folder) for name in ("one", "two")]
    assert differences(runs, PROTOCOL) == {}
    assert differences(runs, BUDGET) == {}
    assert [banner.word for banner in comparison_head(runs).banners] == ["Not finished:"]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"corpus": {"name": "other"}}, "corpus"),
        ({"corpus": {"classes": ["happy", "sad"]}}, "classes"),
        ({"corpus": {"fingerprint": "0123456789"}}, "corpus"),
        ({"split": "random", "speaker_independent": False}, "split"),
        ({"speakers": {"test": ["9"]}}, "test speakers"),
    ],
)
def test_every_part_of_the_protocol_counts(change: dict[str, Any], fact: str, run_maker: Maker) -> None:
    one = run_maker("one")
    if "corpus" in change:
        change = {"corpus": {**one.plan["corpus"], **change["corpus"]}}
    runs = [read_run(one.folder), read_run(run_maker("two", **change).folder)]
    assert list(differences(runs, PROTOCOL)) == [fact]
    assert comparison_head(runs).banners[0].word == "These test scores cannot be compared."


def test_a_comparison_takes_two_runs(run_maker: Maker, tmp_path: Path) -> None:
    folder = run_maker("one").folder
    with pytest.raises(RunFolderError, match="two or more different runs"):
        write_comparison(tmp_path / "all.html", [folder, folder])


# -- the command ------------------------------------------------------------------------------------------------------


def dashboard(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_command_rebuilds_runs_and_names_what_is_none(run_maker: Maker, tmp_path: Path) -> None:
    maker = run_maker("study")
    done = dashboard(tmp_path / "nothing", maker.folder, folder=tmp_path)
    assert done.returncode == 1
    assert (maker.folder / "dashboard.html").exists()
    assert "a run folder holds plan.json" in done.stderr


def test_command_compares_runs(run_maker: Maker, tmp_path: Path) -> None:
    folders = [run_maker(name).folder for name in ("one", "two")]
    done = dashboard(*folders, "--compare", tmp_path / "all.html", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 runs compared" in (tmp_path / "all.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one or more run folders"),
        (["run", "--port", "0"], "belong to --live"),
        (["run", "--live", "run"], "serves one run"),
        (["--live", "nowhere"], "a run folder holds plan.json"),
    ],
)
def test_command_says_what_does_not_fit(arguments: list[str], message: str, tmp_path: Path) -> None:

    app = typer.Typer()
    app.command()(command)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert done.exit_code != 0
    assert message in " ".join(done.output.split())
