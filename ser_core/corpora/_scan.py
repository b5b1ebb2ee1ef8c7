"""From a folder of audio files to clips, by what a corpus module says about their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from ser_core.clips import Clip, SkippedFile
from ser_core.corpora._progress import Progress

AUDIO_SUFFIXES = (".wav", ".flac")


class BadName(ValueError):
    """A file name from which a corpus cannot tell what the file holds; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a file name says. `clip_id` is unique in the corpus: two files with the same one are copies."""

    clip_id: str
    speaker: str
    emotion: str
    gender: str | None


class Corpus(Protocol):
    """What a corpus module holds; see `ser_core.corpora`."""

    CITATION: str
    LICENCE: str
    SYNTHETIC: bool
    EXAMPLES: dict[str, Labels]

    def labels(self, file: PurePosixPath) -> Labels | None: ...

    def obtain(self, cache_dir: Path, progress: Progress) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a folder or a manifest names.

    Attributes:
        clips: in the order of their ids; their audio has not been opened.
        problems: files or lines that name no clip, with the reason.
        left_out: files that belong to the corpus but not to the task, such as song.
    """

    clips: tuple[Clip, ...]
    problems: tuple[SkippedFile, ...] = ()
    left_out: int = 0


def scan_folder(corpus: Corpus, root: Path) -> Scan:
    """Find the clips of `corpus` at any depth below `root`; copies of a clip count once, the shallowest first."""
    clips: dict[str, Clip] = {}
    problems, left_out = [], 0
    for path in sorted(audio_files(root), key=lambda path: (len(path.parts), path.as_posix())):
        try:
            said = corpus.labels(PurePosixPath(path.relative_to(root).as_posix()))
        except BadName as error:
            problems.append(SkippedFile(path=path, reason=str(error)))
            continue
        if said is None:
            left_out += 1
        elif said.clip_id not in clips:
            clips[said.clip_id] = Clip(path=path, **vars(said))
    ordered = tuple(clips[clip_id] for clip_id in sorted(clips))
    return Scan(clips=ordered, problems=tuple(problems), left_out=left_out)


def audio_files(root: Path) -> Iterator[Path]:
    """Audio files at any depth, without hidden ones and what macOS adds to archives; linked folders are not entered."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if is_visible(name)]
        for name in names:
            if is_visible(name) and name.lower().endswith(AUDIO_SUFFIXES):
                yield Path(folder, name)


def is_visible(name: str) -> bool:
    """False for `.DS_Store`, `._clip.wav` and `__MACOSX`."""
    return not name.startswith(".") and name != "__MACOSX"
