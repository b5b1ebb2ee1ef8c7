"""JSON that anybody may have written or damaged: read within bounds, and checked against types at the door.

Standard library only. Whoever reads a file turns `DocumentError` into an error of its own family.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ser_core.errors import UserError

MOST_BYTES = 2**28
"""The largest document that a run writes is `insight.json`, of a few megabytes."""
MOST_LEVELS = 50
"""Of lists and objects in one another; what a run writes has fewer than ten."""
_MOST_WHOLE = 2**63 - 1
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}


class DocumentError(UserError, ValueError):
    """Not the JSON document that it should be; the message says where in it, and what is wrong."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        DocumentError: see `parse_object`, with the file's name.
        OSError: no such file, or one that cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise DocumentError(f"{path} is not JSON that this version writes: it has more than {MOST_BYTES:,} bytes")
    try:
        return parse_object(path.read_bytes())
    except DocumentError as error:
        raise DocumentError(f"{path} {error}") from error


def parse_object(data: bytes | str, *, any_text: bool = False) -> dict[str, Any]:
    """The JSON object in `data`.

    Args:
        any_text: take text as it is: a message that some library wrote may hold anything.

    Raises:
        DocumentError: no JSON, no object; nesting, numbers or text that no program of ours writes: more than
            `MOST_LEVELS` levels, numbers beyond 64 bits, text with NUL or half a surrogate pair.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        value = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise DocumentError(f"is not JSON (nested deeper than {MOST_LEVELS} levels)") from error
    except ValueError as error:
        raise DocumentError(f"is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise DocumentError(f"must hold a JSON object; got {_kind(value)}")
    # Nearly every line of a long record needs no walk: JSON takes no bare NUL, and UTF-8 no half of a pair.
    if "\\u" in text or not text.isascii() or text.count("[") + text.count("{") > MOST_LEVELS:
        _check_depth(value, any_text)
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > _MOST_WHOLE:
        raise ValueError(f"the number {text[:30]} has more than 64 bits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:30]} is not finite")
    return value


def _check_depth(document: dict[str, Any], any_text: bool) -> None:
    """Level by level, since recursion is what a hostile document would exhaust."""
    level: list[Any] = [document]
    for _ in range(MOST_LEVELS):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += [*value, *value.values()]
            elif isinstance(value, list):
                inside += value
            elif (
                not any_text
                and isinstance(value, str)
                and any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value)
            ):
                raise DocumentError(
                    f"is not JSON that any program writes: {value[:40]!r} holds NUL or half a character"
                )
        level = inside
        if not level:
            return
    raise DocumentError(f"is not JSON that this version writes: it is nested deeper than {MOST_LEVELS} levels")


def typed(kind: Any, value: Any, place: str = "") -> Any:
    """A JSON value as `kind`: a dataclass, `Sequence[T]` (a tuple), `Mapping[str, T]`, a union or a plain type.

    A dataclass ignores keys that it does not know, of newer versions, and takes its defaults for missing ones.

    Args:
        place: where the value stands in its document, for messages.

    Raises:
        DocumentError: a value of another type, a missing key, or a number that the dataclass refuses.
    """
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, place)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(inner, value, place)
    if origin in (Sequence, tuple):
        items = _plain(list, value, place)
        return tuple(typed(inner[0], item, f"{place}[{index}]") for index, item in enumerate(items))
    if origin is Mapping:
        entries = _plain(dict, value, place)
        return {key: typed(inner[1], item, _within(place, key)) for key, item in entries.items()}
    return _plain(kind, value, place)


def _record(kind: Any, value: Any, place: str) -> Any:
    entries, hints = _plain(dict, value, place), _hints(kind)
    missing = [each.name for each in dataclasses.fields(kind) if _is_required(each) and each.name not in entries]
    if missing:
        raise DocumentError(f"{place or 'it'} lacks {', '.join(missing)}")
    known = {name: typed(hint, entries[name], _within(place, name)) for name, hint in hints.items() if name in entries}
    return kind(**known)


def _one_of(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """A value of a union: of one kind or nothing, or of several plain kinds."""
    if value is None and type(None) in kinds:
        return None
    present = [kind for kind in kinds if kind is not type(None)]
    if len(present) == 1:
        return typed(present[0], value, place)
    if not any(_is(kind, value) for kind in present):
        words = " or ".join(_KINDS[kind] for kind in present)
        raise DocumentError(f"{place} must be {words}; got {_kind(value)}")
    return value


def _plain(kind: type, value: Any, place: str) -> Any:
    if not _is(kind, value):
        raise DocumentError(f"{place or 'the document'} must be {_KINDS[kind]}; got {_kind(value)}")
    return value


def _is(kind: type, value: Any) -> bool:
    """True for a value of the kind, where a whole number is a number and true is not 1."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _kind(value: Any) -> str:
    return "null" if value is None else f"{_KINDS[type(value)]} ({str(value)[:40]!r})"


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
