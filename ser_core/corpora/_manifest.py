"""Manifests: a user's own list of clips as CSV, TSV or JSON lines.

Columns `path, speaker, emotion` and optionally `gender` and `split`, in any order and case, or under the names of
`ser_core.corpora._columns`; others are named in a warning. Two public conventions are read as they are:

- nkululeko's CSV: `file, speaker, gender, emotion`;
- EmoBox's JSON lines: `key, dataset, wav, emo …` (Ma et al. 2024, arXiv 2406.07162). They name files from the root of
  EmoBox's checkout, somewhere above the manifest, and no speaker: it is taken from the file name where the corpus is
  known here, else a `spk` must be added. So are the codes that some of its lists have in place of words: `p` is CaFE's
  for fear.
"""

from __future__ import annotations

import csv
import gc
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from ser_core.clips import RATED, Clip, CorpusError, SkippedFile, emotion_word
from ser_core.corpora._columns import Columns, columns_of, warn_of_unused
from ser_core.corpora._identities import check_identities, is_number
from ser_core.corpora._scan import COLUMNS, BadName, ColumnsOfClips, Corpus, Scan
from ser_core.corpora._segments import file_seconds, span_of
from ser_core.corpora._votes import Votes
from ser_core.corpora._wanted import EMOTIONS, Wanted
from ser_core.targets import DIMENSIONS

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")

PARTS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_GENDERS = {
    **dict.fromkeys(("female", "f", "woman", "w", "girl"), "female"),
    **dict.fromkeys(("male", "m", "man", "boy"), "male"),
    **dict.fromkeys(("", "?", "-", "x", "unknown", "unk", "other", "nonbinary", "non-binary"), None),
}

_log = logging.getLogger(__name__)

Cells = Mapping[str, Any]
Rows = Iterable[tuple[int | str, Columns, Cells]]
"""Where each line is (its number in the manifest, or that and the name of another file), its columns, and its cells."""


def scan_manifest(path: Path, known: Mapping[str, Corpus], wanted: Wanted = EMOTIONS) -> Scan:
    """The clips that a manifest lists, in its order, and the lines that name none.

    Args:
        path: the manifest; relative audio paths start at its folder.
        known: corpora by name, which can tell the speaker from a file name.
        wanted: what is to be predicted: the emotion, of which each line needs a word; ratings in columns; or votes, in
            columns or in several lines of one clip.

    Raises:
        CorpusError: a file that is not text, lacks a column, holds no line, or writes one speaker or emotion in two
            ways.
    """
    return scan_rows(path, path.parent, manifest_rows(path, wanted), known, wanted)


def manifest_rows(path: Path, wanted: Wanted) -> Rows:
    """The lines of a manifest, by its suffix.

    Raises:
        CorpusError: a file that lacks a column, or a line that is no JSON object.
    """
    return _json_rows(path) if path.suffix.lower() == ".jsonl" else _table_rows(path, wanted)


