"""Features of a whole corpus: computed once, kept in a fingerprinted cache, shared by all trials.

A store's fingerprint covers the bytes of every audio file, the settings that decide the values, the files of an encoder
in a folder (one from the hub goes by its name) and `FEATURE_VERSION`. A changed file therefore gives another store.
`ser_core.features.cache` says how one lies on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ser_core.clips import Manifest
from ser_core.config import BY_SPEAKER, FeatureConfig
from ser_core.features.cache import Arrays, Clips, cache_folder, cached_arrays, open_arrays
from ser_core.features.cache_room import default_limit, make_room
from ser_core.features.computing import Compute, compute_in_threads
from ser_core.features.derivation import base_settings, derivation
from ser_core.features.file_frames import FileFrames
from ser_core.features.fingerprint import (
    Digests,
    audio_digests,
    check_files,
    fingerprint_of,
    lengths_name,
    selection_name,
)
from ser_core.features.frames import FrameReader, Frames, end_to_end
from ser_core.features.normalisation import Normalisation, as_float, normalisation_of
from ser_core.features.precision import as_stored
from ser_core.features.size import is_left_in_files, known_bins, known_type
from ser_core.features.transforms import settings_key
from ser_core.targets import Target

Progress = Callable[[int, int], None]
"""Called with (clips done, clips in all)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStore:
    """Features of clips of different lengths, with what is to be predicted of them.

    Attributes:
        frames: (total_frames, bins). float32, float16, or int16 samples, see
            `ser_core.features.normalisation.as_float`. A C-contiguous ndarray, which may be read-only, or what stands
            for one.
        bounds: (clips, 2) int64: clip i is frames bounds[i, 0] up to bounds[i, 1]. They lie end to end, unless the
            store is a `view` of a larger one.
        truth: of every clip: (clips,) int64, positions in the target's names, or (clips, names) float64.
        clip_ids: as in the manifest.
        target: what is to be predicted.
        settings: what the frames were computed with.
        fingerprint: of audio, settings and code; the same for every selection of rows.

    Raises:
        ValueError: arrays that do not fit one another.
    """

    frames: Frames
    bounds: np.ndarray
    truth: np.ndarray
    clip_ids: tuple[str, ...]
    target: Target
    settings: FeatureConfig
    fingerprint: str

    def __post_init__(self) -> None:
        clips = len(self.clip_ids)
        if self.bounds.shape != (clips, 2) or self.truth.shape[:1] != (clips,):
            raise ValueError(
                f"{clips} clips need bounds of shape ({clips}, 2) and {clips} labels; "
                f"got shapes {self.bounds.shape} and {self.truth.shape}"
            )
        if len(self.frames.shape) != 2 or (
            clips and not 0 <= self.bounds.min() < self.bounds.max() <= self.frames.shape[0]
        ):
            raise ValueError(
                f"clips must lie within the frames; they lie from {self.bounds.min(initial=0)} to "
                f"{self.bounds.max(initial=0)} of frames of shape {self.frames.shape}"
            )
        if (np.diff(self.bounds) <= 0).any():
            raise ValueError("every clip must have at least one frame; some end where they begin, or before")

    def normalisation(self, rows: np.ndarray) -> Normalisation:
        """Mean and deviation of every bin over the clips `rows` alone; computed once for the same rows."""
        key = hashlib.sha256(np.asarray(rows, dtype=np.int64).tobytes()).digest()
        if key not in self._normalisations:
            self._normalisations[key] = normalisation_of(self.frames, self.bounds, rows)
        return self._normalisations[key]

    @cached_property
    def _normalisations(self) -> dict[bytes, Normalisation]:
        return {}

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
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.bounds[rows]))])
        if isinstance(self.frames, FileFrames):
            frames: Frames = self.frames.select(rows)
        else:
            frames = np.empty((int(offsets[-1]), self.bins), dtype=self.frames.dtype)
            for start, stop, clip in zip(offsets, offsets[1:], self.clips(rows), strict=False):
                frames[start:stop] = clip
        clip_ids = tuple(self.clip_ids[row] for row in rows)
        return replace(self, frames=frames, bounds=end_to_end(offsets), truth=self.truth[rows], clip_ids=clip_ids)

    def view(self, rows: Sequence[int] | np.ndarray) -> FeatureStore:
        """A store that knows of the clips in `rows` alone, in that order, and shares the frames of this one.

        Raises:
            IndexError: as of `select`.
        """
        rows = self._checked(rows)
        if isinstance(self.frames, FileFrames):
            return self.select(rows)
        clip_ids = tuple(self.clip_ids[row] for row in rows)
        return replace(self, bounds=self.bounds[rows], truth=self.truth[rows], clip_ids=clip_ids)

    def clips(self, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """The features (frames, bins) of every clip, or of the clips `rows`, one after another, to be used at once."""
        return FrameReader(self.frames).clips(self.bounds, np.arange(len(self.clip_ids)) if rows is None else rows)

    def _checked(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.clip_ids)):
            raise IndexError(f"rows must lie in [0, {len(self.clip_ids) - 1}]; got {rows.min()} to {rows.max()}")
        return rows


