"""Overhead: wall time of a trial beyond its training, ours beside Ray Tune and Optuna, from 100 to 5,000 trials.

    python benchmarks/overhead.py [--trials 5000] [--minutes 15] [--only ours,tune,…]

Contestants that are left out keep the figures that an earlier run gave them.

Every contestant has one worker and runs until it has done the trials or its minutes are over. Ours is the whole command
line: records, study, live view and page as ever. Trials are counted in windows: the first 100, the last 100 before
1,000 and so on. The driver's processor time stands beside the wall time, which other programs on the machine disturb.
Workers are started without niceness (RAY_worker_niceness=0), which Ray gives them where it may.

What TPE itself takes for a proposal is measured apart, Optuna's beside ours.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

# Before numpy is imported, and inherited by the contestants' processes.
os.environ.update(RAY_worker_niceness="0", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import optuna
import plotly.graph_objects as go
from _overhead_contestants import CONTESTANTS, Marks, learning_curve, measure
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from search.pages.figures._style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SURFACE, TEMPLATE
from search.study.curve_gp.sampler import CurveGPSampler
from search.study.samplers import make_sampler, suggest
from search.study.tpe import RememberingTPESampler
from spaces import space_for

RESULTS = Path(__file__).parent / "results"
WINDOW = 100
CHECKPOINTS = (100, 300, 1_000, 2_000, 3_000, 4_000, 5_000)
PROPOSAL_SIZES = (100, 1_000, 5_000)
GOAL_MS, LATE_GOAL_MS = 50.0, 100.0
"""Of the first window, and of any later one."""
PROPOSALS = 5
STYLES = {
    "ours": (BLUE, "solid"), "ours-random": (BLUE, "dot"), "tune": (ORANGE, "solid"), "tune-reuse": (ORANGE, "dot"),
    "optuna-journal": (GREEN, "solid"), "optuna-sqlite": (PURPLE, "solid"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One window of one contestant.

    Attributes:
        trials: the window ends with this trial.
        wall_ms, mean_ms: median and mean over the window of a trial's wall time beyond training.
        driver_cpu_ms: mean over the window of the driver's processor time.
        growth: `wall_ms` as a multiple of the first window's.
    """

    contestant: str
    trials: int
    wall_ms: float
    mean_ms: float
    driver_cpu_ms: float
    growth: float


FIGURES = ("wall_ms", "mean_ms", "driver_cpu_ms", "growth")


def windows(name: str, marks: Marks, ends: Iterable[int] = CHECKPOINTS) -> list[Row]:
    """The windows that the contestant has filled; the first trial, which waits for the worker to start, counts nowhere.

    A window at the end of the run that is not full is shown too when it ends before the first of `ends`.
    """
    done = len(marks.ended)
    rows: list[Row] = []
    for end in sorted({end for end in ends if end <= done} | {done}):
        wall = 1e3 * marks.wall_beyond_training[max(0, end - WINDOW) : end - 1]
        cpu = 1e3 * marks.driver_cpu[max(0, end - WINDOW) : end - 1]
        if not len(wall):
            continue
        middle = float(np.median(wall))
        rows.append(
            Row(
                contestant=name,
                trials=end,
                wall_ms=middle,
                mean_ms=float(wall.mean()),
                driver_cpu_ms=float(cpu.mean()),
                growth=middle / rows[0].wall_ms if rows else 1.0,
            )
        )
    return rows


def proposal_ms(make: Callable[[int], BaseSampler], sizes: Sequence[int]) -> list[float]:
    """Median processor time of a proposal after so many ended trials, most of them pruned."""
    space, study = space_for("mlp"), optuna.create_study(direction="maximize")
    found, number = [], 0
    for size in sizes:
        while number < size:
            study.sampler = make_sampler("random", 0, number, space)
            trial = study.ask()
            params = suggest(trial, space)
            last = 9 if number % 8 == 0 else 2 if number % 8 < 6 else 6
            for epoch in range(1, last + 1):
                trial.report(learning_curve(params, epoch), epoch)
            complete = last == 9
            study.tell(
                trial,
                learning_curve(params, last) if complete else None,
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
            )
            number += 1
        seconds = []
        for seed in range(PROPOSALS + 1):
            study.sampler = make(seed)
            started = time.process_time()
            trial = study.ask()
            suggest(trial, space)
            seconds.append(time.process_time() - started)
            study.tell(trial, state=TrialState.FAIL)
            number += 1
        found.append(1e3 * statistics.median(seconds[1:]))  # a study that grew by a thousand trials at once is learnt
    return found


