"""Where clips come from makes no difference: what every source must do, tried on each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_core.features.cache import map_frames, write_arrays
from ser_core.features.clip_source import READ_BYTES, Where, clip_source
from ser_core.features.device_clips import DeviceClips, Wanted
from ser_core.features.frames import Frames, mapping_of
from ser_core.features.normalisation import Normalisation

CPU = torch.device("cpu")
BINS, VIEW = 3, 8
COUNTS = (5, 8, 1, 30, 9, 3, 17, 8, 2, 12)
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])
TYPES = ("float32", "float16", "int16")


def frames_of(dtype: str) -> np.ndarray:
    """Noise, in which no two frames are equal."""
    values = np.random.default_rng(0).normal(0, 1000, (sum(COUNTS), BINS))
    return values.astype(dtype)


Made = Callable[[str], tuple[Frames, int]]


@pytest.fixture(params=[where.value for where in Where if where is not Where.FILES])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """`made(dtype)`: frames that are `frames_of(dtype)`, and the room that makes them come from where the test says."""

    def make(dtype: str) -> tuple[Frames, int]:
        frames = frames_of(dtype)
        if request.param == Where.RESIDENT:
            return frames, frames.nbytes
        write_arrays(tmp_path / dtype, np.split(frames, OFFSETS[1:-1]))
        return map_frames(tmp_path / dtype / "frames.npy"), frames.nbytes - 1

    make.where = Where(request.param)  # type: ignore[attr-defined]
    return make


def clips_of(frames: Frames, room_bytes: int, crop: str = "center") -> DeviceClips:
    scale = Normalisation(np.arange(BINS, dtype=np.float32), np.full(BINS, 3.0, dtype=np.float32))
    return DeviceClips(
        frames, OFFSETS, scale, view_frames=VIEW, crop=crop, device=CPU, room_bytes=room_bytes
    )  # fmt: skip


def reference(frames: np.ndarray, row: int, shift: int, view: int, crop: str) -> tuple[np.ndarray, int]:
    """What a batch shows of one clip, frame by frame."""
    count = COUNTS[row]
    slack = count - view
    start = (max(slack, 0) // 2 if crop == "center" else 0) + shift
    start = min(max(start, min(slack, 0)), max(slack, 0))
    shown = np.zeros((view, BINS), dtype=np.float32)
    for step in range(view):
        if 0 <= start + step < count:
            values = frames[OFFSETS[row] + start + step].astype(np.float32)
            values = values / np.float32(32_768) if frames.dtype == np.int16 else values
            shown[step] = (values - np.arange(BINS, dtype=np.float32)) * np.float32(1 / np.float32(3))
    return shown, min(count - start, view)


@pytest.mark.parametrize("dtype", TYPES)
def test_it_comes_from_where_its_size_says(dtype: str, made: Made) -> None:
    frames, room = made(dtype)
    placement = clips_of(frames, room).placement
    assert placement.where is made.where  # type: ignore[attr-defined]
    assert (placement.size_bytes, placement.room_bytes) == (frames.nbytes, room)


@pytest.mark.parametrize("crop", ["center", "start"])
@pytest.mark.parametrize("dtype", TYPES)
def test_batches_hold_what_the_reference_says_to_the_last_bit(dtype: str, crop: str, made: Made) -> None:
    frames, room = made(dtype)
    clips, rng = clips_of(frames, room, crop), np.random.default_rng(1)
    wanted = []
    for view in (None, 1, 5, VIEW):
        rows = torch.from_numpy(rng.integers(0, len(COUNTS), 7))
        wanted += [Wanted(rows, None, view), Wanted(rows, torch.from_numpy(rng.integers(-9, 10, 7)), view)]
    with closing(clips.batches(wanted)) as batches:
        found = [(features.clone(), lengths) for features, lengths in batches]
    assert len(found) == len(wanted)
    for each, (features, lengths) in zip(wanted, found, strict=True):
        shifts = torch.zeros_like(each.rows) if each.shifts is None else each.shifts
        for row, shift, shown, length in zip(each.rows.tolist(), shifts.tolist(), features, lengths, strict=True):
            expected, real = reference(frames_of(dtype), row, shift, each.view or VIEW, crop)
            np.testing.assert_array_equal(shown.numpy(), expected)
            assert not np.signbit(shown.numpy()[expected == 0]).any()  # no minus zero either
            assert length == real


def test_many_batches_come_in_the_order_in_which_they_are_asked_for(made: Made) -> None:
    """More than are read at once, and more than are read ahead."""
    frames, room = made("float32")
    clips = clips_of(frames, room)
    clip_bytes = VIEW * BINS * 4
    rows = torch.arange(READ_BYTES // clip_bytes // 3) % len(COUNTS)
    wanted = [Wanted(rows.roll(turn)) for turn in range(40)]
    with closing(clips.batches(wanted)) as batches:
        for turn, (features, _) in enumerate(batches):
            assert torch.equal(features[turn], clips.batch(rows[:1])[0][0])


def test_who_stops_in_the_middle_leaves_no_thread_behind(made: Made) -> None:
    frames, room = made("float16")
    before = threading.active_count()
    batches = clips_of(frames, room).batches([Wanted(torch.arange(10)) for _ in range(1000)])
    next(batches)
    batches.close()
    for thread in threading.enumerate():
        if thread.name.startswith("clips"):
            thread.join(timeout=10)
    assert threading.active_count() == before


def test_a_clip_that_is_not_there_is_refused(made: Made) -> None:
    frames, room = made("float16")
    with pytest.raises(IndexError):
        clips_of(frames, room).batch(torch.tensor([len(COUNTS)]))


def test_frames_seen_are_those_of_the_clip_as_far_as_the_view_goes(made: Made) -> None:
    frames, room = made("float16")
    seen = clips_of(frames, room).seen_frames(torch.arange(len(COUNTS)))
    assert seen.tolist() == [min(count, VIEW) for count in COUNTS]


# -- where they are put ------------------------------------------------------------------------------------------------


def test_frames_that_lie_in_memory_need_no_room_on_the_cpu() -> None:
    frames = frames_of("float32")
    assert clip_source(frames, CPU).placement.where is Where.RESIDENT
    assert clip_source(frames, CPU, room_bytes=0).placement.where is Where.MAPPED


def test_a_map_is_known_through_any_view(tmp_path: Path) -> None:
    write_arrays(tmp_path / "store", np.split(frames_of("float32"), OFFSETS[1:-1]))
    frames = map_frames(tmp_path / "store" / "frames.npy")
    assert mapping_of(frames) is mapping_of(frames[3:7]) is mapping_of(frames.T) is not None
    assert mapping_of(frames.copy()) is None
