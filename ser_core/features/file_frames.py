"""Frames that are made of the audio files each time they are asked for, for a corpus whose store no disk is to hold."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ser_core.clips import Clip
from ser_core.config import FeatureConfig
from ser_core.features.cache import FeatureStoreError
from ser_core.features.computing import features_here
from ser_core.features.fingerprint import Digests, check_file
from ser_core.features.transforms import Extractor, extractor


class FileFrames:
    """What a store's frames would be (`ser_core.features.frames.Frames`); nothing of them is kept.

    Args:
        clips: in the order of the frames.
        digests: of their files, which are compared with the files when this process first reads them.
        settings: what is made of them.
        offsets: (clips + 1,): clip i gives the frames offsets[i] up to offsets[i + 1].
        bins: values per frame.
        dtype: of the values.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        digests: Digests,
        settings: FeatureConfig,
        offsets: np.ndarray,
        bins: int,
        dtype: np.dtype[Any],
    ) -> None:
        self._clips, self._digests, self._settings, self._offsets = tuple(clips), digests, settings, offsets
        self.shape, self.dtype = (int(offsets[-1]), bins), dtype
        self._checked = set[Path]()

    @property
    def nbytes(self) -> int:
        """What they would take in a store."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __getitem__(self, part: slice) -> np.ndarray:
        """(frames, bins) within one clip; several threads may ask.

        Raises:
            AudioError: a file that cannot be decoded.
            FeatureStoreError: a file that is gone, or another one than it was.
            ValueError: frames of several clips.
        """
        row = int(np.searchsorted(self._offsets, part.start, side="right")) - 1
        begin, end = int(self._offsets[row]), int(self._offsets[row + 1])
        if not begin <= part.start < part.stop <= end:
            raise ValueError(f"frames must be those of one clip; got {part.start} to {part.stop} of {begin} to {end}")
        frames = self._made(row)
        if len(frames) != end - begin:
            raise FeatureStoreError(
                f"{self._clips[row].source} gives {len(frames)} frames on {socket.gethostname()}, and gave "
                f"{end - begin} when the run began"
            )
        return frames[part.start - begin : part.stop - begin]

    def select(self, rows: np.ndarray) -> FileFrames:
        """Those of the clips `rows` alone, in that order."""
        offsets = np.concatenate([[0], np.cumsum(np.diff(self._offsets)[rows])])
        clips, digests = ([each[row] for row in rows] for each in (self._clips, self._digests))
        return FileFrames(clips, tuple(digests), self._settings, offsets, self.shape[1], self.dtype)

    def _made(self, row: int) -> np.ndarray:
        clip = self._clips[row]
        if clip.path not in self._checked:
            check_file(clip, self._digests[row])
            self._checked.add(clip.path)
        [features] = features_here([clip], self._settings, self._extract)
        return features

    @cached_property
    def _extract(self) -> Extractor:
        return extractor(self._settings)

    def __getstate__(self) -> dict[str, Any]:
        """Another machine has to look at the files itself."""
        return {**{name: value for name, value in vars(self).items() if name != "_extract"}, "_checked": set()}
