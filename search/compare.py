"""Runs on the same test clips: ranked, and every pair of them tested.

    python search/compare.py RUN RUN...                  prints the leaderboard and all differences
    python search/compare.py RUN RUN... --ensemble       also scores their ensemble
    python search/compare.py RUN RUN... --json FILE      also writes them as JSON

A folder of runs, as `--model all` and whole protocols leave it, stands for the runs in it; the folds of a protocol
count as one, with their test clips together. Runs that differ in corpus, classes, split or test clips are refused:
their scores cannot be compared.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

# As a script, this file's folder is first on the path, where `records`, `view` and the like would hide libraries.
if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    del sys.path[0]

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from search.dashboard import write_comparison
from search.ensemble import ensemble_across
from search.figures._style import count
from search.leaderboard import LEADERBOARD_FILE, ComparisonError, Leaderboard, Score, make_leaderboard
from search.view import PLAN_FILE, RunFolderError, read_run
from ser_core.config import ConfigError
from ser_core.metrics import Interval
from ser_core.paired import Comparison, verdict
from ser_core.whole_file import write_json

PAGE_FILE = "comparison.html"
USER_ERRORS = (ComparisonError, RunFolderError, ConfigError, OSError)


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.", show_default=False)],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the leaderboard as JSON.", metavar="FILE")
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Also average the runs, with weights from their validation clips.")
    ] = False,
) -> None:
    """Rank runs by their test scores, and test every difference on the same clips."""
    console = Console()
    try:
        groups = runs_in(runs)
        board = make_leaderboard(groups)
        if len(board.entries) < 2:
            raise ComparisonError("a comparison takes two or more different runs; name their folders")
        print_leaderboard(board, console)
        numbers = board.numbers()
        if ensemble:
            numbers["ensemble"] = ensemble_across(groups).numbers()
            print_ensemble(numbers["ensemble"], console)
        if json_file is not None:
            write_json(json_file, numbers)
    except USER_ERRORS as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def runs_in(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Name -> run folder, or those of the folds of a protocol; models name them, with their folder where two are alike.

    Raises:
        RunFolderError: a folder that is neither a run nor a folder of runs.
    """
    found: list[tuple[str, Path, list[Path]]] = []
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        inside = sorted(path.parent for path in folder.glob(f"*/{PLAN_FILE}"))
        if (folder / PLAN_FILE).exists() or not inside:
            found.append((read_run(folder).plan["model"], folder, [folder]))
            continue
        by_model: dict[str, list[Path]] = {}
        for run in inside:
            by_model.setdefault(read_run(run).plan["model"], []).append(run)
        found += [(model, folder, own) for model, own in by_model.items()]
    models = Counter(model for model, *_ in found)
    names = Counter((model, folder.name) for model, folder, _ in found)

    def name(model: str, folder: Path) -> str:
        if models[model] == 1:
            return model
        return f"{model} ({folder.name if names[model, folder.name] == 1 else folder})"

    return {name(model, folder): own for model, folder, own in found}


def conclude(
    parent: Path, runs: Mapping[str, Sequence[Path]], not_run: Mapping[str, str], console: Console
) -> Leaderboard:
    """Print the leaderboard of runs below `parent`, and keep it there as `leaderboard.json` and a page.

    There is no page of one run, and whole protocols have one of their own (`search.protocol_page`).

    Args:
        runs: as for `make_leaderboard`, at least one.
        not_run: what could not be run -> why.

    Raises:
        ComparisonError, RunFolderError, ConfigError, OSError: see `make_leaderboard` and `write_comparison`.
    """
    board = make_leaderboard(runs, not_run)
    print_leaderboard(board, console)
    paths = [write_json(parent / LEADERBOARD_FILE, board.numbers())]
    folders = [folder for own in runs.values() for folder in own]
    if len(folders) == len(runs) > 1:
        paths.append(write_comparison(parent / PAGE_FILE, folders))
    for path in paths:
        _say(console, f"  {path.resolve()}")
    return board


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """The ranks with their uncertainty, and a line per difference."""
    for warning in board.warnings:
        console.print(f"[yellow]{escape(warning)}[/]", highlight=False)
    split = " to ".join(dict.fromkeys((board.splits[0], board.splits[-1])))
    title = f"Test of {count(board.clips, 'clip')} of {count(board.speakers, 'speaker')}, split {split}"
    table = Table(
        "", Column("Run", overflow="fold"), "UAR", "± over seeds", "95 % interval over speakers", "Accuracy (WAR)",
        title=escape(title), title_justify="left",
    )  # fmt: skip
    for rank, entry in enumerate(board.entries, start=1):
        interval = _interval(entry.uar.interval)
        table.add_row(
            str(rank), escape(entry.name), _percent(entry.uar), _spread(entry.uar), interval, _percent(entry.war)
        )
    console.print(table)
    for each in board.comparisons:
        _say(console, f"{verdict(each)}; {_mcnemar(each)}")
    if board.comparisons:
        _say(
            console,
            f"p: difference in UAR over speakers, corrected for {count(len(board.comparisons), 'pair')} (Holm). "
            f"McNemar's test takes clips of one speaker for independent and decides nothing.",
        )


def print_ensemble(numbers: Mapping[str, Any], console: Console) -> None:
    """The score of an ensemble of runs and the shares in it, from `Ensemble.numbers`."""
    shares = ", ".join(f"{name} {share:.2f}" for name, share in numbers["weights"].items())
    uar, war = numbers["test"]["uar"], numbers["test"]["war"]
    _say(
        console,
        f"Ensemble ({shares}; weights from validation clips): UAR {100 * uar['value']:.1f} %, 95 % interval "
        f"{_interval(Interval(*uar['interval']))}, accuracy {100 * war['value']:.1f} %",
    )


def _mcnemar(each: Comparison) -> str:
    test = each.mcnemar
    return f"McNemar {test.only_first} to {test.only_second} clips, p = {each.mcnemar_p_holm:.2g}"


def _percent(score: Score) -> str:
    return f"{100 * score.mean:.1f} %"


def _spread(score: Score) -> str:
    return "-" if score.std is None else f"{100 * score.std:.1f}"


def _interval(interval: Interval) -> str:
    return "-" if math.isnan(interval.low) else f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"


def _say(console: Console, text: str) -> None:
    """Print as it is: no wrapping, so that paths can be copied, no markup, and no colouring of numbers."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def main() -> None:
    """The command."""
    typer.run(command)


if __name__ == "__main__":
    main()