def figure(rows: Sequence[Row]) -> go.Figure:
    """Wall time beyond training against the number of trials, a median over `WINDOW` trials."""
    drawing = go.Figure()
    for name in dict.fromkeys(row.contestant for row in rows):
        own = [row for row in rows if row.contestant == name]
        colour, dash = STYLES[name]
        drawing.add_scatter(
            x=[row.trials for row in own],
            y=[row.wall_ms for row in own],
            name=CONTESTANTS[name][0],
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            hovertemplate="%{y:.0f} ms",
        )
    drawing.add_hline(
        y=GOAL_MS, line={"color": MUTED, "dash": "dash", "width": 1}, annotation={"text": f"goal: {GOAL_MS:.0f} ms"}
    )
    drawing.update_layout(
        template=TEMPLATE,
        paper_bgcolor=SURFACE,
        title=f"Overhead of a trial: wall time beyond training (median of {WINDOW} trials, one worker)",
        xaxis={"title": {"text": "trials so far"}, "type": "log"},
        yaxis={"title": {"text": "ms a trial"}, "type": "log"},
        hovermode="x",
    )
    return drawing


def read_csv(path: Path) -> list[Row]:
    """What an earlier run wrote; nothing when there was none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                contestant=line["contestant"],
                trials=int(line["trials"]),
                **{name: float(line[name]) for name in FIGURES},
            )
            for line in csv.DictReader(file)
        ]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """One line per window, figures to a tenth."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in rows:
            writer.writerow({key: round(v, 1) if isinstance(v, float) else v for key, v in asdict(row).items()})


def overhead_table(rows: Sequence[Row]) -> Table:
    where = f"one worker, RAY_worker_niceness=0, {platform.machine()} with {os.cpu_count()} cores"
    table = Table(title=f"ms a trial beyond training, wall time; {where}")
    for heading in ("contestant", "trials", "median", "mean", "driver's CPU", "growth"):
        table.add_column(heading, justify="left" if heading == "contestant" else "right", no_wrap=True)
    before = ""
    for row in rows:
        title = CONTESTANTS[row.contestant][0] if row.contestant != before else ""
        numbers = (f"{row.wall_ms:.1f}", f"{row.mean_ms:.1f}", f"{row.driver_cpu_ms:.1f}", f"{row.growth:.1f} x")
        table.add_row(title, f"{row.trials:,}", *numbers)
        before = row.contestant
    return table


def proposal_table(sizes: Sequence[int]) -> Table:
    """Optuna's TPE beside our samplers; (sizes) rows."""
    space = space_for("mlp")
    stock = proposal_ms(lambda seed: TPESampler(seed=seed, multivariate=True, group=True), sizes)
    own = proposal_ms(lambda seed: RememberingTPESampler(seed=seed), sizes)
    process = proposal_ms(lambda seed: CurveGPSampler(seed=seed, space=space), sizes)
    table = Table("trials", "Optuna's TPE", "our TPE", "curve-gp", title="ms of processor time for a proposal")
    for size, *times in zip(sizes, stock, own, process, strict=True):
        table.add_row(f"{size:,}", *(f"{time:.1f}" for time in times))
    return table


def goal_line(rows: Sequence[Row]) -> str:
    """Whether ours meets the goal in what was measured."""
    mine = [row for row in rows if row.contestant == "ours"]
    if not mine:
        return "ours was not measured"
    first, last = mine[0], mine[-1]
    met = first.wall_ms <= GOAL_MS and last.wall_ms <= LATE_GOAL_MS
    return (
        f"at most {GOAL_MS:.0f} ms, and later at most {LATE_GOAL_MS:.0f} ms: {'met' if met else 'missed'} "
        f"({first.wall_ms:.1f} ms at {first.trials:,} trials, {last.wall_ms:.1f} ms at {last.trials:,})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5_000, help="of every contestant (default: 5000)")
    parser.add_argument("--minutes", type=float, default=15.0, help="at most, for every contestant (default: 15)")
    parser.add_argument("--only", default=",".join(CONTESTANTS), help=f"some of {', '.join(CONTESTANTS)}")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for overhead.csv and overhead.html")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := set(names) - set(CONTESTANTS):
        parser.error(f"--only takes {', '.join(CONTESTANTS)}; got {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = Console(width=max(100, Console().width))  # a table is not cut off where the output goes to a file
    marks, failed = {}, []
    for name in names:
        console.print(f"{CONTESTANTS[name][0]} …", highlight=False)
        try:
            with tempfile.TemporaryDirectory(prefix="ser-overhead-") as folder:
                marks[name] = measure(name, given.trials, 60 * given.minutes, Path(folder))
        except RuntimeError as error:  # the others' figures are worth having all the same
            failed.append(str(error))
    rows = [row for name, one in marks.items() for row in windows(name, one)]
    kept = [row for row in read_csv(given.out / "overhead.csv") if row.contestant not in marks]
    rows = sorted([*rows, *kept], key=lambda row: (list(CONTESTANTS).index(row.contestant), row.trials))
    given.out.mkdir(parents=True, exist_ok=True)
    write_csv(given.out / "overhead.csv", rows)
    figure(rows).write_html(given.out / "overhead.html", include_plotlyjs=True)
    console.print(overhead_table(rows))
    console.print(proposal_table([size for size in PROPOSAL_SIZES if size <= max(given.trials, PROPOSAL_SIZES[0])]))
    console.print(goal_line(rows), soft_wrap=True)
    console.print(f"{given.out / 'overhead.csv'}\n{given.out / 'overhead.html'}", soft_wrap=True)
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main()
