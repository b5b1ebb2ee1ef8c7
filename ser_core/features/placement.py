"""Where a trial's clips come from, as records and results keep it. Loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Where(StrEnum):
    """Where clips come from."""

    RESIDENT = "resident"
    MAPPED = "mapped"
    FILES = "files"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a trial's clips come from, and why.

    Attributes:
        where: resident: their frames lie in the device's memory; mapped: they are read from a mapped file, or from
            memory beside the device; files: they are made of the audio files.
        size_bytes: of all frames.
        room_bytes: what they may take of the device's memory.
    """

    where: Where
    size_bytes: int
    room_bytes: int
