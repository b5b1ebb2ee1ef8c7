"""`ser`, one command for everything; what a part of it needs is loaded when that part is called.

ser search --model mlp --data demo          the same as: python -m search search …, python search/run.py …
ser dashboard RUN
ser --install-completion
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ser_core.suggestions import did_you_mean

COMMANDS: Mapping[str, tuple[str, str]] = {
    "search": ("search.run", "Tune MODEL on the speech in DATA: search, finalists over seeds, refit, one reading of "
               "the test set."),
    "dashboard": ("search.dashboard", "Draw runs again from their records, compare them, or watch one."),
    "compare": ("search.compare", "Rank runs by their test scores, and test every difference on the same clips."),
    "evaluate": ("search.evaluate", "Score MODEL on the speech in DATA: all scores with intervals, by speaker and "
                 "group, and a page."),
    "track": ("search.track", "Send runs to an experiment tracker, as far as they are not there."),
    "data": ("search.data", "Check a corpus, or write it as a manifest."),
    "predict": ("ser_core.predict", "Predict the emotion in AUDIO with MODEL."),
    "serve": ("search.serve", "Serve MODEL over HTTP, with a page to try it."),
    "export": ("ser_core.export", "Export MODEL to ONNX, or what transformers can load of it."),
    "push": ("search.push", "Publish MODEL on a model hub, with its card."),
    "cluster": ("search.cluster", "Ray clusters for ser-search."),
}  # fmt: skip
"""Name -> module whose `app` is the command, and what it does."""


class _LazyCommands(TyperGroup):
    """The commands of the table: by name and help for lists of them, themselves when one is called or completed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS:
            ctx.fail(f"no such command {name!r}; known: {', '.join(COMMANDS)}{did_you_mean(name, COMMANDS)}")
        return name, load_command(name), args[1:]


def load_command(name: str) -> Any:
    """The command itself, with the modules that it needs."""
    command = typer.main.get_command(import_module(COMMANDS[name][0]).app)
    command.name = name
    return command


app = typer.Typer(cls=_LazyCommands, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def ser() -> None:
    """Speech emotion recognition: tune a model, compare runs, look at them, and use what they found."""


def main() -> None:
    """Entry point of `ser`."""
    app()


if __name__ == "__main__":
    main()
