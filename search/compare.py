"""Runs on the same test clips: ranked, and every pair of them tested.

    python search/compare.py RUN RUN...                  prints the leaderboard and all differences
    python search/compare.py RUN RUN... --ensemble       also scores their ensemble
    python search/compare.py RUN RUN... --json FILE      also writes them as JSON

A folder of runs, as `--model all` and whole protocols leave it, stands for the runs in it; the folds of a protocol
count as one, with their test clips together. Runs that differ in corpus, classes, split or test clips are refused:
their scores cannot be compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.comparison.comparable import runs_in
from search.comparison.ensemble import ensemble_across
from search.comparison.leaderboard import ComparisonError, make_leaderboard
from search.run_folder.run_view import RunFolderError
from search.terminal.leaderboard_table import print_ensemble, print_leaderboard
from search.wording import printable
from ser_core.config import ConfigError
from ser_core.whole_file import write_json

USER_ERRORS = (ComparisonError, RunFolderError, ConfigError, OSError)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
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
        typer.echo(f"error: {printable(error)}", err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
