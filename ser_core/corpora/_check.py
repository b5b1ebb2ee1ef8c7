"""Which clips are unusable, and which are the same recording, found by decoding each once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ser_core.clips import Clip, SkippedFile
from ser_core.corpora._progress import Progress
from ser_core.features.audio import AudioError, decode
from ser_core.whole_file import write_whole

_RULES = 3
"""Raise it when `ser_core.features.audio.decode` judges differently, so that old verdicts are forgotten."""


@dataclass(frozen=True)
class Checked:
    """One clip, decoded: a digest of its samples, or the reason why it cannot be used, the other one empty."""

    content: str
    reason: str


def check_audio(clips: Sequence[Clip], *, cache_dir: Path, progress: Progress) -> list[Checked]:
    """What `ser_core.features.audio.decode` makes of every clip.

    The verdicts of a whole list are remembered under its files' paths, sizes and times of change: an unchanged corpus
    costs one `stat` a file.
    """
    verdicts = cache_dir / "checked" / f"{_list_key(clips)}.json"
    known = _read(verdicts, len(clips))
    if known is None:
        known = _decode_all(clips, progress)
        verdicts.parent.mkdir(parents=True, exist_ok=True)
        write_whole(verdicts, json.dumps([[file.content, file.reason] for file in known]))
    return known


def problems(clips: Sequence[Clip], checked: Sequence[Checked]) -> tuple[SkippedFile, ...]:
    """Those that cannot be used, in the order of `clips`."""
    return tuple(
        SkippedFile(path=clip.path, reason=f"{clip.span}: {audio.reason}" if clip.span else audio.reason)
        for clip, audio in zip(clips, checked, strict=True)
        if audio.reason
    )


def _read(verdicts: Path, clips: int) -> list[Checked] | None:
    """The verdicts in a file of the cache; None when there is none, or one that a power cut damaged."""
    try:
        known = [Checked(str(content), str(reason)) for content, reason in json.loads(verdicts.read_bytes())]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return known if len(known) == clips else None


def _decode_all(clips: Sequence[Clip], progress: Progress) -> list[Checked]:
    checked = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for audio in pool.map(_check, clips):  # libsndfile runs without the interpreter lock
            checked.append(audio)
            progress("Checking audio", len(checked), len(clips))
    return checked


def _check(clip: Clip) -> Checked:
    try:
        samples, _ = decode(clip.path, clip.span)
    except AudioError as error:
        return Checked("", str(error))
    return Checked(hashlib.sha256(samples.data).hexdigest()[:16], "")


def _list_key(clips: Sequence[Clip]) -> str:
    digest = hashlib.sha256(f"{_RULES}\n".encode())
    states: dict[Path, str] = {}  # of files, each of which may hold many clips
    for clip in clips:
        if clip.path not in states:
            states[clip.path] = _state(clip.path)
        digest.update(f"{states[clip.path]}{clip.span.fragment if clip.span else ''}\n".encode())
    return digest.hexdigest()[:20]


def _state(path: Path) -> str:
    state = path.stat() if path.exists() else None
    return f"{path.resolve()}\t{state and (state.st_size, state.st_mtime_ns)}"
