"""Names that a person would take for the same: a speaker written in two ways would train and test alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from ser_core.clips import CorpusError

_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?")


def is_number(text: str) -> bool:
    """True for what a spreadsheet takes for a number: 3, 03, 3.0."""
    return _NUMBER.fullmatch(text) is not None


def folded(name: str) -> str:
    """What is left of a name without case, blanks and the form of its number: `Anna 07` -> anna07; 03 and 3.0 -> 3."""
    text = re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name)).casefold()
    return re.sub(r"[.,]0*$", "", text).lstrip("0") or "0" if is_number(text) else text


def check_identities(path: Path, what: str, names: Iterable[str]) -> None:
    """Refuse a manifest in which one name is written in several ways.

    Args:
        path: the manifest.
        what: the column, "speaker" or "emotion".
        names: of all clips.

    Raises:
        CorpusError: the names that are alike.
    """
    forms: dict[str, set[str]] = {}
    for name in set(names):
        forms.setdefault(folded(name), set()).add(name)
    alike = [" and ".join(map(repr, sorted(found))) for found in forms.values() if len(found) > 1]
    if alike:
        more = f" (and {len(alike) - 5} more)" if len(alike) > 5 else ""
        raise CorpusError(
            f"{path}: every {what} must be written in one way; alike but for case, blanks or the form of a number: "
            f"{'; '.join(sorted(alike)[:5])}{more}. Write them alike, or rename those that are different"
        )
