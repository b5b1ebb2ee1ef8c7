"""A trained model on a model hub, with its card, and in forms that other programs read.

    ser push runs/NAME USER/NAME --private
    ser push runs/NAME/final/trial-00012-seed-1 USER/NAME --accept-licence "CC BY-NC-SA 4.0"

`ser predict hf:USER/NAME clip.wav` uses it from anywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from search.driver.user_errors import USER_ERRORS, explained
from search.wording import printable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    model: Annotated[Path, typer.Argument(help="A run folder, or the folder of a model or an ensemble.")],
    name: Annotated[str, typer.Argument(help="Where it goes.", metavar="USER/NAME")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is one that you alone see.")] = False,
    accept_licence: Annotated[
        str | None,
        typer.Option(
            help="The licence of the corpus, word for word: you may share a model that was trained on it. Asked where "
            "it is left out and the corpus restricts it.",
            metavar="LICENCE",
        ),
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx/--no-onnx", help="Also as ONNX.")] = True,
    transformers: Annotated[
        bool, typer.Option("--transformers", help="Also what transformers loads of it, the encoder's weights with it.")
    ] = False,
) -> None:
    """Publish MODEL on a model hub, with its card."""
    from search.hub.upload import Push, push  # torch takes seconds to load

    asked = Push(model=model, name=name, private=private, onnx=onnx, transformers=transformers)
    try:
        address = push(asked, accept_licence, confirm=_confirm if sys.stdin.isatty() else None, log=_say)
    except (*USER_ERRORS, OSError) as error:
        typer.echo(f"error: {printable(explained(error))}", err=True)
        raise typer.Exit(2) from None
    _say(f"{address}\nser predict hf:{name} clip.wav")


def _confirm(question: str) -> bool:
    return typer.confirm(printable(question))


def _say(text: str) -> None:
    typer.echo(printable(text))


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
