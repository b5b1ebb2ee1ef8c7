"""Where clips come from makes no difference: what every source must do, tried on each."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser_core.clips import Clip, Manifest
from ser_core.config import FeatureConfig
from ser_core.features.cache import FeatureStoreError, map_frames, write_arrays
from ser_core.features.clip_source import READ_BYTES, clip_source
from ser_core.features.device_clips import DeviceClips, Wanted
from ser_core.features.file_frames import FileFrames
from ser_core.features.fingerprint import audio_digests
from ser_core.features.frames import Frames, end_to_end, mapping_of
from ser_core.features.normalisation import Normalisation
from ser_core.features.placement import Where
from ser_core.features.store import feature_store

CPU = torch.device("cpu")
VIEW = 8
COUNTS = (5, 8, 1, 30, 9, 3, 17, 8, 2, 12)
TYPES = ("float32", "float16", "int16")


@dataclass(frozen=True)
class Case:
    """Frames that come from where a test says.

    Attributes:
        frames, bounds: as in a store.
        plain: the same frames as an array.
        room_bytes: what they may take, so that they come from there.
    """

    where: Where
    frames: Frames
    bounds: np.ndarray
    plain: np.ndarray
    room_bytes: int

    @property
    def clips(self) -> int:
        return len(self.bounds)

    def placed(self, crop: str = "center") -> DeviceClips:
        """All clips, with a mean and a scale that are easily told."""
        scale = Normalisation(self.means, np.full(len(self.means), 3.0, dtype=np.float32))
        return DeviceClips(
            self.frames, self.bounds, scale, view_frames=VIEW, crop=crop, device=CPU, room_bytes=self.room_bytes
        )

    @property
    def means(self) -> np.ndarray:
        return np.arange(self.plain.shape[1], dtype=np.float32)

    def reference(self, row: int, shift: int, view: int, crop: str) -> tuple[np.ndarray, int]:
        """What a batch shows of one clip, frame by frame, and the length that it gives."""
        first, count = int(self.bounds[row, 0]), int(np.diff(self.bounds[row])[0])
        slack = count - view
        start = (max(slack, 0) // 2 if crop == "center" else 0) + shift
        start = min(max(start, min(slack, 0)), max(slack, 0))
        shown = np.zeros((view, len(self.means)), dtype=np.float32)
        for step in range(view):
            if 0 <= start + step < count:
                values = self.plain[first + start + step].astype(np.float32)
                values = values / np.float32(32_768) if self.plain.dtype == np.int16 else values
                shown[step] = (values - self.means) * np.float32(1 / np.float32(3))
        return shown, min(count - start, view)


def in_memory(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Noise, in which no two frames are equal, and where its clips begin."""
    values = np.random.default_rng(0).normal(0, 1000, (sum(COUNTS), 3))
    return values.astype(dtype), np.concatenate([[0], np.cumsum(COUNTS)])


def from_memory(dtype: str, folder: Path, encoder: Path) -> Case:
    frames, offsets = in_memory(dtype)
    return Case(Where.RESIDENT, frames, end_to_end(offsets), frames, frames.nbytes)


def from_map(dtype: str, folder: Path, encoder: Path) -> Case:
    frames, offsets = in_memory(dtype)
    write_arrays(folder / dtype, np.split(frames, offsets[1:-1]))
    mapped = map_frames(folder / dtype / "frames.npy")
    return Case(Where.MAPPED, mapped, end_to_end(offsets), frames, frames.nbytes - 1)


KINDS = {
    "float32": FeatureConfig(kind="mfcc_stats"),
    "float16": FeatureConfig(kind="log_mel", n_mels=16, n_mfcc=8),
    "int16": FeatureConfig(kind="encoder_input"),
}


def from_files(dtype: str, folder: Path, encoder: Path) -> Case:
    settings = replace(KINDS[dtype], encoder=str(encoder))
    manifest = noisy_corpus(folder / "audio")
    stored = feature_store(manifest, settings, cache_dir=folder / "cache")
    digests = audio_digests(manifest.clips)
    offsets = np.append(stored.bounds[:, 0], stored.bounds[-1, 1])
    frames = FileFrames(manifest.clips, digests, settings, offsets, stored.bins, np.dtype(dtype))
    plain = np.concatenate(list(stored.clips()))
    return Case(Where.FILES, frames, stored.bounds, plain, 0)


def noisy_corpus(folder: Path) -> Manifest:
    """Ten clips of 50 to 140 ms."""
    folder.mkdir()
    clips = []
    for index in range(10):
        path, seconds = folder / f"{index}.wav", 0.05 + 0.01 * ((7 * index) % 10)
        noise = 0.1 * np.random.default_rng(index).standard_normal(round(16_000 * seconds))
        soundfile.write(path, noise, 16_000, subtype="PCM_16")
        clips.append(Clip(clip_id=str(index), path=path, speaker="one", emotion=("happy", "sad")[index % 2]))
    return Manifest(corpus="noise", clips=tuple(clips), classes=("happy", "sad"))


@pytest.fixture(params=[from_memory, from_map, from_files], ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path, tiny_encoder: Callable[..., Path]) -> Callable[[str], Case]:
    """`made(dtype)`: a case of each source."""
    return lambda dtype: request.param(dtype, tmp_path, tiny_encoder())


@pytest.mark.parametrize("dtype", TYPES)
def test_it_comes_from_where_its_size_says(dtype: str, made: Callable[[str], Case]) -> None:
    case = made(dtype)
    placement = case.placed().placement
    assert placement.where is case.where
    assert (placement.size_bytes, placement.room_bytes) == (case.plain.nbytes, case.room_bytes)


