"""An evaluation on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from search.comparison.comparable import evaluation_banners
from search.run_folder.paths import EVALUATION_FILE, EVALUATION_PAGE_FILE
from search.run_folder.run_score import headline_of, run_score, scores_of_result
from search.run_folder.verdict import group_sentences
from search.terminal.printing import dimension_lines, plain, print_as_is
from search.wording import count, interval
from ser_core.whole_file import defined


def print_evaluation(document: Mapping[str, Any], folder: Path, console: Console) -> None:
    """The scores with their intervals, the worst groups, what readers must not overlook, and where everything lies."""
    test = defined(document["test"])
    title = f"{document['data']['corpus']}: {count(test['clips'], 'clip')} of {count(test['speakers'], 'speaker')}"
    table = Table("", "Value", "95 % interval over speakers", title=plain(title), title_justify="left")
    for score in scores_of_result(document):
        own = run_score(test, score.name)
        bounds = interval(own.interval, speakers=test["speakers"], score=score)
        table.add_row(score.both_names, score.text(own.value), bounds)
    console.print(table)
    for line in dimension_lines({**document, "test": test}):
        console.print(plain(line), highlight=False)
    for sentence in group_sentences(test, headline_of(document)):
        console.print(plain(sentence), highlight=False)
    for banner in evaluation_banners(document):
        console.print(f"[yellow]{plain(f'{banner.word} {banner.text}')}[/]", highlight=False)
    for file in (EVALUATION_PAGE_FILE, EVALUATION_FILE):
        print_as_is(f"  {(folder / file).resolve()}", console)
