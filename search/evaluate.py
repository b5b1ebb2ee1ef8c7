"""A finished model or ensemble on other labelled speech.

    python search/evaluate.py RUN --data DATA           scores with intervals, a page, predictions
    python search/evaluate.py MODEL --data DATA --groups age,accent

Clips that the model was trained on are recognised by their samples and refused.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from search.driver.user_errors import USER_ERRORS, explained
from search.wording import printable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    model: Annotated[Path, typer.Argument(help="A run folder, the folder of a model or an ensemble, or hf:USER/NAME.")],
    data: Annotated[str, typer.Option(help="Labelled speech, as for a search.")],
    classes: Annotated[str | None, typer.Option(help="Emotions to keep or merge, as for a search.")] = None,
    groups: Annotated[str, typer.Option(help="Further columns by which clips are scored: age,accent.")] = "",
    scale: Annotated[str, typer.Option(help="Scales of ratings, as for a search: other=0:100.")] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unusable files out.")] = False,
    skip_trained: Annotated[
        bool, typer.Option("--skip-trained", help="Leave out clips that the model was trained on.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of what is written. [default: evaluations/MODEL-TIME]", metavar="FOLDER")
    ] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Corpora and features.")] = None,
) -> None:
    """Score MODEL on the speech in DATA: all scores with intervals, by speaker and group, and a page."""
    console = Console()
    from search.driver.evaluation import Asked, evaluate_model  # torch takes seconds to load
    from search.driver.options import Options
    from search.driver.protocol_folds import cache_folder
    from search.terminal.evaluation_table import print_evaluation
    from ser_core.ensemble import models_of

    folder = out or Path("evaluations") / f"{model.resolve().name}-{datetime.now():%Y%m%d-%H%M%S}"
    try:
        asked = Asked(
            models=models_of(model),
            data=data,
            classes=classes,
            groups=groups,
            scale=scale,
            skip_bad=skip_bad,
            skip_trained=skip_trained,
            out=folder,
            cache_dir=cache_folder(Options(cache_dir=cache_dir)),
        )
        print_evaluation(evaluate_model(asked, console), folder, console)
    except (*USER_ERRORS, OSError) as error:
        console.print(f"[bold red]error:[/] {escape(printable(explained(error)))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
