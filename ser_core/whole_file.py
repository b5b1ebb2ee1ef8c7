"""Files that are written whole or not at all: beside their place, then moved there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of the one at `path` at the end, unless the block raises.

    Raises:
        OSError: a disk that is full or cannot be written; what was at `path` stays.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> Path:
    """Write a text file.

    Raises:
        OSError: see `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_json(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a document as JSON; numbers that are not defined become null.

    Raises:
        OSError: see `replacing`.
    """
    return write_whole(path, json.dumps(defined(document), indent=2, allow_nan=False) + "\n")


def defined(value: Any) -> Any:
    """The value with null for every number that is not finite, wherever in it: JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [defined(item) for item in value]
    return value
