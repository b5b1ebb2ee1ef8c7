"""Where a trial's clips come from: frames on the device, or read ahead of it from where they lie.

What a batch holds does not depend on that, to the last bit.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from ser_core.features.frames import FrameReader, Frames, mapping_of
from ser_core.features.memory import free_bytes
from ser_core.features.placement import Placement, Where

RESIDENT_SHARE = 0.5
"""Of the memory that a trial may take, for features: its model and their gradients need the rest."""

MOST_ON_HOST_BYTES = 2**30
"""More of a mapped file is never resident on the CPU: streamed it is as quick, and memory is left to others."""

READ_BYTES = 2**20
"""Batches are read together up to this size: handing over tiny ones one by one would take longer than reading them."""

READS_AHEAD = 3
"""Reads that are done or under way while the trial computes."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Parts of clips, which a batch shows. All but `view` are (batch,) int64.

    Attributes:
        firsts: where the clips begin among the frames of the store.
        counts: frames of the clips.
        starts: frame of its clip at which a part begins; below 0, so many frames before the clip come first.
        view: frames of every part.
    """

    firsts: Tensor
    counts: Tensor
    starts: Tensor
    view: int

    def to(self, device: torch.device) -> Crops:
        """The same on a device."""
        return Crops(self.firsts.to(device), self.counts.to(device), self.starts.to(device), self.view)


class ClipSource(Protocol):
    """Where clips come from.

    Attributes:
        placement: what a user is told of it.
        plans_on: the device on which it wants to be told what to read.
    """

    placement: Placement
    plans_on: torch.device

    def read(self, wanted: Iterable[Crops]) -> Generator[Tensor, None, None]:
        """(batch, view, bins) of each, on the device, of the store's type; where a part shows no clip, anything.

        A batch may be overwritten as soon as the next one is asked for.
        """


def clip_source(frames: Frames, device: torch.device, room_bytes: int | None = None) -> ClipSource:
    """The frames of a store for training on a device.

    Args:
        room_bytes: what they may take of the device's memory; None for `resident_bytes`. On the CPU, frames that lie in
            memory already take no more of it.
    """
    room_bytes = resident_bytes(device) if room_bytes is None else room_bytes
    if isinstance(frames, np.ndarray):
        in_place = device.type == "cpu" and mapping_of(frames) is None
        if in_place or frames.nbytes <= room_bytes:
            return Resident(frames, device, room_bytes)
    return Streamed(frames, device, room_bytes)


def resident_bytes(device: torch.device, share: float = 1.0) -> int:
    """What the features of a trial may take of a device's memory that has this share of it."""
    room = int(RESIDENT_SHARE * free_bytes(device, share))
    return room if device.type == "cuda" else min(room, MOST_ON_HOST_BYTES)


# -- resident ----------------------------------------------------------------------------------------------------------


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
        with warnings.catch_warnings():  # torch warns of memory-mapped, read-only arrays; nothing here writes to it
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            _on_devices[key] = found = _Placed(frames, torch.from_numpy(frames).to(device))
    return found


class Resident:
    """All frames as one tensor on the device; a batch is a gather, so no loader and no copy stands between.

    On the CPU the tensor is the feature store's own memory, which every trial of a node shares: it is never written. On
    a GPU all folds of a trial share one copy.
    """

    def __init__(self, frames: np.ndarray, device: torch.device, room_bytes: int) -> None:
        self.placement = Placement(where=Where.RESIDENT, size_bytes=frames.nbytes, room_bytes=room_bytes)
        self.plans_on = device
        self._placed = _placed(frames, device)

    def read(self, wanted: Iterable[Crops]) -> Generator[Tensor, None, None]:
        for crops in wanted:
            position = crops.starts[:, None] + torch.arange(crops.view, device=self.plans_on)  # (batch, view)
            index = crops.firsts[:, None] + position.clamp(min=0).minimum(crops.counts[:, None] - 1)
            yield self._placed.tensor.index_select(0, index.flatten()).view(*index.shape, -1)


