"""The clips of a corpus on the device that trains: normalised, cut and padded a batch at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ser_core.features.clip_source import Crops, clip_source
from ser_core.features.frames import Frames
from ser_core.features.normalisation import FULL_SCALE, Normalisation
from ser_core.features.placement import Placement

Batch = tuple[Tensor, Tensor]
"""Features (batch, view, bins) float32, zero past the clips, and lengths (batch,)."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """A batch that is asked for.

    Attributes:
        rows: (batch,) clips.
        shifts: (batch,) frames by which each crop is moved, as far as that hides nothing that could be seen: a longer
            clip's crop stays inside the clip, a shorter clip stays inside the crop, with zeros before it.
        view: frames that the batch shows of each clip; None for as many as a model sees.
    """

    rows: Tensor
    shifts: Tensor | None = None
    view: int | None = None


class DeviceClips:
    """Clips of a store, of which batches are had on a device, wherever they lie (`ser_core.features.clip_source`)."""

    def __init__(
        self,
        frames: Frames,
        bounds: np.ndarray,
        normalisation: Normalisation,
        *,
        view_frames: int,
        crop: str,
        device: torch.device,
        room_bytes: int | None = None,
    ) -> None:
        """`frames` and `bounds` as in `normalisation_of`; `view_frames` is what a model sees of each clip; `crop` says
        where a longer clip is cut, "center" or "start"; `room_bytes` as in `clip_source`."""
        self._source = clip_source(frames, device, room_bytes)
        placed = torch.from_numpy(np.asarray(bounds, dtype=np.int64)).to(self._source.plans_on)
        self._firsts, self._counts = placed[:, 0], placed[:, 1] - placed[:, 0]
        self._mean = torch.from_numpy(normalisation.mean).to(device)
        self._scale = torch.from_numpy(1 / normalisation.std).to(device)
        self._view, self._centred, self._device = view_frames, crop == "center", device

    @property
    def placement(self) -> Placement:
        """Where the clips come from."""
        return self._source.placement

    def seen_frames(self, rows: Tensor) -> Tensor:
        """Frames that a model can see of clips (rows,): (rows,) int64 on the device."""
        return self._counts[rows.to(self._source.plans_on)].clamp(max=self._view).to(self._device)

    def batch(self, rows: Tensor, shifts: Tensor | None = None) -> Batch:
        """The batch that is asked for; see `Wanted`."""
        with closing(self.batches([Wanted(rows, shifts)])) as [batch]:
            return batch

    def batches(self, wanted: Sequence[Wanted]) -> Generator[Batch, None, None]:
        """The batches that are asked for, in order; some may be read ahead, so the iterator is to be closed."""
        crops = [self._crops(*each) for each in self._planned(wanted)]
        with closing(self._source.read(crops)) as read:
            for each, features in zip(crops, read, strict=True):
                yield self._finished(features, each.to(self._device))

    def _planned(self, wanted: Sequence[Wanted]) -> Iterator[tuple[Tensor, Tensor | None, int]]:
        """Rows, shifts and view of each batch, brought to where reading is planned all at once: a GPU is waited for
        once."""
        sizes = [len(each.rows) for each in wanted]
        rows = torch.cat([each.rows for each in wanted]).to(self._source.plans_on).split(sizes)
        given = [each.shifts for each in wanted if each.shifts is not None]
        shifts = iter(torch.cat(given).to(self._source.plans_on).split([len(each) for each in given]) if given else ())
        for each, own in zip(wanted, rows, strict=True):
            yield own, None if each.shifts is None else next(shifts), each.view or self._view

    def _crops(self, rows: Tensor, shifts: Tensor | None, view: int) -> Crops:
        counts = self._counts[rows]
        slack = counts - view
        starts = slack.clamp(min=0) // 2 if self._centred else torch.zeros_like(slack)
        if shifts is not None:
            starts = (starts + shifts).clamp(slack.clamp(max=0), slack.clamp(min=0))
        return Crops(self._firsts[rows], counts, starts, view)

    def _finished(self, features: Tensor, crops: Crops) -> Batch:
        """Normalised, zero where a crop shows nothing of its clip; lengths."""
        position = crops.starts[:, None] + torch.arange(crops.view, device=self._device)  # (batch, view)
        outside = (position < 0) | (position >= crops.counts[:, None])
        if features.dtype == torch.int16:
            features = features / FULL_SCALE
        features = ((features - self._mean) * self._scale).masked_fill_(outside[..., None], 0)
        return features, (crops.counts - crops.starts).clamp(max=crops.view)
