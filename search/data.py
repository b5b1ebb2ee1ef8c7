"""Corpora before a search: what one holds and what is wrong with it, or its clips as a manifest.

python -m search data check WHERE [--page corpus.html]
python -m search data convert WHERE OUT.csv
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from platformdirs import user_cache_path
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search.driver.data_check import check_corpus, write_manifest
from search.pages.corpus_page import corpus_page, facts
from ser_core.corpora import load_corpus, progress_bars
from ser_core.errors import UserError
from ser_core.targets import EMOTION
from ser_core.whole_file import write_whole

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Where = Annotated[str, typer.Argument(help="A corpus, as --data of ser search takes it.", metavar="WHERE")]
Target = Annotated[str, typer.Option(help="emotion, votes, or columns of ratings, as in ser search.")]
Classes = Annotated[str | None, typer.Option(help="Pick and merge classes, as in ser search.")]
CacheDir = Annotated[Path | None, typer.Option(help="For what is downloaded, unpacked and remembered.")]


@app.callback()
def _group() -> None:
    """Check a corpus, or write it as a manifest."""


@app.command()
def check(
    where: Where,
    page: Annotated[Path, typer.Option(help="The page that is written.", metavar="HTML")] = Path("corpus.html"),
    classes: Classes = None,
    target: Target = EMOTION,
    cache_dir: CacheDir = None,
) -> None:
    """Say what a corpus holds and what is wrong with it. The exit code is 1 when files cannot be used."""
    console = Console()
    try:
        with progress_bars(console) as progress:
            report = check_corpus(
                where,
                classes=classes,
                target=target,
                cache_dir=cache_dir or user_cache_path("ser-search"),
                progress=progress,
            )
        write_whole(page, corpus_page(report))
    except (UserError, OSError) as error:
        _give_up(console, error)
    table = Table(show_header=False, box=None)
    for name, value in facts(report):
        table.add_row(Text(name, style="bold"), Text(value))
    console.print(table)
    for finding in report.findings:
        console.print(Text(f"- {finding}"), soft_wrap=True)
    for path, reason in report.bad:
        console.print(Text(f"  {path}: {reason}"), soft_wrap=True)
    console.print(Text(f"Page: {page}"), soft_wrap=True)
    raise typer.Exit(1 if report.bad else 0)


@app.command()
def convert(
    where: Where,
    out: Annotated[Path, typer.Argument(help="The manifest: .csv, .tsv or .jsonl.", metavar="OUT")],
    classes: Classes = None,
    target: Target = EMOTION,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave files out that cannot be used.")] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Write the clips of a corpus as a manifest, with paths from its folder."""
    console = Console()
    try:
        with progress_bars(console) as progress:
            cache = cache_dir or user_cache_path("ser-search")
            manifest = load_corpus(
                where, skip_bad=skip_bad, classes=classes, target=target, cache_dir=cache, progress=progress
            )
        write_manifest(manifest, out)
    except (UserError, OSError) as error:
        _give_up(console, error)
    console.print(Text(f"{out}: {len(manifest.clips):,} clips of {manifest.corpus}"), soft_wrap=True)


def _give_up(console: Console, error: Exception) -> NoReturn:
    console.print(Text(f"error: {error}"), soft_wrap=True)
    raise typer.Exit(2)


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