# -- streamed ----------------------------------------------------------------------------------------------------------


class _Slot:
    """Memory of the host for one read, pinned where it is copied to a GPU from."""

    def __init__(self, device: torch.device) -> None:
        self._pinned = device.type == "cuda"
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._copied: torch.cuda.Event | None = None

    def hold(self, values: int, dtype: torch.dtype) -> Tensor:
        """(values,) of a type, with anything in them, as soon as the GPU has copied what was in them."""
        if self._copied is not None:
            self._copied.synchronize()
            self._copied = None
        if self._memory.numel() < values * dtype.itemsize:
            self._memory = torch.empty(values * dtype.itemsize, dtype=torch.uint8, pin_memory=self._pinned)
        return self._memory[: values * dtype.itemsize].view(dtype)

    def is_copied(self) -> None:
        """The copies that this thread has asked its GPU for are all that is made of it."""
        if self._pinned:
            self._copied = torch.cuda.Event()
            self._copied.record()


class Streamed:
    """Batches read by threads in the background, in the order in which they are asked for.

    Frames that lie somewhere are read by one thread; those that have to be made of audio by as many as torch may use
    here.
    """

    def __init__(self, frames: Frames, device: torch.device, room_bytes: int) -> None:
        lies_there = isinstance(frames, np.ndarray)
        where = Where.MAPPED if lies_there else Where.FILES
        self.placement = Placement(where=where, size_bytes=frames.nbytes, room_bytes=room_bytes)
        self.plans_on = torch.device("cpu")
        self._frames, self._device, self._bins = FrameReader(frames), device, frames.shape[1]
        self._dtype = torch.from_numpy(np.empty(0, frames.dtype)).dtype
        self._threads = 1 if lies_there else max(1, torch.get_num_threads())

    def read(self, wanted: Iterable[Crops]) -> Generator[Tensor, None, None]:
        free = deque(_Slot(self._device) for _ in range(self._threads + READS_AHEAD - 1))
        waiting: deque[tuple[Future[list[Tensor]], _Slot]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="clips") as pool:
            try:
                for group in self._groups(wanted):
                    slot = free.popleft()
                    waiting.append((pool.submit(self._fill, slot, group), slot))
                    if not free:
                        yield from self._handed_over(*waiting.popleft(), free)
                while waiting:
                    yield from self._handed_over(*waiting.popleft(), free)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _handed_over(self, read: Future[list[Tensor]], slot: _Slot, free: deque[_Slot]) -> Iterator[Tensor]:
        batches = read.result()
        if self._device.type == "cuda":
            batches = [batch.to(self._device, non_blocking=True) for batch in batches]
            slot.is_copied()
        yield from batches
        free.append(slot)

    def _groups(self, wanted: Iterable[Crops]) -> Iterator[list[Crops]]:
        """What is read at once."""
        group: list[Crops] = []
        size = 0
        for crops in wanted:
            group.append(crops)
            size += self._values(crops) * self._dtype.itemsize
            if size >= READ_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _values(self, crops: Crops) -> int:
        return len(crops.starts) * crops.view * self._bins

    def _fill(self, slot: _Slot, group: list[Crops]) -> list[Tensor]:
        """Read what a group shows into a slot -> (batch, view, bins) of each, which are parts of the slot."""
        memory = slot.hold(sum(map(self._values, group)), self._dtype)
        parts = memory.split([self._values(crops) for crops in group])
        batches = [part.view(-1, crops.view, self._bins) for part, crops in zip(parts, group, strict=True)]
        for batch, crops in zip(batches, group, strict=True):
            self._copy(batch.numpy(), crops)
        return batches

    def _copy(self, batch: np.ndarray, crops: Crops) -> None:
        each = (values.tolist() for values in (crops.firsts, crops.counts, crops.starts))
        for part, first, count, start in zip(batch, *each, strict=True):
            begin, end = max(0, start), min(count, start + crops.view)
            part[begin - start : end - start] = self._frames[first + begin : first + end]
