"""Computes the features of clips from their audio files, by threads of this process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np
import torch

from ser_core.clips import Clip
from ser_core.config import FeatureConfig
from ser_core.features.audio import AudioError, read_audio
from ser_core.features.precision import as_stored
from ser_core.features.transforms import Extractor, extractor

Compute = Callable[[Sequence[Clip], FeatureConfig], Generator[list[np.ndarray], None, None]]
"""Features, each (frames, bins), of every clip in order, some clips at a time."""

CLIPS_PER_TASK = 8
MOST_THREADS = 8
"""More threads than this wait for one another: Python's lock is held for part of the work."""

RESULTS_AHEAD = 2 * MOST_THREADS

T = TypeVar("T")
R = TypeVar("R")


def compute_in_threads(
    clips: Sequence[Clip], settings: FeatureConfig, threads: int = MOST_THREADS
) -> Generator[list[np.ndarray], None, None]:
    """The features of clips, in order, by up to so many threads of this process; a `Compute`.

    Raises:
        AudioError, ConfigError, PretrainedError: see `ser_core.features.store.feature_store`.
    """
    extract = extractor(settings, "cuda" if torch.cuda.is_available() else "cpu")
    batches = (clips[start : start + CLIPS_PER_TASK] for start in range(0, len(clips), CLIPS_PER_TASK))
    with quiet_threads(threads) as pool:
        yield from _in_order(pool, partial(features_here, settings=settings, extract=extract), batches)


def features_of_clips(clips: Sequence[Clip], settings: FeatureConfig, device: str) -> list[np.ndarray]:
    """The features of a few clips, by this thread alone, in a process that is made for that.

    Args:
        device: of an encoder; a process that was given no GPU may see one all the same.

    Raises:
        AudioError, ConfigError, PretrainedError: see `ser_core.features.store.feature_store`.
    """
    torch.set_num_threads(1)
    return features_here(clips, settings, _kept_extractor(settings, device))


def features_here(clips: Sequence[Clip], settings: FeatureConfig, extract: Extractor) -> list[np.ndarray]:
    """The features of a few clips, in the type in which they are stored, by this thread.

    Raises:
        AudioError: a file that cannot be decoded.
        FeatureStoreError: see `ser_core.features.precision.as_stored`.
    """
    found = extract([_samples(clip, settings.sample_rate_hz) for clip in clips])
    return [as_stored(features, settings) for features in found]


_kept_extractor = lru_cache(maxsize=1)(extractor)
"""For a process that does many batches: an encoder takes seconds to load."""


def _samples(clip: Clip, sample_rate_hz: int) -> np.ndarray:
    try:
        return read_audio(clip.path, sample_rate_hz, clip.span)
    except AudioError as error:
        raise AudioError(f"{clip.source}: {error}") from error


@contextmanager
def quiet_threads(most: int = MOST_THREADS) -> Iterator[ThreadPoolExecutor]:
    """Threads over batches of clips, in each of which torch itself is single-threaded.

    Threads inside torch thrash when other processes are busy (measured: 820 clips/s fell to 14), and decoding, hashing
    and torch all release Python's lock.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(most, MOST_THREADS, len(os.sched_getaffinity(0)))) as pool:
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
