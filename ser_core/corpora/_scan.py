"""From a folder of audio files to clips, by what a corpus module says about their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np

from ser_core.clips import Clip, SkippedFile
from ser_core.corpora._progress import Progress
from ser_core.corpora._tables import Row, Table
from ser_core.corpora._wanted import EMOTIONS, Wanted

AUDIO_SUFFIXES = (".wav", ".flac")
COLUMNS = ("language", "session")
"""Of `Labels`: what becomes a column of the manifest."""


class BadName(ValueError):
    """A file name from which a corpus cannot tell what the file holds; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a file name says. `clip_id` is unique in the corpus: two files with the same one are copies.

    `language` is an ISO 639-1 code, `session` a recording session's name; both become columns of the manifest, as does
    all of `further`. `part` is that of the corpus's own split.
    """

    clip_id: str
    speaker: str
    emotion: str
    gender: str | None
    language: str = ""
    session: str = ""
    part: str | None = None
    further: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, str]:
        """What becomes columns of the manifest."""
        return {name: getattr(self, name) for name in COLUMNS} | dict(self.further)


class Corpus(Protocol):
    """What a corpus module must hold; see `ser_core.corpora` for what it may hold."""

    CITATION: str
    LICENCE: str
    SYNTHETIC: bool
    SOURCE: str
    EXAMPLES: Mapping[str, Labels]
    EMOTIONS: Mapping[str, str | None]

    def labels(self, file: PurePosixPath) -> Labels | None: ...

    def obtain(self, cache_dir: Path, progress: Progress) -> Path: ...


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a folder or a manifest names.

    Attributes:
        clips: in the order of their ids; their audio has not been opened.
        columns: what else is known of them; see `ser_core.clips.Manifest`.
        problems: files or lines that name no clip, with the reason.
        left_out: files that belong to the corpus but not to the task, such as song.
    """

    clips: tuple[Clip, ...]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    problems: tuple[SkippedFile, ...] = ()
    left_out: int = 0


def scan_folder(corpus: Corpus, root: Path, wanted: Wanted = EMOTIONS) -> Scan:
    """Find the clips of `corpus` at any depth below `root`; copies of a clip count once, the shallowest first."""
    found: dict[str, tuple[Path, Labels]] = {}
    problems, left_out = [], 0
    labels = labels_below(corpus, root, wanted)
    for path in sorted(audio_files(root), key=lambda path: (len(path.parts), path.as_posix())):
        try:
            said = labels(PurePosixPath(path.relative_to(root).as_posix()))
        except BadName as error:
            problems.append(SkippedFile(path=path, reason=str(error)))
            continue
        if said is None:
            left_out += 1
        else:
            found.setdefault(said.clip_id, (path, said))
    ordered = [found[clip_id] for clip_id in sorted(found)]
    columns = ColumnsOfClips()
    for row, (_, said) in enumerate(ordered):
        columns.add(row, said.columns)
    return Scan(
        clips=tuple(map(_clip, ordered)),
        columns=columns.arrays(len(ordered)),
        problems=tuple(problems),
        left_out=left_out,
    )


def _clip(found: tuple[Path, Labels]) -> Clip:
    path, said = found
    return Clip(
        clip_id=said.clip_id,
        path=path,
        speaker=said.speaker,
        emotion=said.emotion,
        gender=said.gender,
        part=said.part,
    )


def labels_below(corpus: Corpus, root: Path, wanted: Wanted = EMOTIONS) -> Callable[[PurePosixPath], Labels | None]:
    """The `labels` of a corpus whose folder is `root`, with what its tables there say.

    Raises:
        CorpusError: the corpus has tables, which are not there.
    """
    table: Table | None = getattr(corpus, "TABLE", None)
    if table is None:
        return corpus.labels
    rows, emotions = table(root), corpus.EMOTIONS

    def labels(file: PurePosixPath) -> Labels | None:
        said = corpus.labels(file)
        if said is None:
            return None
        if said.clip_id not in rows:
            raise BadName(f"no line of {' or '.join(table.files)} is about {said.clip_id}")
        row = rows[said.clip_id]
        return None if row is None else _with_row(said, row, emotions, wanted)

    return labels


def _with_row(said: Labels, row: Row, emotions: Mapping[str, str | None], wanted: Wanted) -> Labels | None:
    known = dict(row)
    code = known.pop("emotion")
    if code not in emotions:
        raise BadName(f"unknown emotion {code!r}: expected {', '.join(emotions)}")
    word = emotions[code]
    if word is None or not wanted.keeps(word):
        return None
    own = {name: known.pop(name) for name in ("speaker", "gender", "part") if name in known}
    return replace(said, emotion=word, **own, further=known)


class ColumnsOfClips:
    """Gathers cells by name, clip by clip, into columns; equal cells are kept once."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[int, str]] = {}
        self._words: dict[str, str] = {}

    def add(self, row: int, cells: Mapping[str, str]) -> None:
        """The cells of the clip `row`; empty ones are nothing."""
        for name, text in cells.items():
            if text:
                self._cells.setdefault(name, {})[row] = self._words.setdefault(text, text)

    def arrays(self, rows: int) -> dict[str, np.ndarray]:
        """Columns (rows,) of str objects, "" where a clip has no cell."""
        columns = {name: np.full(rows, "", dtype=object) for name in self._cells}
        for name, cells in self._cells.items():
            columns[name][list(cells)] = list(cells.values())
        return columns


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
