"""Search quality: our search beside its peers on the same learning curves, with a simulated clock.

    python benchmarks/search_quality.py [--seeds 20] [--workers 8,64] [--objectives mlp,…] [--only ours,ray,…]

Every contestant gets the same space, curves, workers and epochs over all trials, and no configuration to try first. The
figure of merit is simple regret: how much less the configuration that looks best so far reaches at its full budget than
the best configuration there is. Where a curve can be drawn anew with another seed, ours takes part with its finals too,
paid out of the same epochs. Runs that were done before are taken from results/search_quality.jsonl, so that the
benchmark can be stopped and continued; delete that file after changing a search. Syne Tune is optional:
pip install '.[bench]' && pip install --no-deps syne-tune==0.16.0 (its dependencies overwrite a library of PyTorch's).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

# Two processes share the machine, and their arrays are small. Before numpy is imported, and inherited by both.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from _contestants import CONTESTANTS, budget_points, run
from _objectives import OBJECTIVES, objective
from _quality_figure import Line, write_page
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import bootstrap

from search.run_folder.append_file import AppendFile

RESULTS = Path(__file__).parent / "results"
POINTS = 30
FULL_LENGTHS = {8: 30, 64: 64}
"""Workers -> budget, in trials of full length: several for each of a few workers, one for each of many."""
DEFAULT_FULL_LENGTHS = 30


@dataclass(frozen=True, kw_only=True)
class Task:
    """One search: who, on what, with how many workers, from which seed, and to how many epochs over all trials."""

    objective: str
    contestant: str
    workers: int
    seed: int
    budget: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a task.

    Attributes:
        about: data of the objective.
        trials: that began.
        regret: of the incumbent at each point of the budget.
        seconds: on the simulated clock, to the end of the budget.
    """

    task: Task
    about: str
    trials: int
    regret: Sequence[float]
    seconds: float


def search(task: Task) -> Result:
    """Run one task."""
    warnings.simplefilter("ignore", FutureWarning)  # of libraries that peers use, once per proposal
    it = objective(task.objective)
    meter = run(CONTESTANTS[task.contestant], it, workers=task.workers, seed=task.seed, budget=task.budget)
    regret = [round(float(it.regret(meter.incumbent(at))), 5) for at in budget_points(task.budget, POINTS)]
    return Result(task=task, about=it.about, trials=meter.trials, regret=regret, seconds=round(meter.clock(), 1))


def read_results(path: Path) -> dict[Task, Result]:
    """Results of earlier runs of the benchmark, as far as they are on the objectives' present data."""
    if not path.exists():
        return {}
    results = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        result = Result(**{**fields, "task": Task(**fields["task"])})
        if result.about == objective(result.task.objective).about:
            results[result.task] = result
    return results


def search_all(tasks: Sequence[Task], path: Path, processes: int, console: Console) -> dict[Task, Result]:
    """Results of all tasks; those that are not in the file yet are run and appended."""
    file = AppendFile(path)  # mends a last line that was torn
    known = read_results(path)
    missing = [task for task in tasks if task not in known]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(search, task) for task in missing]
        try:
            for future in track(as_completed(futures), "searching", len(futures), console=console):
                result = future.result()
                known[result.task] = result
                file.append([json.dumps(asdict(result), separators=(",", ":"))])
        finally:
            pool.shutdown(cancel_futures=True)
            file.close()
    return {task: known[task] for task in tasks}


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the 95 % percentile bootstrap interval of the mean over the first axis; the mean itself for one row."""
    if len(values) < 2:
        return values[0], values[0]
    found = bootstrap((values,), np.mean, axis=0, method="percentile", n_resamples=2000, rng=np.random.default_rng(0))
    return found.confidence_interval.low, found.confidence_interval.high


def lines_of(results: Mapping[Task, Result]) -> list[Line]:
    """One line per objective, number of workers and contestant, in the order of the tasks."""
    groups: dict[tuple[str, int, str], list[Result]] = {}
    for task, result in results.items():
        groups.setdefault((task.objective, task.workers, task.contestant), []).append(result)
    lines = []
    for (name, workers, contestant), found in groups.items():
        found.sort(key=lambda result: result.task.seed)
        regrets = np.array([result.regret for result in found])
        low, high = interval(regrets)
        lines.append(
            Line(
                objective=name,
                workers=workers,
                contestant=contestant,
                epochs=budget_points(found[0].task.budget, POINTS),
                regrets=regrets,
                mean=regrets.mean(axis=0),
                low=low,
                high=high,
                trials=float(np.mean([result.trials for result in found])),
                seconds=float(np.mean([result.seconds for result in found])),
            )
        )
    return lines


def write_csv(lines: Iterable[Line], path: Path) -> None:
    """Mean regret and its interval at every point of the budget."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["objective", "workers", "contestant", "seeds", "epochs", "regret", "low", "high"])
        for line in lines:
            head = [line.objective, line.workers, line.contestant, len(line.regrets)]
            for epochs, *numbers in zip(line.epochs, line.mean, line.low, line.high, strict=True):
                rows.writerow([*head, epochs, *(f"{number:.4g}" for number in numbers)])


