"""Features of any type as numbers, and what brings every bin of them to mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_core.features.frames import FrameReader, Frames

STILL = 1e-5
"""A bin whose deviation is below this share of its mean's size never moves, as an empty mel filter: it is centred."""

STILL_HALF = 1e-3
"""The same of frames in half precision, whose steps are up to this share of a value."""

FULL_SCALE = 32_768
"""What int16 samples are divided by."""


def as_float(values: np.ndarray) -> np.ndarray:
    """Features of any type that a store may have, as float32: float32 and float16 as they are, int16 as samples."""
    floats = values.astype(np.float32, copy=False)
    return floats / FULL_SCALE if values.dtype == np.int16 else floats


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of every bin, (bins,) float32 each; a deviation of 0 is stored as 1."""

    mean: np.ndarray
    std: np.ndarray


def normalisation_of(frames: Frames, bounds: np.ndarray, rows: np.ndarray) -> Normalisation:
    """Statistics per bin over the clips `rows` alone, in double precision.

    Args:
        frames: (total_frames, bins).
        bounds: (clips, 2): clip i is `frames[bounds[i, 0]:bounds[i, 1]]`.
        rows: (rows,) clips to use.
    """
    count, total, squares = 0, np.zeros(frames.shape[1]), np.zeros(frames.shape[1])
    for stored in FrameReader(frames).clips(bounds, rows):
        clip = as_float(stored).astype(np.float64)
        count, total, squares = count + len(clip), total + clip.sum(axis=0), squares + np.square(clip).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    still = STILL_HALF * np.abs(mean) if frames.dtype == np.float16 else STILL * np.maximum(1, np.abs(mean))
    std[std <= still] = 1
    return Normalisation(mean.astype(np.float32), std.astype(np.float32))


def no_normalisation(bins: int) -> Normalisation:
    """What leaves every bin as it is."""
    return Normalisation(np.zeros(bins, np.float32), np.ones(bins, np.float32))
