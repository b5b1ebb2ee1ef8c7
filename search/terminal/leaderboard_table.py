"""The leaderboard and the ensemble as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from search.comparison.leaderboard import Leaderboard
from search.terminal.printing import plain, print_as_is
from search.wording import count, interval, printable, spread
from ser_core.metrics.paired import Comparison, verdict
from ser_core.named_scores import SCORES, Score


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """The ranks with their uncertainty, and a line per difference."""
    for warning in board.warnings:
        console.print(f"[yellow]{escape(printable(warning))}[/]", highlight=False)
    split = " to ".join(dict.fromkeys((board.splits[0], board.splits[-1])))
    title = f"Test of {count(board.clips, 'clip')} of {count(board.speakers, 'speaker')}, split {split}"
    score, second = board.headline, board.second
    table = Table(
        "", Column("Run", overflow="fold"), score.label, "95 % interval over speakers",
        second.both_names.replace("accuracy", "Accuracy"),
        f"Single model, {score.label}",
        title=escape(printable(title)), title_justify="left",
    )  # fmt: skip
    for rank, entry in enumerate(board.entries, start=1):
        own, single = entry.score[score.name], entry.single[score.name]
        bounds = interval(own["interval"], speakers=board.speakers, score=score)
        beside = second.text(entry.score[second.name]["value"])
        scores = (score.text(own["value"]), bounds, beside, spread(single.mean, single.std, score=score))
        table.add_row(str(rank), escape(printable(entry.name)), *scores)
    console.print(table)
    for entry in board.entries:
        print_matrix(entry.name, entry.matrix, score, console)
    for each in board.comparisons:
        print_as_is("; ".join(filter(None, (verdict(each), _mcnemar(each)))), console)
    if board.comparisons:
        exact = " McNemar's test treats the clips of a speaker as independent and decides nothing."
        print_as_is(
            f"p: difference in {score.label} over speakers, corrected for {count(len(board.comparisons), 'pair')} "
            f"(Holm).{exact if board.comparisons[0].mcnemar is not None else ''}",
            console,
        )


def print_matrix(
    name: str, matrix: Mapping[str, Mapping[str, Mapping[str, Any]]], score: Score, console: Console
) -> None:
    """What models of each group score on every other, a row for what was trained on; nothing without a matrix."""
    tested = sorted({group for row in matrix.values() for group in row})
    if not tested:
        return
    print_as_is(f"{name}: {score.label}, trained on a row, tested on a column", console)  # longer than some tables
    table = Table("", *map(plain, tested))
    for trained, row in matrix.items():
        cells = (score.text(row[group][score.name]["value"]) if group in row else "" for group in tested)
        table.add_row(plain(trained), *cells)
    console.print(table)


def print_ensemble(numbers: Mapping[str, Any], console: Console) -> None:
    """The score of an ensemble of runs and the shares in it, from `Ensemble.numbers`."""
    shares = ", ".join(f"{name} {share:.2f}" for name, share in numbers["weights"].items())
    first, second = (SCORES[name] for name in numbers["leading"][:2])
    test = numbers["test"]
    bounds = interval(test[first.name]["interval"], speakers=test["speakers"], score=first)
    print_as_is(
        f"Ensemble ({shares}; weights from validation clips): {first.label} {first.text(test[first.name]['value'])}, "
        f"95 % interval {bounds}, {second.both_names} {second.text(test[second.name]['value'])}",
        console,
    )


def _mcnemar(each: Comparison) -> str:
    test = each.mcnemar
    if test is None:
        return ""
    return f"McNemar {test.only_first} to {count(test.only_second, 'clip')}, p = {each.mcnemar_p_holm:.2g}"