def final_table(lines: Sequence[Line]) -> Table:
    """Regret at the end of the budget: every contestant, and ours beside the best peer, paired by seed."""
    names = list(dict.fromkeys(line.contestant for line in lines))
    table = Table(title="simple regret at the end of the budget, mean over seeds", caption="[95 % bootstrap interval]")
    for column in ("objective", "workers", *names, "ours − best peer"):
        table.add_column(column, justify="left" if column == "objective" else "right")
    for (name, workers), group in itertools.groupby(lines, key=lambda line: (line.objective, line.workers)):
        of = {line.contestant: line for line in group}
        cells = [f"{of[one].mean[-1]:.3f}" if one in of else "–" for one in names]
        table.add_row(name, str(workers), *cells, difference(of))
    return table


def difference(of: Mapping[str, Line]) -> str:
    """Ours minus the best peer at the end of the budget, paired by seed, with its interval."""
    peers = [line for name, line in of.items() if CONTESTANTS[name].peer]
    if "ours" not in of or not peers:
        return "–"
    best = min(peers, key=lambda line: float(line.mean[-1]))
    gap = of["ours"].regrets[:, -1:] - best.regrets[:, -1:]
    low, high = interval(gap)
    verdict = "better" if high[0] < 0 else "worse" if low[0] > 0 else "level"
    return f"{gap.mean():+.3f} [{low[0]:+.3f}, {high[0]:+.3f}] {best.contestant}: {verdict}"


# -- the command -----------------------------------------------------------------------------------------------------


def planned_tasks(given: argparse.Namespace) -> list[Task]:
    """What the options ask for, one seed after another, so that a benchmark that is stopped early shows something."""
    return [
        Task(
            objective=name,
            contestant=contestant,
            workers=workers,
            seed=seed,
            budget=(given.budget or FULL_LENGTHS.get(workers, DEFAULT_FULL_LENGTHS)) * objective(name).max_epochs,
        )
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for name in given.objectives
        for workers in given.workers
        for contestant in given.only
        if objective(name).repeats or not CONTESTANTS[contestant].finals
    ]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; names are checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join
    parser.add_argument("--seeds", type=int, default=20, help="repetitions of every search (default: 20)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the seeds (default: 0)")
    parser.add_argument("--objectives", default=names(OBJECTIVES), help="comma between them (default: all)")
    parser.add_argument("--workers", default="8,64", help="numbers of workers, comma between them (default: 8,64)")
    parser.add_argument("--only", default=names(CONTESTANTS), help="contestants, comma between them (default: all)")
    parser.add_argument(
        "--budget",
        type=int,
        help="epochs over all trials, in trials of full length (default: 64 for 64 workers, else 30)",
    )
    parser.add_argument("--processes", type=int, default=2, help="searches at once (default: 2)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    given = parser.parse_args(arguments)
    for option, known in (("objectives", OBJECTIVES), ("only", CONTESTANTS)):
        wanted = getattr(given, option).split(",")
        if unknown := [name for name in wanted if name not in known]:
            parser.error(f"--{option}: unknown {names(unknown)}; known: {names(known)}")
        setattr(given, option, wanted)
    given.workers = [int(number) for number in given.workers.split(",")]
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    given, console = parse(arguments), Console()
    for name in [name for name in given.only if CONTESTANTS[name].missing]:
        contestant = CONTESTANTS[name]
        console.print(f"left out: {contestant.title}, not installed: {contestant.install}", markup=False)
        given.only.remove(name)
    given.out.mkdir(parents=True, exist_ok=True)
    results = search_all(planned_tasks(given), given.out / "search_quality.jsonl", given.processes, console)
    lines = sorted(lines_of(results), key=lambda line: (given.objectives.index(line.objective), line.workers))
    write_csv(lines, given.out / "search_quality.csv")
    write_page(lines, given.out / "search_quality.html")
    console.print(final_table(lines))
    console.print(f"{given.out}: search_quality.csv, search_quality.html", markup=False, highlight=False)


if __name__ == "__main__":
    main()
