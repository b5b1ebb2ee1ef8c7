"""The arithmetic of benchmarks/scale.py, and the whole command on a small Ray and a small simulated cluster."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import scale
from _scale_batch import BatchRow, times_as_quick
from _scale_many import many_row, measure_many, simulate_many
from _scale_real import Arrival, real_row
from _scale_simulated import SimulatedRow, measure_simulated

from search.simulation.curve_tables import CurveTable


def arrivals(at: list[tuple[float, str, float]]) -> list[Arrival]:
    """(moment, worker, seconds of its epochs) each; the driver takes 10 ms a chunk, 4 of them in the search."""
    return [
        Arrival(moment, worker, busy, 0.01 * number, 0.004 * number, number // 2)
        for number, (moment, worker, busy) in enumerate(at)
    ]


def test_utilisation_counts_epochs_inside_the_window_alone() -> None:
    """From 10 s, when both have reported, to 20 s: one is always busy, the other for 6 s of the 10."""
    found = arrivals([(8, "a", 8), (10, "b", 9), (14, "a", 6), (16, "b", 6), (24, "a", 10), (30, "b", 8)])
    row = real_row(found, 2, 0.0, 20.0, 100.0)
    assert row.utilisation == pytest.approx((10 + 6) / 20)
    assert (row.start_seconds, row.seconds, row.results, row.trials) == (10, 10, 2, 1)
    assert row.driver_ms == pytest.approx(10)
    assert row.ours_ms == pytest.approx(4)
    assert row.driver_share == pytest.approx(0.02 / 6)


def test_ways_of_doing_a_batch_are_compared_by_their_medians() -> None:
    walls = {"side by side": (50.0, 60.0, 500.0), "one after another": (150.0, 100.0, 180.0)}
    rows = [
        BatchRow(way=way, folds=6, wall_seconds=wall, core_seconds=100.0, busy=0.9, driver_mb=900.0)
        for way, own in walls.items()
        for wall in own
    ]
    assert times_as_quick(rows) == pytest.approx(150 / 60)


@pytest.mark.slow  # five commands
def test_a_protocol_is_measured_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scale.main(["--batch", "demo", "--split", "kfold:2", "--repeats", "1", "--out", str(tmp_path)])
    with (tmp_path / "scale-batch.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["way"] for row in rows] == ["side by side", "one after another"]
    assert all(0 < float(row["busy"]) <= 1.001 for row in rows)
    assert all(100 < float(row["driver_mb"]) < 10_000 for row in rows)
    assert "as quick as one after another:" in capsys.readouterr().out


def test_many_simulated_runs_keep_their_workers_busy_unless_the_driver_is_slow() -> None:
    table = CurveTable.read(scale.TABLE)
    idle, busy = (simulate_many(6, 20, 6, 1, table, ray_ms) for ray_ms in (0.0, 5_000.0))
    assert (idle.runs, idle.workers, idle.drivers) == (6, 6, 1)
    assert idle.utilisation > 0.9
    assert busy.utilisation < 0.6
    assert busy.driver_share > 0.9
    several = simulate_many(6, 20, 6, 3, table, 5_000.0)
    assert several.utilisation > busy.utilisation + 0.2


def many(moment: float, worker: str, busy: float) -> Arrival:
    return Arrival(moment, worker, busy, cpu=moment / 10, ours=moment / 20, trials=0)


def test_runs_are_measured_from_the_first_report_of_all_slots_to_the_end_of_nine_tenths_of_all_jobs() -> None:
    """From 10 s to 30 s: one slot is always busy, the other one for 12 s of the 20."""
    one = [many(8, "a", 8), many(20, "a", 12), many(31, "a", 11)]
    other = [many(10, "b", 9), many(22, "b", 10), many(30, "b", 2), many(40, "b", 5)]
    ends = {"one": [20.0, 31.0], "other": [12.0, 14.0, 16.0, 18.0, 22.0, 24.0, 26.0, 30.0]}
    sources = [SimpleNamespace(arrivals=one, ends=ends["one"]), SimpleNamespace(arrivals=other, ends=ends["other"])]
    arrivals = sorted([*one, *other], key=lambda each: each.at)
    row = many_row(arrivals, cast(Any, sources), 2, 5, 2, 0.0, 500.0)
    assert row.utilisation == pytest.approx((20 + 12) / 40)
    assert row.hours == pytest.approx(40 / 3600)
    assert row.driver_share == pytest.approx(0.1)
    assert row.driver_ms == pytest.approx(1e3 * 2.0 / 3)
    with pytest.raises(ValueError, match="2 of 3 slots reported"):
        many_row(arrivals, cast(Any, sources), 2, 5, 3, 0.0, 500.0)


def test_runs_side_by_side_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--runs", "2", "--trials", "3", "--slots", "none", "--ray-ms", "2", "--workers", "4"]
    scale.main([*options, "--drivers", "1,2", "--out", str(tmp_path)])
    with (tmp_path / "scale-runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["drivers"]) for row in rows] == [("simulated", "1"), ("simulated", "2")]
    assert all(0 < float(row["utilisation"]) <= 1.001 for row in rows)
    assert "a driver takes less than 2,048 MB: met" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_side_by_side_on_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(scale.__file__).parent))  # of the workers, which no script has started
    row = measure_many(2, 3, 2, CurveTable.read(scale.TABLE), epoch_seconds=0.1)
    assert (row.kind, row.runs, row.workers, row.drivers) == ("Ray", 2, 2, 1)
    assert 0.3 < row.utilisation <= 1.001
    assert 0 < row.ours_ms < row.driver_ms


def test_a_machine_that_is_too_small_gives_no_figures() -> None:
    with pytest.raises(ValueError, match="2 of 3 slots reported"):
        real_row(arrivals([(1, "a", 1), (2, "b", 1)]), 3, 0.0, 20.0, 100.0)
    with pytest.raises(ValueError, match="give more --minutes"):
        real_row(arrivals([(1, "a", 1), (2, "b", 1), (9, "a", 7)]), 2, 0.0, 5.0, 100.0)


def test_a_busy_driver_keeps_simulated_workers_waiting() -> None:
    """Ten workers report once a second or less often; a driver that takes a second for each serves a part of them."""
    table = CurveTable.read(scale.TABLE)
    idle = measure_simulated(table, workers=10, trials=20, ray_ms=0.0, epoch_seconds=1.0)
    busy = measure_simulated(table, workers=10, trials=20, ray_ms=1000.0, epoch_seconds=1.0)
    assert len(idle) == len(busy) == 10
    assert all(row.utilisation > 0.9 for row in idle[1:])
    assert all(row.utilisation < 0.8 for row in busy[1:])
    assert [row.trials for row in idle] == list(range(2, 21, 2))
    assert idle[0].study_mb < idle[-1].study_mb


def rows_of(ours_ms: list[float]) -> list[SimulatedRow]:
    return [
        SimulatedRow(
            trials=1000 * number, results=9000, utilisation=0.97, result_ms=0.2, proposal_ms=9.0, ours_ms=value,
            memory_mb=300.0, study_mb=1.0, records_mb=1.0,
        )
        for number, value in enumerate(ours_ms, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(("ours_ms", "verdict"), [([1.0, 1.5], "met"), ([1.0, 2.5], "missed")])
def test_the_verdict_is_on_growth(ours_ms: list[float], verdict: str) -> None:
    [line] = scale.verdicts([], rows_of(ours_ms))
    assert f"from 1,000 to 2,000 trials: {verdict}" in line


def test_the_simulated_half_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scale.main(["--slots", "none"])
    assert "--ray-ms must be given" in capsys.readouterr().err
    scale.main(["--slots", "none", "--ray-ms", "2", "--workers", "4", "--trials", "20", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "scale-simulated.csv").open()))
    assert [int(row["trials"]) for row in rows] == list(range(2, 21, 2))
    assert "4 simulated workers" in (tmp_path / "scale.html").read_text()
    assert "grows by less than 2 times" in capsys.readouterr().out


@pytest.mark.slow
def test_the_real_half_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scale.main(["--slots", "2", "--minutes", "0.3", "--trials", "0", "--out", str(tmp_path)])
    [row] = csv.DictReader((tmp_path / "scale-ray.csv").open())
    assert row["slots"] == "2"
    assert 0.5 < float(row["utilisation"]) <= 1.001
    assert float(row["ours_ms"]) < float(row["driver_ms"])
    assert 10 < float(row["worker_mb"]) < 1000
    assert "utilisation at 2 slots" in capsys.readouterr().out
