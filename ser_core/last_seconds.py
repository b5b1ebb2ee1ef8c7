"""What a model hears of a stream: its last seconds, after every block of it."""

from __future__ import annotations

import numpy as np

from ser_core.features.audio import MIN_SECONDS
from ser_core.windows import is_silent


class LastSeconds:
    """The end of a stream, as long as a model hears."""

    def __init__(self, clip_seconds: float, rate_hz: int) -> None:
        """`rate_hz` is the stream's, Hz."""
        self._length, self._rate_hz = round(clip_seconds * rate_hz), rate_hz
        self._window = np.empty(0, dtype=np.float32)
        self._had = 0

    @property
    def seconds(self) -> float:
        """Where the last block ended, s, to a millisecond."""
        return round(self._had / self._rate_hz, 3)

    def after(self, block: np.ndarray) -> np.ndarray | None:
        """What is to be heard after a block (samples,): (samples,), or None where that is too short or silent."""
        self._had += len(block)
        self._window = np.concatenate([self._window, block])[-self._length :]
        usable = len(self._window) >= MIN_SECONDS * self._rate_hz and not is_silent(self._window)
        return self._window if usable else None
