from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.run_folder.plan import SearchPlan
from search.run_folder.records import TrialState
from search.run_folder.records_writer import RecordWriter
from search.terminal.progress import Progress, Stage, clock_text
from ser_core.training.report import EpochReport


def plan_with(**limits: float) -> SearchPlan:
    return SearchPlan.from_json(
        {
            "model": "mlp", "corpus": {"name": "demo", "clips": 80, "speakers": 4, "classes": ["neutral", "angry"]},
            "split": "random", "synthetic": True, "speaker_independent": False, "max_epochs": 10, "grace_epochs": 2,
            "reduction": 3.0, "finalists": 2, "seeds": 3, "space": {}, "limits": {"trials": 4, **limits},
        }
    )  # fmt: skip


class Run:
    """Records and a clock that the test turns."""

    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.writer = RecordWriter(folder / "records.jsonl", clock=lambda: self.now)

    def trial(self, number: int, uars: list[float], state: str | None = None, **params: Any) -> None:
        self.writer.trial_started(number, params, "sampler")
        reports = [
            EpochReport(epoch=e, train_loss=1, val_loss=1, scores={"uar": u, "war": u}, learning_rate=1e-3, seconds=1)
            for e, u in enumerate(uars, start=1)
        ]
        self.writer.epochs(number, reports, worker="n/1", setup_seconds=0.0)
        if state is not None:
            self.writer.trial_ended(number, TrialState(state))

    def progress(self, plan: SearchPlan | None = None, *, terminal: bool = False) -> tuple[Progress, io.StringIO]:
        out = io.StringIO()
        console = Console(file=out, width=100, height=40, force_terminal=terminal, color_system=None)
        return Progress(plan or plan_with(), self.writer.records, console, clock=lambda: self.now), out


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_without_a_terminal_a_line_comes_at_each_stage_and_every_ten_seconds(run: Run) -> None:
    progress, out = run.progress()
    with progress:
        progress.phase(Stage.FEATURES)
        for _ in range(50):
            run.now += 0.5
            progress.features(120, 240)
        progress.phase(Stage.SEARCH)
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + 2 + 1 + 1  # stage, 25 s of updates, stage, the last state
    assert lines[1] == "[features] 120 of 240 clips | 0:10 elapsed"
    assert lines[3].startswith("[search]")
    assert "\x1b" not in out.getvalue()


def test_a_line_counts_states_best_and_epochs(run: Run) -> None:
    progress, out = run.progress()
    run.trial(0, [0.2, 0.61, 0.5], "PRUNED")
    run.trial(1, [0.3])
    run.trial(2, [0.99], "FAIL")
    progress.phase(Stage.SEARCH)
    (line,) = out.getvalue().splitlines()
    assert "3 of 4: 1 running, 1 stopped early, 1 failed" in line
    assert "5 epochs trained, 7 saved by ASHA (58 %)" in line
    assert "best 61.0 % (trial 0, epoch 2)" in line  # the failed trial's 99 % do not count


def test_time_left_comes_from_the_pace_of_this_session(run: Run) -> None:
    run.trial(0, [0.5] * 10, "COMPLETE")  # an earlier session's
    progress, out = run.progress()
    progress.phase(Stage.SEARCH)
    assert "left" not in out.getvalue()
    run.trial(1, [0.5] * 10, "COMPLETE")
    run.trial(2, [0.5] * 5)
    run.now += 30.0  # 15 epochs in 30 s; 2 trials of 10 epochs are missing, 5 of them done
    progress.update()
    assert out.getvalue().splitlines()[-1].endswith("0:30 elapsed, about 0:30 of search left")


@pytest.mark.parametrize(
    ("limits", "left"),
    [({"trials": 1000, "hours": 0.01}, "0:16"), ({"trials": 1000, "epochs_total": 12}, "0:04")],
)
def test_time_left_never_exceeds_the_hours_nor_the_epochs(run: Run, limits: dict[str, float], left: str) -> None:
    run.writer.session()
    progress, out = run.progress(plan_with(**limits))
    progress.phase(Stage.SEARCH)
    run.now += 20.0
    run.trial(0, [0.5] * 10, "COMPLETE")
    progress.update()
    assert f"about {left} of search left" in out.getvalue()


def test_terminal_shows_one_table_with_the_running_trials(run: Run) -> None:
    progress, out = run.progress(terminal=True)
    with progress:
        run.trial(0, [0.4, 0.7], "COMPLETE", **{"optim.learning_rate": 0.00031234, "augment.kind": "[red]x"})
        run.trial(1, [0.31, 0.28])
        progress.phase(Stage.SEARCH)
        progress.message("a [bold]line[/bold] that stays")
    text = out.getvalue()
    assert "mlp on demo (synthetic corpus, not speaker-independent)" in text
    assert "70.0 % UAR  trial 0, epoch 2" in text
    assert "optim.learning_rate=0.000312  augment.kind=[red]x" in text  # no markup out of values
    assert "trial 1" in text
    assert "2/10" in text
    assert "28.0 %" in text
    assert "a [bold]line[/bold] that stays" in text


def test_terminal_is_redrawn_four_times_a_second_at_most(run: Run) -> None:
    progress, out = run.progress(terminal=True)
    with progress:
        progress.phase(Stage.SEARCH)
        run.now += 0.1
        before = out.getvalue()
        progress.update()
        assert out.getvalue() == before
        run.now += 0.2
        progress.update()
        assert out.getvalue() != before


def test_a_frame_that_is_dear_to_draw_is_drawn_less_often(run: Run) -> None:
    progress, out = run.progress(terminal=True)
    write = out.write

    def slowly(text: str) -> int:
        run.now += 0.05  # for every frame; the next one is due when this is 2 % of the time
        return write(text)

    with progress:
        out.write = slowly  # type: ignore[method-assign]
        progress.phase(Stage.SEARCH)
        run.now += 1.5
        before = out.getvalue()
        progress.update()
        assert out.getvalue() == before
        run.now += 1.1
        progress.update()
        assert out.getvalue() != before


def test_terminal_names_few_of_many_running_trials(run: Run) -> None:
    for number in range(30):
        run.trial(number, [0.2])
    progress, out = run.progress(terminal=True)
    with progress:
        progress.phase(Stage.SEARCH)
    assert "and 22 more" in out.getvalue()


def test_finals_count_repeats_and_refits(run: Run) -> None:
    run.trial(0, [0.4], "COMPLETE")
    for seed in (1, 2):
        run.writer.final_started("finalist", 0, seed)
    run.writer.final_ended("finalist", 0, 1, "")
    progress, out = run.progress(terminal=True)
    with progress:
        progress.phase(Stage.FINALS)
    assert "1 of 3 repeats, 0 of 3 refits" in out.getvalue()  # of the one trial that there is


def test_finals_of_an_earlier_choice_are_not_counted(run: Run) -> None:
    for number, uar in enumerate((0.4, 0.5, 0.6)):
        run.trial(number, [uar], "COMPLETE")
    for phase, trial, seed in (("finalist", 0, 1), ("finalist", 1, 1), ("refit", 1, 1), ("refit", 2, 1)):
        run.writer.final_started(phase, trial, seed)
        run.writer.final_ended(phase, trial, seed, "")
    progress, out = run.progress(terminal=True)
    with progress:
        progress.phase(Stage.REFIT)
    assert "1 of 6 repeats, 1 of 3 refits" in out.getvalue()  # trial 0 is no finalist any more, 1 not the winner


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (11525, "3:12:05"), (-3, "0:00")]
)
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text
