"""Manifests that anybody may have written or damaged: clips, or one error with the file and the place."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ser_core.clips import CorpusError
from ser_core.corpora._manifest import scan_manifest
from ser_core.corpora._scan import Scan
from tests.bounded import bounded

ROWS = [
    {"path": "a.wav", "speaker": "ann", "emotion": "happy", "gender": "f", "split": "train", "start": 0, "end": 1.5},
    {"path": "sub/b.flac", "speaker": "bob", "emotion": "sad", "gender": "m", "split": "dev", "start": 0, "end": 2},
    {"path": "c.wav", "speaker": "3", "emotion": "Anger", "gender": "", "split": "test", "start": 0, "end": 0.5},
]
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None), max_size=8),
    st.sampled_from(
        ["nan", "1e999", "-1", "0 days 00:00:01.5", "99999999 days 23:59:59", "..", "/", "~x", "C:\\a.wav"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def scanned(path: Path, content: bytes) -> None:
    """A scan, or the one error; within bounds."""
    path.write_bytes(content)
    with bounded(), suppress(CorpusError):
        assert isinstance(scan_manifest(path, {}), Scan)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 2), column=st.sampled_from(sorted(ROWS[0])), value=HOSTILE, name=st.none() | st.text())
def test_whatever_a_cell_or_a_column_holds(tmp_path: Path, row: int, column: str, value: Any, name: str | None) -> None:
    rows: list[dict[str, Any]] = [dict(each) for each in ROWS]
    rows[row][column] = value
    if name is not None:
        rows[row][name] = rows[row].pop(column)
    text = "\n".join(map(json.dumps, rows)) + "\n"
    scanned(tmp_path / "list.jsonl", text.encode())
    header = list(dict.fromkeys(key for each in rows for key in each))
    lines = [header, *([each.get(key, "") for key in header] for each in rows)]
    for suffix, separator in (("csv", ","), ("tsv", "\t"), ("csv", ";")):
        table = "\n".join(separator.join(map(str, line)) for line in lines)
        scanned(tmp_path / f"list.{suffix}", table.encode(errors="surrogatepass"))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(at=st.integers(0, 250), piece=st.binary(max_size=6), cut=st.integers(0, 300))
def test_whatever_bytes_are_damaged(tmp_path: Path, suffix: str, at: int, piece: bytes, cut: int) -> None:
    if suffix == "jsonl":
        whole = "\n".join(map(json.dumps, ROWS)).encode()
    else:
        separator = "," if suffix == "csv" else "\t"
        whole = "\n".join(separator.join(map(str, line)) for line in (ROWS[0], *(r.values() for r in ROWS))).encode()
    scanned(tmp_path / f"list.{suffix}", (whole[:at] + piece + whole[at + len(piece) :])[:cut])
