"""The command line of a function that takes options, made from the fields of `Options`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer

from search.driver.options import OPTIONS, TYPES
from search.run_folder.rungs import AUTO


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """`function`, which takes what is given by the names of the options, with a signature that Typer reads."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_empty(name), annotation=_annotation(name))
        for name in OPTIONS
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _empty(name: str) -> Any:
    return False if TYPES[name] is bool else None


def _annotation(name: str) -> Any:
    about = OPTIONS[name]
    meaning = f" [default: {about.meaning}]" if about.meaning else ""
    flags = [f"{about.flag}/{about.off}" if about.off else about.flag]
    form: dict[str, Any] = {"metavar": about.spelled} if about.spelled else {}
    if about.known:
        form["autocompletion"] = lambda incomplete: [word for word in about.known if word.startswith(incomplete)]
    if {float, str} <= set(get_args(TYPES[name])):
        form["parser"] = gpu_share
    help = (about.help + meaning).replace("[", "\\[")
    return Annotated[_shown_type(name), typer.Option(*flags, help=help, rich_help_panel=about.panel, **form)]


def _shown_type(name: str) -> Any:
    """The type by which Typer reads a value: one of those that a field may have."""
    kinds = set(get_args(TYPES[name]))
    if {float, str} <= kinds:
        return Any
    return str | None if {int, str} <= kinds else TYPES[name]


def gpu_share(text: str) -> float | str:
    """The value of --gpus-per-trial."""
    try:
        return text if text == AUTO else float(text)
    except ValueError as error:
        raise typer.BadParameter(f"a number of GPUs, such as 0.25, or {AUTO}; got {text!r}") from error