@dataclass(frozen=True, kw_only=True)
class CorpusFeatures:
    """The features of a corpus, for any settings that are asked for: from the cache, or computed now and cached.

    Frames come memory-mapped from the cache: processes that open the same store share its pages. Several processes may
    ask for the same store at once; one computes it, the others wait. A cache that is damaged is computed anew. What can
    be made of a store that is there needs no audio, see `ser_core.features.derivation`.

    Attributes:
        manifest: of the corpus.
        audio: digests of its files, as they were when the run began.
        cache_dir: folder for caches; made when missing. One that is read-only does where the store is already in it.
        limit_bytes: of all features in the cache; beyond it, what was not used for longest and is not in use now goes.
        sample_limit_bytes: of a store of samples (kind encoder_input); a larger one is not made, and its frames come
            from the audio files each time.
        elsewhere: the digests come from another process, so files are compared with them before they are used: a cache
            may be shared between machines.
    """

    manifest: Manifest
    audio: Digests
    cache_dir: Path
    limit_bytes: int
    sample_limit_bytes: int
    elsewhere: bool = False

    def store(
        self,
        settings: FeatureConfig,
        rows: np.ndarray | None = None,
        *,
        compute: Compute = compute_in_threads,
        progress: Progress | None = None,
    ) -> FeatureStore:
        """The features of every clip, or of the clips `rows` alone, with the values that they have in the whole store.

        Args:
            rows: ascending; the audio of other clips is read only to normalise by speaker.
            compute: computes the features that are not in the cache; by default threads of this process do.
            progress: told how far the computation is; never called when the store comes from the cache.

        Raises:
            AudioError: a file that cannot be decoded.
            ConfigError, PretrainedError: settings or an encoder that cannot be used (see
                `ser_core.features.transforms.extractor`).
            FeatureStoreError: an audio file is gone or another one, or the cache cannot be written.
        """
        fingerprint = fingerprint_of(self.manifest, settings, self.audio)
        chosen = np.arange(len(self.manifest.clips)) if rows is None else rows
        name = fingerprint if rows is None else selection_name(fingerprint, rows)
        frames: Frames
        if self.leaves_in_files(settings):
            audio = self._of_audio(settings, rows, compute, progress)
            frames, offsets = self._left_in_files(settings, chosen, lengths_name(name), audio)
        else:

            def clips() -> Clips:
                whole = None if rows is None else open_arrays(cache_folder(self.cache_dir, fingerprint))
                if whole is not None:
                    return (clip for clip in FrameReader(whole[0]).clips(end_to_end(whole[1]), chosen))
                return self._made(settings, rows, compute, progress)

            frames, offsets = self._cached(name, clips)
        return FeatureStore(
            frames=frames,
            bounds=end_to_end(offsets),
            truth=self.manifest.truth[chosen],
            clip_ids=tuple(self.manifest.clips[row].clip_id for row in chosen),
            target=self.manifest.target,
            settings=settings,
            fingerprint=fingerprint,
        )

    def leaves_in_files(self, settings: FeatureConfig) -> bool:
        """True for samples whose store would be larger than it may be."""
        return is_left_in_files(settings, self.manifest.clips, self.sample_limit_bytes)

    def _cached(self, name: str, clips: Callable[[], Clips]) -> Arrays:
        frames, offsets, made = cached_arrays(self.cache_dir, name, clips)
        if made:
            make_room(self.cache_dir, self.limit_bytes)
        return frames, offsets

    def _left_in_files(
        self, settings: FeatureConfig, chosen: np.ndarray, name: str, audio: Clips
    ) -> tuple[FileFrames, np.ndarray]:
        """Frames that are made of the files when they are wanted; of the clips in `audio`, their lengths are kept."""

        def lengths() -> Clips:
            return (np.empty((len(clip), 0), np.int16) for clip in audio)

        _, offsets = self._cached(name, lengths)
        clips, digests = ([each[row] for row in chosen] for each in (self.manifest.clips, self.audio))
        frames = FileFrames(clips, tuple(digests), settings, offsets, known_bins(settings), known_type(settings))
        return frames, offsets

    def _made(
        self, settings: FeatureConfig, rows: np.ndarray | None, compute: Compute, progress: Progress | None
    ) -> Clips:
        """The clips' features, made of another store where there can be one, else of their audio."""
        if settings.normalisation == BY_SPEAKER:
            plain = self.store(replace(settings, normalisation="corpus"), compute=compute, progress=progress)
            return by_speaker(plain.frames, plain.bounds, self.manifest.speakers, rows)
        base = base_settings(settings)
        if settings_key(base) == settings_key(settings):
            return self._of_audio(settings, rows, compute, progress)
        return _derived(self.store(base, rows, compute=compute, progress=progress), settings)

    def _of_audio(
        self, settings: FeatureConfig, rows: np.ndarray | None, compute: Compute, progress: Progress | None
    ) -> Clips:
        """Features (frames, bins) of every clip, in order; tells how far they are."""
        chosen = range(len(self.manifest.clips)) if rows is None else rows
        clips, done = [self.manifest.clips[row] for row in chosen], 0
        if self.elsewhere:
            check_files(clips, [self.audio[row] for row in chosen])
        with closing(compute(clips, settings)) as computed:
            for features in computed:
                yield from features
                done += len(features)
                if progress is not None:
                    progress(done, len(clips))


