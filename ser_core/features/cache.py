"""How a feature store lies on disk: `<cache_dir>/features/<fingerprint>/`, complete or not there at all.

A folder holds `frames.npy` (total_frames, bins) of one of `TYPES`, `offsets.npy` (clips + 1,) int64 and `store.json`
with the digest of both. It is made under a temporary name and renamed when it is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

from ser_core.errors import UserError
from ser_core.features.frames import LET_GO_BYTES, FrameReader, mapping_of
from ser_core.json_document import read_object

FRAMES, OFFSETS, DESCRIPTION = "frames.npy", "offsets.npy", "store.json"

Arrays = tuple[np.ndarray, np.ndarray]
"""frames (total_frames, bins) of one of `TYPES` and offsets (clips + 1,) int64."""
Clips = Generator[np.ndarray, None, None]
"""The features of clips, (frames, bins) each, all of the same of `TYPES`, one after another."""
TYPES = ("<f4", "<f2", "<i2")
"""What frames may be of; int16 are samples."""


class FeatureStoreError(UserError, RuntimeError):
    """Features that cannot be read or kept; the message says where, why and what to do."""


def stores_folder(cache_dir: Path) -> Path:
    """Where all stores lie."""
    return cache_dir / "features"


def cache_folder(cache_dir: Path, fingerprint: str) -> Path:
    """Where the store with this fingerprint lies."""
    return stores_folder(cache_dir) / fingerprint


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time is in here for one `folder`.

    Raises:
        FeatureStoreError: the folder's parent cannot be made or written.
    """
    lock = FileLock(folder.with_suffix(".lock"))
    with _writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cached_arrays(cache_dir: Path, name: str, clips: Callable[[], Clips]) -> tuple[np.ndarray, np.ndarray, bool]:
    """The arrays of the store with this name, from the cache or made of `clips` and cached; True when they were made.

    Raises:
        FeatureStoreError: the cache cannot be written.
    """
    folder = cache_folder(cache_dir, name)
    arrays, made = open_arrays(folder), False
    if arrays is None:
        with locked(folder):
            arrays = open_arrays(folder)  # another process may have written it meanwhile
            if arrays is None:
                with closing(clips()) as computed:  # whatever ends this, threads that compute are let go at once
                    arrays, made = write_arrays(folder, computed), True
    return *arrays, made


def open_arrays(folder: Path) -> Arrays | None:
    """The arrays of a complete store, frames memory-mapped and read-only; None when there is none or it is damaged.

    Every byte is compared with its digest (about 1 GB a second), because a damaged cache would spoil a search silently.
    While the frames are in use, a shared lock on the description keeps others from deleting the store, and its time of
    change says when it was opened last (`ser_core.features.cache_room`).
    """
    try:
        description = (folder / DESCRIPTION).open("rb")
    except OSError:
        return None
    with ExitStack() as unless_used:
        unless_used.enter_context(description)
        with suppress(OSError):  # a file system without locks, or one that may only be read
            fcntl.flock(description, fcntl.LOCK_SH)
            os.utime(folder / DESCRIPTION)
        try:
            digest = read_object(folder / DESCRIPTION)["sha256"]
            frames = map_frames(folder / FRAMES)
            offsets = np.load(folder / OFFSETS, allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if frames.dtype.str not in TYPES or frames.ndim != 2 or not frames.flags.c_contiguous:
            return None
        if _digest(frames, offsets) != digest:
            return None
        weakref.finalize(mapping_of(frames), unless_used.pop_all().close)
        return frames, offsets


def map_frames(path: Path) -> np.ndarray:
    """Frames (total_frames, bins) of a store, memory-mapped and read-only, as they are: `open_arrays` checks them.

    Raises:
        OSError, ValueError: no such file, or no array.
    """
    # asarray drops numpy's memmap subclass, which would pickle as something else than an array
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def write_arrays(folder: Path, clips: Iterable[np.ndarray]) -> Arrays:
    """Write the features of each clip, (frames, bins), as they come, and open the result.

    The caller holds the lock (`locked`), so that what lies under the temporary name is a rest of an interrupted
    computation. At no time is more than one clip of `clips` held.

    Raises:
        FeatureStoreError: the disk is full or may not be written.
    """
    temporary = folder.with_suffix(".tmp")
    with _writing(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    try:
        offsets = _write_frames(folder, temporary / FRAMES, clips)
        with _writing(folder):
            np.save(temporary / OFFSETS, offsets)
            frames = np.load(temporary / FRAMES, mmap_mode="r")
            (temporary / DESCRIPTION).write_text(json.dumps({"sha256": _digest(frames, offsets)}))
            shutil.rmtree(folder, ignore_errors=True)  # a damaged store: a rename does not replace a folder
            temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    arrays = open_arrays(folder)
    if arrays is None:
        raise FeatureStoreError(f"{folder} was damaged as soon as it was written: check the disk")
    return arrays


def _write_frames(folder: Path, path: Path, clips: Iterable[np.ndarray]) -> np.ndarray:
    """Write the clips' frames end to end as one .npy file; returns their offsets, (clips + 1,) int64.

    The header is written twice, since the number of frames is known only at the end; numpy reserves room in it for the
    first axis to grow. Plain writes, not a memory map: a full disk is then an error instead of a bus error.
    """
    offsets, bins, kind = [0], None, TYPES[0]
    with path.open("wb") as file:
        for features in clips:
            with _writing(folder):  # not around the loop: an error in computing `clips` is none in writing
                if bins is None:
                    bins, kind = features.shape[1], features.dtype.str
                    _write_header(file, 0, bins, kind)
                file.write(np.ascontiguousarray(features, dtype=kind).data)
            offsets.append(offsets[-1] + len(features))
        with _writing(folder):
            file.seek(0)
            _write_header(file, offsets[-1], bins or 0, kind)
            file.flush()  # not fsync, which took longer than the computation: the digest tells a torn file
    return np.array(offsets, dtype=np.int64)


def _write_header(file: BinaryIO, frames: int, bins: int, kind: str) -> None:
    description = {"descr": kind, "fortran_order": False, "shape": (frames, bins)}
    np.lib.format.write_array_header_1_0(file, description)


def _digest(frames: np.ndarray, offsets: np.ndarray) -> str:
    digest = hashlib.sha256(repr((frames.shape, offsets.shape)).encode())
    digest.update(np.ascontiguousarray(offsets).data)
    reader, step = FrameReader(frames), max(1, LET_GO_BYTES // max(1, frames[:1].nbytes))
    for start in range(0, len(frames), step):
        digest.update(np.ascontiguousarray(reader[start : start + step]).data)
    return digest.hexdigest()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a failure to write into a `FeatureStoreError`."""
    try:
        yield
    except OSError as error:
        raise FeatureStoreError(
            f"features cannot be written to {folder.parent}: {error}; make room there or choose another cache folder"
        ) from error
