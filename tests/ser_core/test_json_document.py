"""Documents that anybody may have written or damaged are read, or refused with the place, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_core.json_document import DocumentError, parse_object, read_object, typed
from tests.bounded import bounded


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Whole:
    parts: Sequence[Part]
    counts: Mapping[str, int]
    first: int | str = "auto"
    open: bool = False


DOCUMENT: dict[str, Any] = {"parts": [{"name": "a", "share": 1}], "counts": {"b": 2}, "first": 3, "newer": [1]}


def test_a_document_becomes_its_type_and_what_is_not_known_is_ignored() -> None:
    assert typed(Whole, DOCUMENT) == Whole(parts=(Part(name="a", share=1),), counts={"b": 2}, first=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": {}}, r"parts must be a list; got an object"),
        ({"parts": [[]]}, r"parts\[0\] must be an object; got a list"),
        ({"parts": [{}]}, r"parts\[0\] lacks name"),
        ({"parts": [{"name": "a", "share": "1"}]}, r"parts\[0\]\.share must be a number; got text \('1'\)"),
        ({"counts": {"b": True}}, r"counts\.b must be a whole number; got true or false"),
        ({"first": 1.5}, r"first must be a whole number or text; got a number"),
        ({"open": None}, r"open must be true or false; got null"),
    ],
)
def test_another_type_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        typed(Whole, {**DOCUMENT, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, r"nested deeper than 50 levels"),
        ('{"a":' + "[" * 60 + "]" * 60 + "}", r"nested deeper than 50 levels"),
        ('{"a": ' + "9" * 5000 + "}", r"the number 9+ has more than 64 bits"),
        ('{"a": 1e999}', r"the number 1e999 is not finite"),
        ('{"a": NaN}', r"the number NaN is not finite"),
        ('{"a": "\\ud800"}', r"half a character"),
        ('{"a\\u0000": 1}', r"holds NUL"),
        ("[]", r"must hold a JSON object; got a list"),
        ('{"a": ', r"is not JSON \("),
        (b'{"a": "\xff"}', r"is not JSON \("),
    ],
)
def test_what_no_program_writes_is_refused(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=message):
        parse_object(text)
    path = tmp_path / "document.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DocumentError, match=r"document\.json .*" + message):
        read_object(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inside for place in places(each, (*path, key)))]


def with_change(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_change(document[path[0]], path[1:], value)
    return copy


@given(data=st.data())
def test_whatever_is_changed_the_outcome_is_a_value_or_one_error(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(DOCUMENT)))
    changed = with_change(DOCUMENT, path, data.draw(VALUES))
    with bounded(), suppress(DocumentError):
        assert isinstance(typed(Whole, parse_object(json.dumps(changed))), Whole)


@given(at=st.integers(0, 200), piece=st.binary(max_size=6))
def test_damaged_bytes_are_a_document_or_one_error(at: int, piece: bytes) -> None:
    whole = json.dumps(DOCUMENT).encode()
    with bounded(), suppress(DocumentError):
        parse_object(whole[:at] + piece + whole[at + len(piece) :])