@pytest.mark.parametrize("crop", ["center", "start"])
@pytest.mark.parametrize("dtype", TYPES)
def test_batches_hold_what_the_reference_says_to_the_last_bit(
    dtype: str, crop: str, made: Callable[[str], Case]
) -> None:
    case, rng = made(dtype), np.random.default_rng(1)
    wanted = []
    for view in (None, 1, 5, VIEW):
        rows = torch.from_numpy(rng.integers(0, case.clips, 7))
        wanted += [Wanted(rows, None, view), Wanted(rows, torch.from_numpy(rng.integers(-9, 10, 7)), view)]
    with closing(case.placed(crop).batches(wanted)) as batches:
        found = list(batches)
    assert len(found) == len(wanted)
    for each, (features, lengths) in zip(wanted, found, strict=True):
        shifts = torch.zeros_like(each.rows) if each.shifts is None else each.shifts
        for row, shift, shown, length in zip(each.rows.tolist(), shifts.tolist(), features, lengths, strict=True):
            expected, real = case.reference(row, shift, each.view or VIEW, crop)
            np.testing.assert_array_equal(shown.numpy(), expected)
            assert not np.signbit(shown.numpy()[expected == 0]).any()  # no minus zero either
            assert length == real


def test_many_batches_come_in_the_order_in_which_they_are_asked_for(made: Callable[[str], Case]) -> None:
    """More than are read at once, and more than are read ahead."""
    case = made("int16")
    clips = case.placed()
    count = READ_BYTES // (VIEW * len(case.means) * 2) // 3 if case.where is not Where.FILES else 20
    rows = torch.arange(count) % case.clips
    wanted = [Wanted(rows.roll(turn)) for turn in range(40)]
    first = clips.batch(rows[:1])[0][0]
    with closing(clips.batches(wanted)) as batches:
        for turn, (features, _) in enumerate(batches):
            assert torch.equal(features[turn % count], first)


def test_who_stops_in_the_middle_leaves_no_thread_behind(made: Callable[[str], Case]) -> None:
    case = made("int16")
    before = threading.active_count()
    batches = case.placed().batches([Wanted(torch.arange(10)) for _ in range(100)])
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_a_clip_that_is_not_there_is_refused(made: Callable[[str], Case]) -> None:
    case = made("int16")
    with pytest.raises(IndexError):
        case.placed().batch(torch.tensor([case.clips]))


def test_frames_seen_are_those_of_the_clip_as_far_as_the_view_goes(made: Callable[[str], Case]) -> None:
    case = made("float16")
    seen = case.placed().seen_frames(torch.arange(case.clips))
    assert seen.tolist() == [min(count, VIEW) for count in np.diff(case.bounds).ravel().tolist()]


# -- where they are put ------------------------------------------------------------------------------------------------


def test_frames_that_lie_in_memory_need_no_room_on_the_cpu() -> None:
    frames, _ = in_memory("float32")
    assert clip_source(frames, CPU, room_bytes=0).placement.where is Where.RESIDENT
    elsewhere = torch.device("meta")  # has no memory, and stands for a GPU
    assert clip_source(frames, elsewhere, room_bytes=0).placement.where is Where.MAPPED


def test_a_map_is_known_through_any_view(tmp_path: Path) -> None:
    plain, offsets = in_memory("float32")
    write_arrays(tmp_path / "store", np.split(plain, offsets[1:-1]))
    frames = map_frames(tmp_path / "store" / "frames.npy")
    assert mapping_of(frames) is mapping_of(frames[3:7]) is mapping_of(frames.T) is not None
    assert mapping_of(frames.copy()) is None


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def in_files(tmp_path: Path, tiny_encoder: Callable[..., Path]) -> Case:
    return from_files("int16", tmp_path, tiny_encoder())


def test_a_file_that_was_changed_is_noticed_before_it_is_trained_on(in_files: Case, tmp_path: Path) -> None:
    clips = in_files.placed()
    clips.batch(torch.tensor([0]))
    for index in (0, 3):
        soundfile.write(tmp_path / "audio" / f"{index}.wav", np.sin(np.arange(1_600)), 16_000)
    with pytest.raises(FeatureStoreError, match=r"3\.wav on .* is another file than when the run began"):
        clips.batch(torch.tensor([1, 3]))
    with pytest.raises(FeatureStoreError, match=r"0\.wav gives 1600 frames on .*, and gave 800 when the run began"):
        clips.batch(torch.tensor([0]))


def test_a_file_that_is_gone_is_named(in_files: Case, tmp_path: Path) -> None:
    (tmp_path / "audio" / "2.wav").unlink()
    with pytest.raises(FeatureStoreError, match=r"2\.wav cannot be read"):
        in_files.placed().batch(torch.tensor([1, 2]))


def test_frames_in_files_are_had_clip_by_clip(in_files: Case) -> None:
    begin, end = in_files.bounds[4].tolist()
    np.testing.assert_array_equal(in_files.frames[begin:end], in_files.plain[begin:end])
    with pytest.raises(ValueError, match="frames must be those of one clip"):
        in_files.frames[begin : end + 1]


def test_another_process_gets_some_clips_alone(in_files: Case) -> None:
    assert isinstance(in_files.frames, FileFrames)
    rows = np.array([7, 2])
    few = pickle.loads(pickle.dumps(in_files.frames.select(rows)))
    sizes = np.diff(in_files.bounds[rows]).ravel()
    assert few.shape == (sizes.sum(), 1)
    first = in_files.bounds[7, 0]
    np.testing.assert_array_equal(few[0 : int(sizes[0])], in_files.plain[first : first + sizes[0]])
    assert b"3.wav" not in pickle.dumps(few)
