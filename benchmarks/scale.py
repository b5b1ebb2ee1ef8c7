"""Scale: the driver beside many workers, on a real Ray whose trials sleep, and on a simulated cluster of a thousand.

    python benchmarks/scale.py [--slots 8,32,64] [--minutes 3] [--workers 1000] [--trials 10000]
    python benchmarks/scale.py --batch ravdess [--split emobox] [--repeats 3]
    python benchmarks/scale.py --runs 36 [--trials 50] [--slots 64] [--workers 1000] [--drivers 1,4,8] [--ray-ms 3]

Real: the search with its records and its study runs on Ray; workers sleep as long as recorded epochs took, scaled to
5 s on average. Utilisation is the share of the slots' time that is spent in epochs, from the moment when every slot has
reported. Simulated: the same search without Ray, on a clock that the driver's own work moves too, so that workers wait
for it as they would; what Ray adds to each result is taken from the real part, or from --ray-ms.

Batch: every fold of a protocol by one command, side by side on one Ray, beside a command for each fold.

Runs: so many searches with their finals side by side, on the largest of the numbers of slots, and simulated by so many
drivers. There an equal part of the workers is each driver's, and none lends the others what it has left.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

# Before numpy is imported, and inherited by the workers.
os.environ.update(RAY_worker_niceness="0", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import plotly.graph_objects as go
from _scale_batch import BatchRow, measure_batch, times_as_quick
from _scale_many import ManyRow, measure_many, simulate_many
from _scale_real import RealRow, measure_real
from _scale_simulated import EPOCH_SECONDS, SimulatedRow, measure_simulated
from plotly.subplots import make_subplots
from rich.console import Console
from rich.table import Table

from search.pages.figures._style import BLUE, MUTED, ORANGE, SURFACE, TEMPLATE
from search.simulation.curve_tables import CurveTable

RESULTS = Path(__file__).parent / "results"
TABLE = Path(__file__).parent / "curves" / "mlp-ravdess.jsonl"
GOAL, GOAL_GROWTH, GOAL_BATCH, GOAL_SIMULATED, GOAL_MB = 0.95, 2.0, 2.5, 0.90, 2048
MANY_TRIALS = 50
BATCH_OPTIONS = ("--model", "mlp", "--trials", "12", "--finalists", "2", "--seeds", "2", "--folds", "1")

Rows = Sequence[RealRow] | Sequence[SimulatedRow] | Sequence[BatchRow] | Sequence[ManyRow]


def figure(real: Sequence[RealRow], simulated: Sequence[SimulatedRow], workers: int) -> go.Figure:
    """Utilisation over slots, and the driver's time for a result over the trials that have ended."""
    drawing = make_subplots(
        rows=1, cols=2, subplot_titles=("Utilisation on Ray", f"The search's own time, {workers:,} simulated workers")
    )
    slots = [str(row.slots) for row in real]
    drawing.add_bar(
        x=slots, y=[100 * row.utilisation for row in real], marker_color=BLUE, showlegend=False, row=1, col=1
    )
    goal = {"color": MUTED, "dash": "dash", "width": 1}
    drawing.add_hline(y=100 * GOAL, line=goal, annotation={"text": f"goal: {100 * GOAL:.0f} %"}, row=1, col=1)
    trials = [row.trials for row in simulated]
    for name, colour, values in (
        ("a report", BLUE, [row.result_ms for row in simulated]),
        ("a proposal", ORANGE, [row.proposal_ms for row in simulated]),
        ("both, per result", MUTED, [row.ours_ms for row in simulated]),
    ):
        line = {"color": colour}
        drawing.add_scatter(x=trials, y=values, name=name, line=line, hovertemplate="%{y:.2f} ms", row=1, col=2)
    drawing.update_xaxes(title={"text": "slots"}, type="category", row=1, col=1)
    drawing.update_yaxes(title={"text": "% of the slots' time in epochs"}, range=[0, 105], row=1, col=1)
    drawing.update_xaxes(title={"text": "trials that have ended"}, row=1, col=2)
    drawing.update_yaxes(title={"text": "ms"}, rangemode="tozero", row=1, col=2)
    drawing.update_layout(template=TEMPLATE, paper_bgcolor=SURFACE, height=460, hovermode="x")
    return drawing


