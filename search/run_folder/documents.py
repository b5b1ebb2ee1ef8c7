"""`result.json` and `insight.json`, checked where they are read.

Readers are given the document itself; `_result_document`, `_result_rules` and `_insight_document` say which of its keys
they may use unasked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.run_folder._insight_document import Insight, insight_rules
from search.run_folder._result_rules import check_result
from search.run_folder.paths import INSIGHT_FILE, RESULT_FILE
from ser_core.json_document import DocumentError, read_object, typed


def read_result_file(folder: Path) -> dict[str, Any]:
    """`result.json` of a run folder.

    Raises:
        DocumentError: another document, or one whose parts contradict one another; with the place.
        OSError: no such file, or one that cannot be read.
    """
    return _read(folder / RESULT_FILE, check_result)


def read_insight_file(folder: Path) -> dict[str, Any]:
    """`insight.json` of a run folder; raises as `read_result_file` does."""
    return _read(folder / INSIGHT_FILE, lambda document: insight_rules(typed(Insight, document)))


def _read(path: Path, rules: Callable[[dict[str, Any]], list[tuple[bool, str]]]) -> dict[str, Any]:
    document = read_object(path)
    try:
        broken = [message for holds, message in rules(document) if not holds]
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from error
    if broken:
        raise DocumentError(f"{path}: {'; '.join(broken)}")
    return document
