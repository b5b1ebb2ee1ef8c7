"""Which audio files are unusable, and which hold the same recording, found by decoding each once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ser_core.clips import SkippedFile
from ser_core.corpora._progress import Progress
from ser_core.features.audio import AudioError, decode
from ser_core.whole_file import write_whole

_RULES = 3
"""Raise it when `ser_core.features.audio.decode` judges differently, so that old verdicts are forgotten."""


@dataclass(frozen=True)
class Checked:
    """One file, decoded: a digest of its samples, or the reason why it cannot be used, the other one empty."""

    content: str
    reason: str


def check_audio(paths: Sequence[Path], *, cache_dir: Path, progress: Progress) -> list[Checked]:
    """What `ser_core.features.audio.decode` makes of every file.

    The verdicts of a whole list are remembered under its files' paths, sizes and times of change: an unchanged corpus
    costs one `stat` a file.
    """
    verdicts = cache_dir / "checked" / f"{_list_key(paths)}.json"
    known = _read(verdicts, len(paths))
    if known is None:
        known = _decode_all(paths, progress)
        verdicts.parent.mkdir(parents=True, exist_ok=True)
        write_whole(verdicts, json.dumps([[file.content, file.reason] for file in known]))
    return known


def problems(paths: Sequence[Path], checked: Sequence[Checked]) -> tuple[SkippedFile, ...]:
    """The files that cannot be used, in the order of `paths`."""
    return tuple(
        SkippedFile(path=path, reason=file.reason) for path, file in zip(paths, checked, strict=True) if file.reason
    )


def _read(verdicts: Path, files: int) -> list[Checked] | None:
    """The verdicts in a file of the cache; None when there is none, or one that a power cut damaged."""
    try:
        known = [Checked(str(content), str(reason)) for content, reason in json.loads(verdicts.read_bytes())]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return known if len(known) == files else None


def _decode_all(paths: Sequence[Path], progress: Progress) -> list[Checked]:
    checked = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for file in pool.map(_check, paths):  # libsndfile runs without the interpreter lock
            checked.append(file)
            progress("Checking audio", len(checked), len(paths))
    return checked


def _check(path: Path) -> Checked:
    try:
        samples, _ = decode(path)
    except AudioError as error:
        return Checked("", str(error))
    return Checked(hashlib.sha256(samples.data).hexdigest()[:16], "")


def _list_key(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{_RULES}\n".encode())
    for path in paths:
        state = path.stat() if path.exists() else None
        digest.update(f"{path.resolve()}\t{state and (state.st_size, state.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:20]
