"""Features of a whole corpus: computed once, kept in a fingerprinted cache, shared by all trials.

A store's fingerprint covers the bytes of every audio file (read each time: a corpus of an hour takes a fraction of a
second, and no time stamp can lie), the settings that decide the values, the files of an encoder in a folder (one from
the hub goes by its name) and `FEATURE_VERSION`. A changed file therefore gives another store. `ser_core.features.cache`
says how one lies on disk.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ser_core.clips import Clip, Manifest
from ser_core.config import BY_SPEAKER, FeatureConfig
from ser_core.features.audio import AudioError, read_audio
from ser_core.features.cache import Arrays, FeatureStoreError, cache_folder, locked, open_arrays, write_arrays
from ser_core.features.device_clips import normalisation_of
from ser_core.features.transforms import Extractor, extractor, settings_key

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all)."""

Compute = Callable[[Sequence[Clip], FeatureConfig], Generator[list[np.ndarray], None, None]]
"""Features, each (frames, bins) float32, of every clip in order, some clips at a time."""

CLIPS_PER_TASK = 8
MOST_THREADS = 8
"""More threads than this wait for one another: Python's lock is held for part of the work."""

RESULTS_AHEAD = 2 * MOST_THREADS

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStore:
    """Features of clips of different lengths, end to end, with their labels. Plain ndarrays, which may be read-only.

    Attributes:
        frames: (total_frames, bins) float32, C-contiguous; clip i holds rows offsets[i] to offsets[i + 1].
        offsets: (clips + 1,) int64, from 0, increasing.
        labels: (clips,) int64, positions in `classes`.
        clip_ids: as in the manifest.
        settings: what the frames were computed with.
        fingerprint: of audio, settings and code; the same for every selection of rows.

    Raises:
        ValueError: arrays that do not fit one another.
    """

    frames: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    clip_ids: tuple[str, ...]
    classes: tuple[str, ...]
    settings: FeatureConfig
    fingerprint: str

    def __post_init__(self) -> None:
        clips = len(self.clip_ids)
        if self.offsets.shape != (clips + 1,) or self.labels.shape != (clips,):
            raise ValueError(
                f"{clips} clips need {clips + 1} offsets and {clips} labels; "
                f"got shapes {self.offsets.shape} and {self.labels.shape}"
            )
        if self.frames.ndim != 2 or self.offsets[0] != 0 or self.offsets[-1] != len(self.frames):
            raise ValueError(
                f"offsets must run from 0 to the number of frames; got {self.offsets[0]} to {self.offsets[-1]} "
                f"for frames of shape {self.frames.shape}"
            )
        if (np.diff(self.offsets) <= 0).any():
            raise ValueError("every clip must have at least one frame; the offsets do not increase everywhere")

    @property
    def bins(self) -> int:
        """Values per frame."""
        return self.frames.shape[1]

    def select(self, rows: Sequence[int] | np.ndarray) -> FeatureStore:
        """A copy that holds only the clips in `rows`, in that order; row i of it is row rows[i] of this one.

        Raises:
            IndexError: a row that is not there (negative ones are not).
        """
        rows = self._checked(rows)
        starts, stops = self.offsets[rows], self.offsets[rows + 1]
        offsets = np.concatenate([[0], np.cumsum(stops - starts)])
        frames = np.empty((int(offsets[-1]), self.bins), dtype=np.float32)
        for to, start, stop in zip(offsets[:-1], starts, stops, strict=True):
            frames[to : to + stop - start] = self.frames[start:stop]
        clip_ids = tuple(self.clip_ids[row] for row in rows)
        return replace(self, frames=frames, offsets=offsets, labels=self.labels[rows], clip_ids=clip_ids)

    def _checked(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.clip_ids)):
            raise IndexError(f"rows must lie in [0, {len(self.clip_ids) - 1}]; got {rows.min()} to {rows.max()}")
        return rows


def feature_store(
    manifest: Manifest,
    settings: FeatureConfig,
    *,
    cache_dir: Path,
    compute: Compute | None = None,
    progress: Progress | None = None,
) -> FeatureStore:
    """The features of every clip of `manifest`, from the cache or computed now and cached.

    Frames come memory-mapped from the cache: processes that open the same store share its pages. Several processes may
    ask for the same store at once; one computes it, the others wait. A cache that is damaged is computed anew.

    Args:
        cache_dir: folder for caches; made when missing. One that is read-only does where the store is already in it.
        compute: computes the features that are not in the cache; by default threads of this process do.
        progress: told how far the computation is; never called when the store comes from the cache.

    Raises:
        AudioError: a file that cannot be decoded.
        ConfigError, PretrainedError: settings or an encoder that cannot be used (see
            `ser_core.features.transforms.extractor`).
        FeatureStoreError: an audio file is gone, or the cache cannot be written.
    """
    if settings.normalisation == BY_SPEAKER:
        plain = replace(settings, normalisation="corpus")
        store = feature_store(manifest, plain, cache_dir=cache_dir, compute=compute, progress=progress)
        return _normalised(store, manifest, cache_dir)
    fingerprint = _fingerprint(manifest, settings)
    clips = partial(_features, manifest.clips, settings, compute or compute_in_threads, progress)
    arrays = _cached(Path(cache_dir), fingerprint, clips)
    return FeatureStore(
        frames=arrays[0],
        offsets=arrays[1],
        labels=manifest.labels,
        clip_ids=tuple(clip.clip_id for clip in manifest.clips),
        classes=manifest.classes,
        settings=settings,
        fingerprint=fingerprint,
    )


