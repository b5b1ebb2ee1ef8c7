"""Corpora that are not downloaded: their licence asks for a request, or no checksum of the archive is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ser_core.clips import CorpusError
from ser_core.corpora._progress import Progress


def elsewhere(name: str, source: str) -> Callable[[Path, Progress], Path]:
    """The `obtain` of a corpus that its users fetch themselves.

    Args:
        name: of the corpus.
        source: the address where it is offered.
    """

    def obtain(cache_dir: Path, progress: Progress) -> Path:
        raise CorpusError(
            f"--data {name}: this corpus is not downloaded by itself. Get it from {source}, unpack it, and pass "
            f"--data {name}:FOLDER"
        )

    return obtain