def write_csv(path: Path, rows: Rows) -> None:
    """One line per row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in asdict(row).items()}
            )


def cell(value: object) -> str:
    """A value in a table."""
    if isinstance(value, float):
        return f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table_of(title: str, rows: Rows) -> Table:
    """The rows as they are, with their own names."""
    table = Table(title=title)
    for name in asdict(rows[0]):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*map(cell, asdict(row).values()))
    return table


def verdicts(real: Sequence[RealRow], simulated: Sequence[SimulatedRow]) -> list[str]:
    """Whether the goals are met in what was measured."""
    lines = [
        f"at least {100 * GOAL:.0f} % utilisation at {row.slots} slots with {EPOCH_SECONDS:.0f} s epochs: "
        f"{'met' if row.utilisation >= GOAL else 'missed'} ({100 * row.utilisation:.1f} %)"
        for row in real
    ]
    if len(simulated) > 1:
        first, last = simulated[0], simulated[-1]
        growth = last.ours_ms / first.ours_ms
        lines.append(
            f"the search's time for a result grows by less than {GOAL_GROWTH:g} times from {first.trials:,} to "
            f"{last.trials:,} trials: {'met' if growth < GOAL_GROWTH else 'missed'} ({first.ours_ms:.2f} ms, then "
            f"{last.ours_ms:.2f} ms)"
        )
    return lines


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", default="8,32,64", help="trials at once on Ray, comma between them; none for no Ray")
    parser.add_argument("--minutes", type=float, default=3.0, help="measured for each number of slots (default: 3)")
    parser.add_argument("--workers", type=int, default=1_000, help="of the simulated cluster (default: 1000)")
    parser.add_argument(
        "--trials", type=int, help="simulated; 0 for no simulation (default: 10000); with --runs, of each (default: 50)"
    )
    parser.add_argument("--ray-ms", type=float, help="Ray's time for a result (default: measured at the most slots)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    parser.add_argument("--batch", metavar="DATA", help="measure a protocol on this corpus instead")
    parser.add_argument("--split", default="emobox", help="the protocol, emobox or kfold:K (default: emobox)")
    parser.add_argument("--runs", type=int, help="measure so many runs side by side instead")
    parser.add_argument("--drivers", default="1,2,4,8", help="of simulated runs, comma between (default: 1,2,4,8)")
    parser.add_argument("--repeats", type=int, default=3, help="of both ways, in turn (default: 3)")
    given = parser.parse_args(arguments)
    given.drivers = [int(number) for number in given.drivers.split(",")]
    if given.trials is None:
        given.trials = MANY_TRIALS if given.runs else 10_000
    given.slots = [] if given.slots == "none" else [int(number) for number in given.slots.split(",")]
    if given.trials and given.ray_ms is None and not given.slots:
        parser.error("--ray-ms must be given where it is not measured, with --slots none")
    return given


def report_batch(given: argparse.Namespace, console: Console) -> None:
    """Measure a protocol both ways, and print and keep what was found."""
    kind, _, number = given.split.partition(":")
    folds = [f"{given.split}:{fold}" for fold in range(1, (int(number) if kind == "kfold" else 6) + 1)]
    rows = measure_batch(given.batch, given.split, folds, BATCH_OPTIONS, given.repeats)
    write_csv(given.out / "scale-batch.csv", rows)
    console.print(table_of(f"{given.split} by mlp, {' '.join(BATCH_OPTIONS[2:])}; {os.cpu_count()} cores", rows))
    times = times_as_quick(rows)
    met = "met" if times >= GOAL_BATCH else "missed"
    console.print(
        f"side by side at least {GOAL_BATCH:g} times as quick as one after another: {met} ({times:.2f} times)"
    )


def report_many(given: argparse.Namespace, table: CurveTable, console: Console) -> None:
    """Measure runs side by side, and print and keep what was found."""
    rows, ray_ms = list[ManyRow](), given.ray_ms
    if given.slots:
        console.print(f"{given.runs} runs on Ray with {max(given.slots)} slots …", highlight=False)
        rows.append(measure_many(given.runs, given.trials, max(given.slots), table))
        write_csv(given.out / "scale-runs.csv", rows)
        ray_ms = rows[-1].driver_ms - rows[-1].ours_ms if ray_ms is None else ray_ms
    for drivers in given.drivers:
        console.print(f"{given.runs} runs on {given.workers:,} simulated workers by {drivers} …", highlight=False)
        rows.append(simulate_many(given.runs, given.trials, given.workers, drivers, table, ray_ms))
        write_csv(given.out / "scale-runs.csv", rows)
    console.print(table_of(f"{given.runs} runs of {given.trials} trials; {os.cpu_count()} cores", rows))
    for row in rows:
        goal = GOAL if row.kind == "Ray" else GOAL_SIMULATED
        console.print(
            f"{row.workers:,} {row.kind} workers, {row.drivers} drivers: at least {100 * goal:.0f} % utilisation until "
            f"the last tenth: {'met' if row.utilisation >= goal else 'missed'} ({100 * row.utilisation:.1f} %)",
            soft_wrap=True,
        )
    most = max(row.driver_mb for row in rows)
    met = "met" if most < GOAL_MB else "missed"
    console.print(f"a driver takes less than {GOAL_MB:,} MB: {met} ({most:,.0f} MB)")


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    console = Console(width=max(120, Console().width))  # a table is not cut off where the output goes to a file
    table = CurveTable.read(TABLE)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.batch:
        report_batch(given, console)
        return
    if given.runs:
        report_many(given, table, console)
        return
    real, simulated = list[RealRow](), list[SimulatedRow]()
    for slots in given.slots:
        console.print(f"{slots} slots on Ray …", highlight=False)
        real.append(measure_real(slots, 60 * given.minutes, table))
        write_csv(given.out / "scale-ray.csv", real)
    if real:
        console.print(table_of(f"a search on Ray with sleeping workers; {os.cpu_count()} cores", real))
    if given.trials:
        console.print(f"{given.workers:,} simulated workers …", highlight=False)
        ray_ms = given.ray_ms if given.ray_ms is not None else max(0.0, real[-1].driver_ms - real[-1].ours_ms)
        simulated = measure_simulated(table, workers=given.workers, trials=given.trials, ray_ms=ray_ms)
        write_csv(given.out / "scale-simulated.csv", simulated)
        console.print(table_of(f"{given.workers:,} simulated workers, Ray {ray_ms:.1f} ms a result", simulated))
    figure(real, simulated, given.workers).write_html(given.out / "scale.html", include_plotlyjs=True)
    for line in verdicts(real, simulated):
        console.print(line, soft_wrap=True)
    console.print(f"{given.out}: scale-ray.csv, scale-simulated.csv, scale.html", markup=False, highlight=False)


if __name__ == "__main__":
    main()
