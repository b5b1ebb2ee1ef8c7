"""Pages of runs: written into their folders, bound into one that compares them, or served while a search runs.

    python search/dashboard.py RUN...                       writes dashboard.html in each run folder anew
    python search/dashboard.py RUN... --compare OUT.html    writes one page that compares the runs
    python search/dashboard.py --live RUN                   serves the page of a run as it grows, or those of a batch

Their contents come from `search.pages.sections` and `search.pages.run_head`; `search.pages.html` binds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from search.pages.live_batch import BatchFacts
from search.pages.live_view import DEFAULT_PORT, LOOPBACK, LiveError, LiveView
from search.pages.write import write_comparison, write_dashboard
from search.run_folder.paths import BATCH_FILE
from search.run_folder.run_view import RunFolderError
from search.wording import printable
from ser_core.config import ConfigError

USER_ERRORS = (RunFolderError, ConfigError, LiveError, OSError)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders.", show_default=False)] = None,
    compare: Annotated[Path | None, typer.Option(help="Write one page that compares the runs.", metavar="HTML")] = None,
    live: Annotated[
        Path | None,
        typer.Option(help="Serve the page of this run as it grows, or of all runs of a batch.", metavar="RUN"),
    ] = None,
    host: Annotated[str, typer.Option(help="With --live: the address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="With --live: the port; 0 takes a free one.")] = DEFAULT_PORT,
    optuna_dashboard: Annotated[
        bool, typer.Option("--optuna-dashboard", help="With --live: also start optuna-dashboard on the study.")
    ] = False,
) -> None:
    """Draw runs again from their records, compare them, or watch one."""
    problem = _problem(runs, compare, live, other=(host, port, optuna_dashboard) != (LOOPBACK, DEFAULT_PORT, False))
    if problem:
        raise typer.BadParameter(problem)
    if live is not None:
        done = _reported(live, partial(_serve, live, host, port, optuna_dashboard=optuna_dashboard))
    elif compare is not None:
        done = _reported(compare, lambda: typer.echo(write_comparison(compare, runs or ())))
    else:
        done = all([_reported(folder, partial(_rewrite, folder)) for folder in runs or ()])  # noqa: C419 - all are tried
    if not done:
        raise typer.Exit(1)


def _problem(runs: Sequence[Path] | None, compare: Path | None, live: Path | None, *, other: bool) -> str:
    """What is wrong with the options taken together, or ""."""
    if live is not None and (runs or compare is not None):
        return "--live serves one run and takes neither further runs nor --compare"
    if live is None and not runs:
        return "name one or more run folders, or --live RUN"
    if live is None and other:
        return "--host, --port and --optuna-dashboard belong to --live"
    return ""


def _serve(folder: Path, host: str, port: int, *, optuna_dashboard: bool) -> None:
    view = LiveView(folder, host, port, optuna_dashboard=optuna_dashboard, batch=_facts(folder))
    view.serve(typer.echo)


def _facts(folder: Path) -> BatchFacts | None:
    """What the batch in a folder is about, None for a run."""
    if not (folder / BATCH_FILE).exists():
        return None
    from search.driver.batch import Batch  # takes seconds to load, which the page of a run can do without

    batch = Batch.load(folder)
    runs = [member.folder for member in batch.members]
    return BatchFacts(runs=runs, models=batch.models, protocol=batch.protocol)


def _rewrite(folder: Path) -> None:
    typer.echo(write_dashboard(folder))


def _reported(what: Path, do: Callable[[], object]) -> bool:
    """Do it; True, or False after an error whose message says what to do, which is printed without a traceback."""
    try:
        do()
    except USER_ERRORS as error:
        typer.echo(printable(f"{what}: {error}"), err=True)
        return False
    return True


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
