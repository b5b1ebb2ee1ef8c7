"""The clips of a corpus on the device that trains: normalised, cut and padded a batch at a time."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

STILL = 1e-5
"""A bin whose deviation is below this share of its mean's size never moves, as an empty mel filter: it is centred."""


FULL_SCALE = 32_768
"""What int16 samples are divided by."""


def as_float(values: np.ndarray) -> np.ndarray:
    """Features of any type that a store may have, as float32: float32 and float16 as they are, int16 as samples."""
    floats = values.astype(np.float32, copy=False)
    return floats / FULL_SCALE if values.dtype == np.int16 else floats


STILL_HALF = 1e-3
"""The same of frames in half precision, whose steps are up to this share of a value."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of every bin, (bins,) float32 each; a deviation of 0 is stored as 1."""

    mean: np.ndarray
    std: np.ndarray


def normalisation_of(frames: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> Normalisation:
    """Statistics per bin over the clips `rows` alone, in double precision.

    Args:
        frames: (total_frames, bins), the clips one after another.
        offsets: (clips + 1,): clip i is `frames[offsets[i]:offsets[i + 1]]`.
        rows: (rows,) clips to use.
    """
    count, total, squares = 0, np.zeros(frames.shape[1]), np.zeros(frames.shape[1])
    for row in rows:
        clip = as_float(frames[offsets[row] : offsets[row + 1]]).astype(np.float64)
        count, total, squares = count + len(clip), total + clip.sum(axis=0), squares + np.square(clip).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    still = STILL_HALF * np.abs(mean) if frames.dtype == np.float16 else STILL * np.maximum(1, np.abs(mean))
    std[std <= still] = 1
    return Normalisation(mean.astype(np.float32), std.astype(np.float32))


def no_normalisation(bins: int) -> Normalisation:
    """What leaves every bin as it is."""
    return Normalisation(np.zeros(bins, np.float32), np.ones(bins, np.float32))


@dataclass(frozen=True, eq=False)
class _Placed:
    """Frames (frames, bins) of a store, and the same on a device; while this lives, so do both."""

    frames: np.ndarray
    tensor: Tensor


_on_devices: WeakValueDictionary[tuple[int, torch.device], _Placed] = WeakValueDictionary()


def _placed(frames: np.ndarray, device: torch.device) -> _Placed:
    """One tensor for all who train on the same frames at once, such as the folds of a trial."""
    key = (id(frames), device)
    if (found := _on_devices.get(key)) is None:
        _on_devices[key] = found = _Placed(frames, torch.from_numpy(frames).to(device))
    return found


class DeviceClips:
    """All clips as one tensor on the device; a batch is a gather, so no loader and no copy stands between.

    On the CPU the tensor is the feature store's own memory, which every trial of a node shares: it is never written. On
    a GPU all folds of a trial share one copy.
    """

    def __init__(
        self,
        frames: np.ndarray,
        offsets: np.ndarray,
        normalisation: Normalisation,
        *,
        view_frames: int,
        crop: str,
        device: torch.device,
    ) -> None:
        """`frames` and `offsets` as in `normalisation_of`; `view_frames` is what a model sees of each clip; `crop` says
        where a longer clip is cut, "center" or "start"."""
        with warnings.catch_warnings():  # torch warns of memory-mapped, read-only arrays; nothing here writes to it
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self._placed = _placed(frames, device)
        bounds = torch.from_numpy(np.asarray(offsets, dtype=np.int64)).to(device)
        self._offsets, self._counts = bounds[:-1], bounds.diff()
        self._mean = torch.from_numpy(normalisation.mean).to(device)
        self._scale = torch.from_numpy(1 / normalisation.std).to(device)
        self._steps = torch.arange(view_frames, device=device)
        slack = (self._counts - view_frames).clamp(min=0)
        self._starts = slack // 2 if crop == "center" else torch.zeros_like(slack)

    def batch(self, rows: Tensor, shifts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Clips `rows` (batch,) -> features (batch, view_frames, bins), zero past the lengths; lengths (batch,).

        `shifts` (batch,) moves each crop by so many frames, as far as that hides nothing that could be seen: a longer
        clip's crop stays inside the clip, a shorter clip stays inside the crop, with zeros before it.
        """
        starts, counts, view = self._starts[rows], self._counts[rows], len(self._steps)
        if shifts is not None:
            slack = counts - view
            starts = (starts + shifts).clamp(slack.clamp(max=0), slack.clamp(min=0))
        position = starts[:, None] + self._steps  # (batch, view): frame of the clip that each step shows
        inside = (position >= 0) & (position < counts[:, None])
        index = self._offsets[rows][:, None] + position.clamp(min=0).minimum(counts[:, None] - 1)
        features = self._placed.tensor.index_select(0, index.flatten()).view(len(rows), view, -1)
        if features.dtype == torch.int16:
            features = features / FULL_SCALE
        features = (features - self._mean) * self._scale * inside[..., None]
        return features, (counts - starts).clamp(max=view)
