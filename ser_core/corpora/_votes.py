"""Votes of listeners, gathered line by line where a manifest has a line for each of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ser_core.clips import RATED
from ser_core.ratings import VOTES_FOR


class Votes:
    """How often each clip was given each emotion."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, clip_id: str, emotion: str) -> None:
        """A line of a clip, whose emotion is `RATED` where its votes stand in columns."""
        if emotion != RATED:
            self._counts[clip_id][emotion] += 1

    @property
    def words(self) -> set[str]:
        """Every emotion that was given."""
        return {word for own in self._counts.values() for word in own}

    def columns(self, clip_ids: Sequence[str], known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A column (clips,) of numbers, as text, for every emotion; none where there are such columns already."""
        if any(name.startswith(VOTES_FOR) for name in known):
            return {}
        return {
            f"{VOTES_FOR}{word}": np.array([str(self._counts[clip][word]) for clip in clip_ids], dtype=object)
            for word in sorted(self.words)
        }
