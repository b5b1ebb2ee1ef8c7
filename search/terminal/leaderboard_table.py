"""The leaderboard and the ensemble as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from search.comparison.leaderboard import Leaderboard
from search.wording import count, interval, percent, printable, spread
from ser_core.metrics.paired import Comparison, verdict


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """The ranks with their uncertainty, and a line per difference."""
    for warning in board.warnings:
        console.print(f"[yellow]{escape(printable(warning))}[/]", highlight=False)
    split = " to ".join(dict.fromkeys((board.splits[0], board.splits[-1])))
    title = f"Test of {count(board.clips, 'clip')} of {count(board.speakers, 'speaker')}, split {split}"
    table = Table(
        "", Column("Run", overflow="fold"), "UAR", "95 % interval over speakers", "Accuracy (WAR)", "Single model, UAR",
        title=escape(printable(title)), title_justify="left",
    )  # fmt: skip
    for rank, entry in enumerate(board.entries, start=1):
        uar, war = entry.score["uar"], entry.score["war"]
        bounds = interval(uar["interval"], speakers=board.speakers)
        scores = (percent(uar["value"]), bounds, percent(war["value"]), spread(entry.uar.mean, entry.uar.std))
        table.add_row(str(rank), escape(printable(entry.name)), *scores)
    console.print(table)
    for each in board.comparisons:
        _say(console, f"{verdict(each)}; {_mcnemar(each)}")
    if board.comparisons:
        _say(
            console,
            f"p: difference in UAR over speakers, corrected for {count(len(board.comparisons), 'pair')} (Holm). "
            f"McNemar's test treats the clips of a speaker as independent and decides nothing.",
        )


def print_ensemble(numbers: Mapping[str, Any], console: Console) -> None:
    """The score of an ensemble of runs and the shares in it, from `Ensemble.numbers`."""
    shares = ", ".join(f"{name} {share:.2f}" for name, share in numbers["weights"].items())
    uar, war = numbers["test"]["uar"], numbers["test"]["war"]
    bounds = interval(uar["interval"], speakers=numbers["test"]["speakers"])
    _say(
        console,
        f"Ensemble ({shares}; weights from validation clips): UAR {percent(uar['value'])}, 95 % interval "
        f"{bounds}, accuracy {percent(war['value'])}",
    )


def _mcnemar(each: Comparison) -> str:
    test = each.mcnemar
    return f"McNemar {test.only_first} to {count(test.only_second, 'clip')}, p = {each.mcnemar_p_holm:.2g}"


def _say(console: Console, text: str) -> None:
    """Print as it is: no wrapping, so that paths can be copied, no markup, and no colouring of numbers."""
    console.print(printable(text), highlight=False, soft_wrap=True, markup=False)
