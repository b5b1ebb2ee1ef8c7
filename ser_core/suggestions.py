"""Help for names that were mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message, `. Did you mean optim.learning_rate?`, for a name that resembles a known one, else "".

    The last part of a dotted name counts by itself too: `learning_rate` is meant to be `optim.learning_rate`.
    """
    known = list(known)
    last_parts = {each.rpartition(".")[2]: each for each in known}
    close = get_close_matches(name, known, n=1)
    close = close or [last_parts[each] for each in get_close_matches(name.rpartition(".")[2], last_parts, n=1)]
    return f". Did you mean {close[0]}?" if close else ""
