"""The arithmetic of benchmarks/overhead.py, and every contestant with a handful of trials."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import overhead
import pytest
from _overhead_contestants import CONTESTANTS, EPOCHS, Marks, learning_curve, measure
from overhead import figure, goal_line, proposal_ms, windows

from search.study.tpe import RememberingTPESampler

QUICK = ["optuna-journal", "optuna-sqlite"]


def growing(trials: int, start_ms: float, end_ms: float) -> Marks:
    """A second of training in every trial, and an overhead that grows evenly from the second trial to the last."""
    beyond = np.linspace(start_ms, end_ms, trials - 1) / 1e3
    return Marks(
        ended=1e9 + np.concatenate([[30.0], 30.0 + np.cumsum(1.0 + beyond)]),  # the worker takes 30 s to start
        trained=np.ones(trials),
        cpu=0.01 * np.arange(trials),
    )


def test_windows_show_overhead_without_training_and_its_growth() -> None:
    rows = windows("ours", growing(1000, 20.0, 30.0))
    assert [row.trials for row in rows] == [100, 300, 1000]
    assert rows[0].wall_ms == pytest.approx(20.5, abs=0.02)
    assert rows[-1].wall_ms == pytest.approx(29.5, abs=0.02)
    assert rows[-1].mean_ms == pytest.approx(29.5, abs=0.02)
    assert rows[-1].growth == pytest.approx(29.5 / 20.5, rel=1e-3)
    assert rows[0].driver_cpu_ms == pytest.approx(10.0)


def test_a_run_that_was_cut_short_ends_with_what_it_did() -> None:
    assert [row.trials for row in windows("tune", growing(340, 1500.0, 1500.0))] == [100, 300, 340]
    assert [row.trials for row in windows("tune", growing(30, 1500.0, 1500.0))] == [30]
    assert windows("tune", growing(1, 0.0, 0.0)) == []


@pytest.mark.parametrize(
    ("marks", "verdict"),
    [
        (growing(1000, 20.0, 30.0), "met (20.5 ms at 100 trials, 29.5 ms at 1,000)"),
        (growing(1000, 20.0, 110.0), "missed"),  # grows too much
        (growing(1000, 60.0, 60.0), "missed"),  # too much from the start
    ],
)
def test_the_verdict_is_on_ours(marks: Marks, verdict: str) -> None:
    assert verdict in goal_line(windows("ours", marks))
    assert goal_line(windows("tune", marks)) == "ours was not measured"


def test_every_contestant_is_drawn() -> None:
    drawing = figure([row for name in CONTESTANTS for row in windows(name, growing(300, 20.0, 30.0))])
    assert {trace.name for trace in drawing.data} == {title for title, _ in CONTESTANTS.values()}
    assert all(19 < value < 31 for value in drawing.data[0].y)


def test_curves_depend_on_the_configuration_and_grow() -> None:
    one, other = {"a": 1, "b": 2.0}, {"a": 1, "b": 2.5}
    assert learning_curve(one, 3) == learning_curve(dict(reversed(one.items())), 3) != learning_curve(other, 3)
    assert all(learning_curve(one, e) < learning_curve(one, e + 1) for e in range(1, EPOCHS))


def test_proposals_are_timed_at_every_size() -> None:
    times = proposal_ms(lambda seed: RememberingTPESampler(seed=seed), [12, 40])
    assert len(times) == 2
    assert all(0 < ms < 10_000 for ms in times)


@pytest.mark.parametrize("name", QUICK)
def test_optuna_does_its_trials_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    check(measure(name, 4, 120, tmp_path), 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CONTESTANTS) - set(QUICK)))
def test_a_search_on_ray_does_its_trials(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(overhead.__file__).parent))  # of the workers, which no script has started
    marks = measure(name, 6, 300, tmp_path)
    check(marks, 6)
    assert (marks.trained > 0).all() == name.startswith("ours")


def check(marks: Marks, trials: int) -> None:
    assert len(marks.ended) == len(marks.trained) == len(marks.cpu) == trials
    assert (marks.wall_beyond_training > 0).all()
    assert (np.diff(marks.cpu) >= 0).all()


def test_the_command_writes_table_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"ours": growing(200, 20.0, 30.0), "optuna-sqlite": growing(150, 90.0, 95.0)}

    def instead(name: str, trials: int, seconds: float, folder: Path) -> Marks:
        if name == "tune":
            raise RuntimeError("tune ended with exit code 1; see above")
        return made[name]

    monkeypatch.setattr(overhead, "measure", instead)
    monkeypatch.setattr(overhead, "CHECKPOINTS", (20, 100))
    arguments = ["overhead.py", "--trials", "100", "--only", "ours,tune,optuna-sqlite", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="tune ended with exit code 1"):
        overhead.main()
    rows = list(csv.DictReader((tmp_path / "overhead.csv").open()))
    assert [(row["contestant"], row["trials"]) for row in rows] == [
        ("ours", "100"),
        ("ours", "200"),
        ("optuna-sqlite", "100"),
        ("optuna-sqlite", "150"),
    ]
    assert "plotly" in (tmp_path / "overhead.html").read_text()
    assert "at most 50 ms" in capsys.readouterr().out
    made["ours"] = growing(110, 40.0, 40.0)
    monkeypatch.setattr(sys, "argv", [*arguments[:4], "ours", *arguments[5:]])
    overhead.main()
    rows = list(csv.DictReader((tmp_path / "overhead.csv").open()))  # the others keep what they had
    assert [(row["contestant"], row["trials"]) for row in rows] == [
        ("ours", "100"),
        ("ours", "110"),
        ("optuna-sqlite", "100"),
        ("optuna-sqlite", "150"),
    ]