def _cached(cache_dir: Path, fingerprint: str, clips: Callable[[], Iterator[np.ndarray]]) -> Arrays:
    """The arrays of a store, from the cache or made of `clips` and cached."""
    folder = cache_folder(cache_dir, fingerprint)
    arrays = open_arrays(folder)
    if arrays is None:
        with locked(folder):
            arrays = open_arrays(folder)  # another process may have written it meanwhile
            if arrays is None:
                arrays = write_arrays(folder, clips())
    return arrays


def _normalised(plain: FeatureStore, manifest: Manifest, cache_dir: Path) -> FeatureStore:
    """The store with every speaker's features brought to mean 0 and deviation 1 per bin."""
    speakers = manifest.speakers
    digest = hashlib.sha256("\n".join([plain.fingerprint, "by speaker", *speakers.tolist()]).encode())
    fingerprint = digest.hexdigest()[:32]
    clips = partial(by_speaker, plain.frames, plain.offsets, speakers)
    frames, offsets = _cached(Path(cache_dir), fingerprint, clips)
    settings = replace(plain.settings, normalisation=BY_SPEAKER)
    return replace(plain, frames=frames, offsets=offsets, settings=settings, fingerprint=fingerprint)


def by_speaker(frames: np.ndarray, offsets: np.ndarray, speakers: np.ndarray) -> Iterator[np.ndarray]:
    """Every clip (frames, bins) less its speaker's mean and over its speaker's deviation, both over all their frames.

    Args:
        frames: (total_frames, bins), the clips one after another.
        offsets: (clips + 1,): clip i is `frames[offsets[i]:offsets[i + 1]]`.
        speakers: (clips,) names.
    """
    scales = {
        name: normalisation_of(frames, offsets, np.flatnonzero(speakers == name)) for name in set(speakers.tolist())
    }
    for start, stop, name in zip(offsets[:-1], offsets[1:], speakers.tolist(), strict=True):
        yield (frames[start:stop] - scales[name].mean) / scales[name].std


def _features(
    clips: Sequence[Clip], settings: FeatureConfig, compute: Compute, progress: Progress | None
) -> Iterator[np.ndarray]:
    """Features (frames, bins) of every clip, in order; tells how far they are."""
    done = 0
    with closing(compute(clips, settings)) as computed:  # whatever ends this, threads and workers are let go at once
        for features in computed:
            yield from features
            done += len(features)
            if progress is not None:
                progress(done, len(clips))


def compute_in_threads(clips: Sequence[Clip], settings: FeatureConfig) -> Generator[list[np.ndarray], None, None]:
    """The features of clips, in order, by threads of this process; a `Compute`.

    Raises:
        AudioError, ConfigError, PretrainedError: see `feature_store`.
    """
    extract = extractor(settings, "cuda" if torch.cuda.is_available() else "cpu")
    batches = (clips[start : start + CLIPS_PER_TASK] for start in range(0, len(clips), CLIPS_PER_TASK))
    with _workers() as pool:
        yield from _in_order(pool, partial(_of_batch, settings=settings, extract=extract), batches)


def features_of_clips(clips: Sequence[Clip], settings: FeatureConfig, device: str) -> list[np.ndarray]:
    """The features of a few clips, by this thread alone, in a process that is made for that.

    Args:
        device: of an encoder; a process that was given no GPU may see one all the same.

    Raises:
        AudioError, ConfigError, PretrainedError: see `feature_store`.
    """
    torch.set_num_threads(1)
    return _of_batch(clips, settings, _kept_extractor(settings, device))


def _of_batch(clips: Sequence[Clip], settings: FeatureConfig, extract: Extractor) -> list[np.ndarray]:
    return extract([_samples(clip, settings.sample_rate_hz) for clip in clips])


_kept_extractor = lru_cache(maxsize=1)(extractor)
"""For a process that does many batches: an encoder takes seconds to load."""


def _samples(clip: Clip, sample_rate_hz: int) -> np.ndarray:
    try:
        return read_audio(clip.path, sample_rate_hz)
    except AudioError as error:
        raise AudioError(f"{clip.path}: {error}") from error


def _fingerprint(manifest: Manifest, settings: FeatureConfig) -> str:
    paths = [clip.path for clip in manifest.clips]
    if settings.kind == "wav2vec2" and Path(settings.encoder).is_dir():
        paths += sorted(path for path in Path(settings.encoder).iterdir() if path.is_file())
    digest = hashlib.sha256(settings_key(settings).encode())
    with _workers() as pool:
        for content in pool.map(_file_digest, paths):
            digest.update(content)
    return digest.hexdigest()[:32]


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise FeatureStoreError(f"{path} cannot be read: {error}; scan the corpus again") from error


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Threads over batches of clips, in each of which torch itself is single-threaded.

    Threads inside torch thrash when other processes are busy (measured: 820 clips/s fell to 14), and decoding, hashing
    and torch all release Python's lock.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(MOST_THREADS, len(os.sched_getaffinity(0)))) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def _in_order(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`pool.map`, but with few results waiting: a corpus may be larger than the memory."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > RESULTS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
