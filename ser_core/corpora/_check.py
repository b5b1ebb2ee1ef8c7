"""Which audio files are unusable, found by decoding each once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ser_core.clips import SkippedFile
from ser_core.corpora._progress import Progress
from ser_core.features.audio import AudioError, decode

_RULES = 1
"""Raise it when `ser_core.features.audio.decode` judges differently, so that old verdicts are forgotten."""


def audio_problems(paths: Sequence[Path], *, cache_dir: Path, progress: Progress) -> tuple[SkippedFile, ...]:
    """Files that `ser_core.features.audio.decode` refuses, in the order of `paths`.

    The verdicts of a whole list are remembered under its files' paths, sizes and times of change: an unchanged corpus
    costs one `stat` a file.
    """
    verdicts = cache_dir / "checked" / f"{_list_key(paths)}.json"
    if verdicts.exists():
        reasons = json.loads(verdicts.read_text(encoding="utf-8"))
    else:
        reasons = _decode_all(paths, progress)
        verdicts.parent.mkdir(parents=True, exist_ok=True)
        temporary = verdicts.with_name(f"{verdicts.name}.{os.getpid()}")
        temporary.write_text(json.dumps(reasons), encoding="utf-8")
        temporary.replace(verdicts)
    return tuple(SkippedFile(path=paths[int(row)], reason=reason) for row, reason in reasons.items())


def _decode_all(paths: Sequence[Path], progress: Progress) -> dict[str, str]:
    """Row in `paths` (as text, for JSON) -> reason, for bad files only."""
    reasons = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, reason in enumerate(pool.map(_reason, paths)):  # libsndfile runs without the interpreter lock
            if reason:
                reasons[str(row)] = reason
            progress("Checking audio", row + 1, len(paths))
    return reasons


def _reason(path: Path) -> str | None:
    try:
        decode(path)
    except AudioError as error:
        return str(error)
    return None


def _list_key(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{_RULES}\n".encode())
    for path in paths:
        state = path.stat() if path.exists() else None
        digest.update(f"{path.resolve()}\t{state and (state.st_size, state.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:20]