def feature_store(
    manifest: Manifest,
    settings: FeatureConfig,
    *,
    cache_dir: Path,
    compute: Compute = compute_in_threads,
    progress: Progress | None = None,
) -> FeatureStore:
    """The features of every clip of `manifest`, from the cache or computed now and cached; see `CorpusFeatures`."""
    return corpus_features(manifest, cache_dir).store(settings, compute=compute, progress=progress)


def corpus_features(
    manifest: Manifest, cache_dir: Path, limit_bytes: int | None = None, sample_limit_bytes: int | None = None
) -> CorpusFeatures:
    """The features of a corpus whose files are read for their digests now.

    Args:
        limit_bytes: of the cache; None for `ser_core.features.cache_room.default_limit`.
        sample_limit_bytes: of a store of samples; None for that of the cache.

    Raises:
        FeatureStoreError: an audio file is gone.
    """
    audio = audio_digests(manifest.clips)
    limit = default_limit(Path(cache_dir)) if limit_bytes is None else limit_bytes
    return CorpusFeatures(
        manifest=manifest,
        audio=audio,
        cache_dir=Path(cache_dir),
        limit_bytes=limit,
        sample_limit_bytes=limit if sample_limit_bytes is None else sample_limit_bytes,
    )


@torch.inference_mode()
def _derived(base: FeatureStore, settings: FeatureConfig) -> Clips:
    """The features of `settings`, clip by clip, from a store of `base_settings(settings)`."""
    derive = derivation(settings)
    for clip in base.clips():
        yield as_stored(derive(torch.tensor(as_float(clip))).numpy(), settings)


def by_speaker(frames: Frames, bounds: np.ndarray, speakers: np.ndarray, rows: np.ndarray | None = None) -> Clips:
    """Every clip (frames, bins), or the clips `rows` alone, less its speaker's mean and over its speaker's deviation,
    both over all frames of the speaker; of the type of the frames.

    Args:
        frames: (total_frames, bins).
        bounds: (clips, 2): clip i is `frames[bounds[i, 0]:bounds[i, 1]]`.
        speakers: (clips,) names.
    """
    chosen = np.arange(len(speakers)) if rows is None else rows
    scales = {
        name: normalisation_of(frames, bounds, np.flatnonzero(speakers == name))
        for name in set(speakers[chosen].tolist())
    }
    for row, clip in zip(chosen, FrameReader(frames).clips(bounds, chosen), strict=True):
        scale = scales[str(speakers[row])]
        yield ((as_float(clip) - scale.mean) / scale.std).astype(frames.dtype)