def scan_rows(
    path: Path, folder: Path, rows: Rows, known: Mapping[str, Corpus], wanted: Wanted, *, upwards: bool = False
) -> Scan:
    """The clips that lines name; see `scan_manifest`.

    Args:
        path: names the lines in messages.
        folder: where relative audio paths start.
        rows: the lines; read once, and none of them kept.
        wanted: see `scan_manifest`.
        upwards: audio paths may start in any folder above, too.
    """
    clips: dict[str, Clip] = {}
    problems, genders, unused = [], Counter[str](), set[str]()
    further, votes = ColumnsOfClips(), Votes()
    read = _ClipReader(folder, known, wanted)
    try:
        for number, columns, cells in _without_collector(rows):
            row: Mapping[str, str] = {}
            unused.update(columns.unused)
            try:
                row = columns.row(cells)
                clip = read(row, upwards=upwards or columns.chosen.get("path") == "wav")
                if wanted.several_lines:
                    votes.add(clip.clip_id, clip.emotion)
                if clip.clip_id in clips:
                    if wanted.several_lines and _same(clip, clips[clip.clip_id]):
                        continue
                    raise BadName(f"{clip.shown} is listed twice")
                further.add(len(clips), {name: row[name] for name in COLUMNS if name in row} | columns.further(cells))
                clips[clip.clip_id] = clip
                genders[row.get("gender", "").lower()] += 1
            except BadName as error:
                place = number if isinstance(number, str) else f"{number} of {path.name}"
                file = Path(row["path"]) if row.get("path") else path
                problems.append(SkippedFile(path=file, reason=f"line {place}: {error}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is not a table in UTF-8 text ({error}): save it as UTF-8") from error
    if not clips and not problems:
        raise CorpusError(f"{path} lists no clips")
    warn_of_unused(path, (name for name in unused if not wanted.uses(name)))
    check_identities(path, "speaker", {clip.speaker for clip in clips.values()})
    check_identities(path, "emotion", {clip.emotion for clip in clips.values()} | votes.words)
    _warn_of_genders(path, genders)
    cells = further.arrays(len(clips))
    if wanted.several_lines:
        cells |= votes.columns(list(clips), cells)
    return Scan(clips=tuple(clips.values()), columns=cells, problems=tuple(problems))


def _same(one: Clip, other: Clip) -> bool:
    """True for lines that differ in nothing but what a listener said."""
    return replace(one, emotion=other.emotion) == other


def _warn_of_genders(path: Path, words: Mapping[str, int]) -> None:
    unknown = [
        f"{word!r} (in {count} clip{'s' * (count > 1)})"
        for word, count in sorted(words.items())
        if word not in _GENDERS
    ]
    if unknown:
        _log.warning(
            "%s: gender must be female or male; not understood, and taken as unknown: %s", path, ", ".join(unknown[:8])
        )


def _table_rows(path: Path, wanted: Wanted) -> Iterator[tuple[int, Columns, Cells]]:
    """(line number, columns, cells by column) of a CSV or TSV; a byte order mark and spaces around commas do not
    matter."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=_delimiter(path, first), skipinitialspace=True)
        header = [name.strip().lower() for name in next(reader, [])]
        columns = columns_of(path, header)
        needed = ("path", "speaker", *(["emotion"] if wanted.emotion else []))
        missing = [ours for ours in needed if ours not in columns.chosen]
        if missing:
            lfs = ". It is a Git LFS pointer: run git lfs pull" if first.startswith(LFS_POINTER) else ""
            raise CorpusError(
                f"{path} must have the columns path (or file), {' and '.join(needed[1:])}; missing: "
                f"{', '.join(missing)}; "
                f"its first line reads {', '.join(header)[:200]!r}{lfs}"
            )
        for cells in reader:
            if "".join(cells).strip():
                yield reader.line_num, columns, dict(zip(header, cells, strict=False))


LFS_POINTER = "version https://git-lfs.github.com"


def _delimiter(path: Path, first: str) -> str:
    """Of a table whose first line reads `first`; spreadsheets write .csv with semicolons or tabs, too."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t", key=first.count)


def _json_rows(path: Path) -> Iterator[tuple[int, Columns, Cells]]:
    """(line number, columns, values by key) of JSON lines.

    Raises:
        CorpusError: a line that is not a JSON object.
    """
    known: dict[tuple[str, ...], Columns] = {}
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
                raise CorpusError(f"{path} line {number} is not JSON: {str(error)[:100]}") from error
            if not isinstance(entry, dict):
                raise CorpusError(
                    f'{path} line {number} must be a JSON object such as {{"path": …}}; got {line.strip()[:60]}'
                )
            cells = {name.strip().lower(): value for name, value in entry.items()}
            names = tuple(cells)
            if names not in known:
                known[names] = columns_of(path, names)
            yield number, known[names], cells


