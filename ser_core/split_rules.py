"""What every split must hold: a speaker and a recording in one part only, every class in every part."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from ser_core.clips import Manifest
from ser_core.errors import UserError

Parts = Mapping[str, np.ndarray]
"""Name of a part -> its rows (rows,) int64 of the manifest."""

_log = logging.getLogger(__name__)


class SplitError(UserError, ValueError):
    """A split that cannot be made or that breaks a rule; the message names the rule and the speakers or classes."""


def check_speakers(what: str, parts: Parts, manifest: Manifest) -> None:
    """Refuse a speaker in several parts.

    Raises:
        SplitError: the speakers; `what` begins the message.
    """
    shared = sorted(_in_several({part: set(manifest.speakers[rows].tolist()) for part, rows in parts.items()}))
    if shared:
        raise SplitError(
            f"{what}: a speaker may be in one part only; in several: {some(shared)}. Correct the parts, or use --split "
            f"random, whose score does not hold for new speakers"
        )


def _in_several(members: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    shared: set[str] = set()
    for own in members.values():
        shared |= seen & own
        seen |= own
    return shared


def check_recordings(what: str, parts: Parts, manifest: Manifest) -> None:
    """Refuse a recording that lies in several parts, under whatever names: it would be tested after being learnt.

    Raises:
        SplitError: the clips; `what` begins the message.
    """
    repeated = manifest.repeated()
    if not repeated:
        return
    part_of = {row: part for part, rows in parts.items() for row in rows.tolist()}
    shared = []
    for rows in repeated:
        placed = {part_of[row]: manifest.clips[row].shown for row in rows if row in part_of}
        if len(placed) > 1:
            shared.append(" = ".join(f"{clip} ({part})" for part, clip in placed.items()))
    if shared:
        raise SplitError(
            f"{what}: a recording may be in one part only; the same samples lie in several: {some(shared)}. Remove all "
            f"but one of each from the corpus"
        )


def check_classes(what: str, parts: Parts, manifest: Manifest) -> None:
    """Refuse a part without a class; warn of a class of which a part has a single clip.

    Raises:
        SplitError: the parts and their classes; `what` begins the message.
    """
    counts = {part: np.bincount(manifest.labels[rows], minlength=len(manifest.classes)) for part, rows in parts.items()}
    lacking = [f"{part} has no {word}" for part, word in _of_count(0, counts, manifest.classes)]
    if lacking:
        few = _held_by_few(manifest, len(parts))
        advice = (
            f"{some(few)}: leave the class out with --classes"
            if few
            else "Leave the class out with --classes, or use another split or seed"
        )
        raise SplitError(f"{what}: every part needs every class; {some(lacking)}. {advice}")
    single = [f"{word} in {part}" for part, word in _of_count(1, counts, manifest.classes)]
    if single:
        _log.warning("%s: one clip alone is there of %s; its recall is 0 or 100 %%", what, some(single))


def _of_count(count: int, counts: Mapping[str, np.ndarray], classes: Sequence[str]) -> list[tuple[str, str]]:
    """(part, class) wherever a part has so many clips of a class."""
    return [(part, word) for part, own in counts.items() for word, n in zip(classes, own, strict=True) if n == count]


def _held_by_few(manifest: Manifest, parts: int) -> list[str]:
    """Classes of fewer speakers than parts, which no split that keeps speakers apart can have in every part."""
    found = []
    for label, word in enumerate(manifest.classes):
        speakers = sorted(set(manifest.speakers[manifest.labels == label].tolist()))
        if len(speakers) < parts:
            words = "one speaker alone has" if len(speakers) == 1 else f"only {len(speakers)} speakers have"
            found.append(f"{words} {word} ({', '.join(speakers)})")
    return found


def some(names: Sequence[str], limit: int = 8) -> str:
    """The first names, and how many more there are."""
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest
