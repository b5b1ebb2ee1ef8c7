"""The view of several runs: a line for each, whoever draws it."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search.run_folder.architectures import scorings
from search.run_folder.records import TrialState
from search.run_folder.records_writer import RecordWriter
from search.terminal.batch_progress import BatchProgress
from search.terminal.progress import Stage
from ser_core.training.report import EpochReport
from tests.search.terminal.test_progress import plan_with


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def view_of(*names: str, terminal: bool) -> tuple[BatchProgress, Clock, io.StringIO]:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, width=100, height=40, force_terminal=terminal, color_system=None)
    return BatchProgress(names, console, clock=clock), clock, out


@pytest.fixture
def writer(tmp_path: Path) -> RecordWriter:
    return RecordWriter(tmp_path / "records.jsonl")


def trial(writer: RecordWriter, uar: float) -> None:
    writer.trial_started(0, {}, "sampler")
    report = EpochReport(
        epoch=1, train_loss=1, val_loss=1, scores={"uar": uar, "war": uar}, learning_rate=1e-3, seconds=1
    )
    writer.epochs(0, [report], worker="n/1", setup_seconds=0.0)
    writer.trial_ended(0, TrialState.COMPLETE)


def test_a_line_for_each_run_and_a_total(writer: RecordWriter, tmp_path: Path) -> None:
    view, clock, out = view_of("fold-1", "fold-2", "fold-3", terminal=True)
    other = RecordWriter(tmp_path / "other.jsonl")
    one, two = view.of("fold-1", plan_with(), writer.records), view.of("fold-2", plan_with(), other.records)
    with view, one, two:
        two.phase(Stage.FEATURES)
        trial(writer, 0.614)
        clock.now += 65
        one.phase(Stage.SEARCH)
        last = out.getvalue().rpartition("╭")[2]
        assert re.search(r"fold-1 +search +1 of 4 +61.4 %", last), last
        assert re.search(r"fold-2 +features +0 of 4", last)
        assert "0 of 3 runs ended | 1:05 elapsed" in last
        view.ended("fold-1", "is done")
        last = out.getvalue().rpartition("╭")[2]
        assert last.index("fold-2") < last.index("fold-1  is done")
        assert "1 of 3 runs ended" in last


def test_without_a_terminal_lines_carry_the_name_of_their_run_and_come_the_more_rarely(writer: RecordWriter) -> None:
    view, clock, out = view_of("fold-1", "fold-2", terminal=False)
    one, two = (view.of(name, plan_with(), writer.records) for name in ("fold-1", "fold-2"))
    with view, one, two:
        two.phase(Stage.SEARCH)
        one.phase(Stage.SEARCH)
        one.message("a word")
        before = len(out.getvalue().splitlines())
        for _ in range(19):
            clock.now += 1
            one.update()
        assert len(out.getvalue().splitlines()) == before  # every 20 s of each, as there are two
        clock.now += 1
        one.update()
    lines = out.getvalue().splitlines()
    assert lines[1].startswith("fold-1 [search] | 0:00 elapsed")
    assert lines[2] == "fold-1: a word"
    assert len(lines) > before
    assert "\x1b" not in out.getvalue()


def test_the_best_score_is_written_as_the_objective_has_it(tmp_path: Path) -> None:
    """A concordance is no share: 0.614, and not 61.4 %."""
    plan = replace(plan_with(), target="arousal", objective="ccc")
    writer = RecordWriter(tmp_path / "records.jsonl", scoring=scorings(plan))
    view, _, out = view_of("fold-1", terminal=True)
    with view, view.of("fold-1", plan, writer.records) as one:
        writer.trial_started(0, {}, "sampler")
        writer.epochs(0, [EpochReport.of_score(1, 0.614, objective="ccc")], worker="n/1", setup_seconds=0.0)
        one.phase(Stage.SEARCH)
    assert re.search(r"fold-1 +search +0 of 4 +0\.614", out.getvalue())