def _without_collector(rows: Rows) -> Rows:
    """The lines, while Python's cycle collector rests: it would walk over all clips again and again for nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield from rows
    finally:
        if was_on:
            gc.enable()


class _ClipReader:
    """Makes clips of lines. Words that many lines share are kept once: there may be a million lines."""

    def __init__(self, folder: Path, known: Mapping[str, Corpus], wanted: Wanted) -> None:
        self._folder, self._known, self._wanted = folder, known, wanted
        self._length = lru_cache(maxsize=64)(file_seconds)  # neighbouring lines name parts of one file
        self._words: dict[str, str] = {}
        self._emotions: dict[tuple[str | None, str], str] = {}

    def __call__(self, row: Mapping[str, str], *, upwards: bool) -> Clip:
        """The clip of one line.

        Raises:
            BadName: no path, speaker or emotion, times or a word for the part of the split that cannot be understood.
        """
        if "path" not in row:
            raise BadName("no path")
        path = _find(row["path"], self._folder, upwards=upwards)
        span = span_of(row, path, self._length)
        emotion = self._emotion(row)
        speaker, gender = self._speaker(row)
        return Clip(
            clip_id=_clip_id(row["path"], self._folder) + (span.fragment if span else ""),
            path=path,
            span=span,
            speaker=self._words.setdefault(speaker, speaker),
            emotion=emotion,
            gender=gender,
            part=_part(row),
        )

    def _emotion(self, row: Mapping[str, str]) -> str:
        text = row.get("emotion")
        if self._wanted.kind == DIMENSIONS or (not text and not self._wanted.emotion):
            return RATED
        if not text:
            raise BadName("no emotion")
        written = row.get("dataset"), text
        if written not in self._emotions:
            word = self._codes(row.get("dataset")).get(text.lower())
            if word is None and is_number(text):
                raise BadName(f"emotion must be a word; got {text}: write the word that the number stands for")
            self._emotions[written] = word or emotion_word(text)
        return self._emotions[written]

    def _codes(self, dataset: str | None) -> dict[str, str]:
        """Code, in lower case -> word, as a corpus that is known here names emotions; empty for any other."""
        corpus = self._known.get(dataset) if dataset else None
        codes: Mapping[str, str | None] = getattr(corpus, "EMOTIONS", {})  # a corpus that is made has words alone
        return {code.lower(): word for code, word in codes.items() if word is not None}

    def _speaker(self, row: Mapping[str, str]) -> tuple[str, str | None]:
        """Name and gender, of the file's name where the corpus is known."""
        speaker, gender = row.get("speaker"), _GENDERS.get(row.get("gender", "").lower())
        if not speaker and row.get("dataset") in self._known:
            said = self._known[row["dataset"]].labels(PurePosixPath(row["path"]))
            if said is not None:
                speaker, gender = said.speaker, said.gender
        if not speaker:
            raise BadName("no speaker, without whom test speakers cannot be kept out of training")
        return speaker, gender


def _part(row: Mapping[str, str]) -> str | None:
    part = row.get("split", "").lower()
    if part and part not in PARTS:
        raise BadName(
            f"split must be train, validation (or dev, valid, val) or test; got {row['split']!r}"
            + (", which means validation to some and test to others" if part.startswith("eval") else "")
        )
    return PARTS.get(part)


def _find(text: str, folder: Path, *, upwards: bool) -> Path:
    """Where the file lies: from the manifest's folder, or with `upwards` from the nearest folder above that has it.

    Raises:
        BadName: no file there, and a path as Windows writes it.
    """
    path = folder / (os.path.expanduser(text) if text.startswith("~") else text)
    if "\\" in text and not path.exists():
        raise BadName(f"no such file: {text}; write its path with / instead of \\")
    if not upwards or path.exists():
        return path
    return next((above / text for above in folder.resolve().parents if (above / text).exists()), path)


def _clip_id(text: str, folder: Path) -> str:
    """The path from the manifest's folder, so that it reads the same on every machine."""
    if text[0] not in "/~." and "//" not in text and "/." not in text:
        return text  # as it is: a manifest may have a million lines
    path = os.path.expanduser(text)
    return (os.path.relpath(path, _resolved(folder)) if os.path.isabs(path) else os.path.normpath(path)).replace(
        os.sep, "/"
    )


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()
