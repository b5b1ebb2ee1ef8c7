"""The command line: tune one architecture, or all of them, and end with a test number that can be trusted."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from search.driver.command_line import with_options
from search.driver.options import Options
from search.driver.user_errors import USER_ERRORS, explained
from search.interruption import Interrupted
from search.wording import printable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@with_options
def tune(**given: Any) -> None:
    """Tune MODEL on the speech in DATA: search, finalists over seeds, refit, one reading of the test set."""
    console = Console()
    try:
        options = Options(**given)
        options.check_complete()
        complete = _tune(options, console)
    except Interrupted:
        raise typer.Exit(130) from None
    except (*USER_ERRORS, OSError) as error:
        message = escape(printable(explained(error)))
        console.print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    if not complete:
        raise typer.Exit(1)


def _tune(options: Options, console: Console) -> bool:
    """Do what is asked for; False when a run of a batch could not be run."""
    from search.driver.tune import asked_batch, tune_batch, tune_one  # torch and Optuna take seconds to load

    batch = asked_batch(options, console)
    if batch is not None:
        return tune_batch(*batch, options, console)
    tune_one(options, console)
    return True


def main() -> None:
    """Entry point of `ser-search`."""
    app()


if __name__ == "__main__":
    main()
