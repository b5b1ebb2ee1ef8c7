"""What tells a feature store from all others: the bytes of every audio file, the settings, and the code."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ser_core.clips import Clip, Manifest, Span
from ser_core.config import BY_SPEAKER, ENCODER_KINDS, FeatureConfig
from ser_core.features.cache import FeatureStoreError
from ser_core.features.computing import quiet_threads
from ser_core.features.transforms import settings_key

Digests = tuple[bytes, ...]
"""SHA-256 of each clip's audio file, and of its span where it is a part of one, in the order of the manifest."""


def audio_digests(clips: Sequence[Clip]) -> Digests:
    """The digests of clips, whose files are read each time: a corpus of an hour takes a fraction of a second, and no
    time stamp can lie.

    Raises:
        FeatureStoreError: a file is gone or cannot be read.
    """
    files = dict.fromkeys(clip.path for clip in clips)  # of which one may hold many clips
    digests = dict(zip(files, _file_digests(files), strict=True))
    return tuple(_clip_digest(digests[clip.path], clip.span) for clip in clips)


def check_files(clips: Sequence[Clip], digests: Sequence[bytes]) -> None:
    """Raise `FeatureStoreError` unless this machine sees the files that the digests are of."""
    for clip, found, wanted in zip(clips, audio_digests(clips), digests, strict=True):
        _check_digest(clip, found, wanted)


def check_file(clip: Clip, digest: bytes) -> None:
    """The same of one clip, by this thread."""
    _check_digest(clip, _clip_digest(_file_digest(clip.path), clip.span), digest)


def _check_digest(clip: Clip, found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise FeatureStoreError(
            f"{clip.path} on {socket.gethostname()} is another file than when the run began; every machine must "
            f"see the same corpus, unchanged"
        )


def _file_digests(paths: Iterable[Path]) -> Digests:
    with quiet_threads() as pool:
        return tuple(pool.map(_file_digest, paths))


def _clip_digest(file: bytes, span: Span | None) -> bytes:
    return file if span is None else hashlib.sha256(file + span.fragment.encode()).digest()


def fingerprint_of(manifest: Manifest, settings: FeatureConfig, audio: Digests) -> str:
    """The same for equal audio, settings and code, wherever the files lie.

    Raises:
        FeatureStoreError: a file of an encoder cannot be read.
    """
    plain = [settings_key(_plain(settings)).encode(), *audio, *_file_digests(_encoder_files(settings))]
    fingerprint = hashlib.sha256(b"".join(plain)).hexdigest()[:32]
    if settings.normalisation != BY_SPEAKER:
        return fingerprint
    return _digest(fingerprint, "by speaker", *manifest.speakers.tolist())


def selection_name(fingerprint: str, rows: np.ndarray) -> str:
    """The name of a store that holds only the clips `rows` of the one with this fingerprint."""
    return hashlib.sha256(fingerprint.encode() + rows.astype("<i8").tobytes()).hexdigest()[:32]


def lengths_name(name: str) -> str:
    """The name of what holds the lengths alone of the clips of the store with this name."""
    return _digest(name, "lengths")


def _plain(settings: FeatureConfig) -> FeatureConfig:
    """What the store is made of that is then normalised by speaker."""
    return replace(settings, normalisation="corpus") if settings.normalisation == BY_SPEAKER else settings


def _encoder_files(settings: FeatureConfig) -> list[Path]:
    folder = Path(settings.encoder).expanduser()
    if settings.kind not in ENCODER_KINDS or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file())


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise FeatureStoreError(f"{path} cannot be read: {error}; scan the corpus again") from error


def _digest(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
