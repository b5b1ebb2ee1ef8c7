"""The frames of a store's clips, whether they lie in memory, in a file that is mapped, or have to be made of audio."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

LET_GO_BYTES = 256 * 2**20
"""Mapped pages are let go whenever so much of them was read."""


class Frames(Protocol):
    """(total_frames, bins) of one type, of which a slice within one clip is had as an array. An ndarray is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(total_frames, bins)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all frames."""

    @property
    def nbytes(self) -> int:
        """What they take, or would take, in memory."""

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """(frames, bins) from `part.start` up to `part.stop`, within one clip."""


class FrameReader:
    """Reads frames of one store after another, and keeps none of what it has read in this process.

    Pages of a mapped file that were looked at count as memory of whoever looked, until the system is short of it. They
    are let go from time to time, which leaves them in the system's cache. Several threads may read.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames, self._mapping, self._read = frames, mapping_of(frames), 0

    def __getitem__(self, part: slice) -> np.ndarray:
        """(frames, bins) within one clip; of a mapped file a view, to be used before the next is asked for."""
        found = self._frames[part]
        if self._mapping is not None:
            self._read += found.nbytes
            if self._read > LET_GO_BYTES:
                self._read = 0
                self._mapping.madvise(mmap.MADV_DONTNEED)
        return found

    def clips(self, bounds: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
        """The clips `rows`, one after another: clip i is frames bounds[i, 0] up to bounds[i, 1]."""
        for begin, end in bounds[rows].tolist():
            yield self[begin:end]


def end_to_end(offsets: np.ndarray) -> np.ndarray:
    """(clips + 1,), where clips begin that lie end to end -> (clips, 2) int64, where each begins and ends."""
    return np.stack([offsets[:-1], offsets[1:]], axis=1).astype(np.int64)


def mapping_of(frames: Frames) -> mmap.mmap | None:
    """The map of a file in which frames lie; None for any others."""
    owner: Any = frames
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            mapping: mmap.mmap = owner._mmap  # type: ignore[attr-defined]
            return mapping
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) else None
