"""Runs sent to an experiment tracker: finished ones, and what a tracker missed while it could not be reached.

    ser track RUN --to mlflow
    ser track RUN... --to mlflow=http://HOST:5000 --to tensorboard --experiment NAME

A folder of runs, as `--model all` and whole protocols leave it, stands for the runs in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.driver.user_errors import explained
from search.run_folder.paths import runs_below
from search.run_folder.run_view import read_run
from search.tracking.destination import Destination, destinations_of
from search.tracking.follower import Follower, sole_sender
from search.tracking.trackers import tracker_names
from search.wording import printable
from ser_core.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.", show_default=False)],
    to: Annotated[
        list[str],
        typer.Option(
            help=f"{', '.join(tracker_names())}; with MLflow's tracking URI, or a folder, as PLACE. Repeatable.",
            metavar="NAME[=PLACE]",
        ),
    ],
    experiment: Annotated[
        str | None, typer.Option(help="MLflow's experiment, or \\[ENTITY/]PROJECT of Weights & Biases.")
    ] = None,
) -> None:
    """Send runs to an experiment tracker, as far as they are not there."""
    try:
        destinations = destinations_of(to, experiment or "", "--to")
    except UserError as error:
        typer.echo(f"error: {printable(error)}", err=True)
        raise typer.Exit(2) from None
    folders = [folder for given in runs for folder in (runs_below(given) or [given])]
    done = [_send(folder, destination) for folder in folders for destination in destinations]
    if not all(done):
        raise typer.Exit(1)


def _send(folder: Path, destination: Destination) -> bool:
    """Send one run to one destination; True, or False after an error whose message is printed."""
    try:
        read_run(folder)  # what is no run gets no folder for positions
        with sole_sender(folder, destination):
            follower = Follower(folder, destination)
            follower.update(working=False)
            follower.close()
    except (UserError, OSError, ValueError) as error:
        typer.echo(printable(f"{folder}: {explained(error)}"), err=True)
        return False
    typer.echo(printable(f"{folder} is at {destination}"))
    return True


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
