"""Manifests: a user's own list of clips as CSV, TSV or JSON lines.

Columns `path, speaker, emotion` and optionally `gender` and `split`, in any order and case, or under the names of
`ser_core.corpora._columns`; others are named in a warning. Two public conventions are read as they are:

- nkululeko's CSV: `file, speaker, gender, emotion`;
- EmoBox's JSON lines: `key, dataset, wav, emo …` (Ma et al. 2024, arXiv 2406.07162). They name files from the root of
  EmoBox's checkout, somewhere above the manifest, and no speaker: it is taken from the file name where the corpus is
  known here, else a `spk` must be added.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from ser_core.clips import Clip, CorpusError, SkippedFile, emotion_word
from ser_core.corpora._columns import Columns, columns_of, warn_of_unused
from ser_core.corpora._identities import check_identities, is_number
from ser_core.corpora._scan import COLUMNS, BadName, Corpus, Scan, columns_of_clips
from ser_core.corpora._segments import file_seconds, span_of

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")

_PARTS = {
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


def scan_manifest(path: Path, known: Mapping[str, Corpus]) -> Scan:
    """The clips that a manifest lists, in its order, and the lines that name none.

    Args:
        path: the manifest; relative audio paths start at its folder.
        known: corpora by name, which can tell the speaker from a file name.

    Raises:
        CorpusError: a file that is not text, lacks a column, holds no line, or writes one speaker or emotion in two
            ways.
    """
    try:
        rows = list(_json_rows(path) if path.suffix.lower() == ".jsonl" else _table_rows(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is not a table in UTF-8 text ({error}): save it as UTF-8") from error
    if not rows:
        raise CorpusError(f"{path} lists no clips")
    warn_of_unused(path, {name for _, columns, _ in rows for name in columns.unused})
    clips: dict[str, Clip] = {}
    further, problems = [], []
    length = lru_cache(maxsize=64)(file_seconds)  # neighbouring lines name parts of one file
    genders: Counter[str] = Counter()
    for number, columns, cells in rows:
        row: Mapping[str, str] = {}
        try:
            row = columns.row(cells)
            clip = _clip(row, path.parent, known, length, upwards=columns.chosen.get("path") == "wav")
            if clip.clip_id in clips:
                raise BadName(f"{clip.shown} is listed twice")
            clips[clip.clip_id] = clip
            further.append({name: row[name] for name in COLUMNS if name in row} | columns.further(cells))
            genders[row.get("gender", "").lower()] += 1
        except BadName as error:
            file = Path(row["path"]) if row.get("path") else path
            problems.append(SkippedFile(path=file, reason=f"line {number} of {path.name}: {error}"))
    check_identities(path, "speaker", (clip.speaker for clip in clips.values()))
    check_identities(path, "emotion", (clip.emotion for clip in clips.values()))
    _warn_of_genders(path, genders)
    return Scan(clips=tuple(clips.values()), columns=columns_of_clips(further), problems=tuple(problems))


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


def _table_rows(path: Path) -> Iterator[tuple[int, Columns, Cells]]:
    """(line number, columns, cells by column) of a CSV or TSV; a byte order mark and spaces around commas do not
    matter."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=_delimiter(path, first), skipinitialspace=True)
        header = [name.strip().lower() for name in next(reader, [])]
        columns = columns_of(path, header)
        missing = [ours for ours in ("path", "speaker", "emotion") if ours not in columns.chosen]
        if missing:
            lfs = ". It is a Git LFS pointer: run git lfs pull" if first.startswith(LFS_POINTER) else ""
            raise CorpusError(
                f"{path} must have the columns path (or file), speaker and emotion; missing: {', '.join(missing)}; "
                f"its first line reads {', '.join(header)[:200]!r}{lfs}"
            )
        for cells in reader:
            if any(cell.strip() for cell in cells):
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


def _clip(
    row: Mapping[str, str],
    folder: Path,
    known: Mapping[str, Corpus],
    length: Callable[[Path], float],
    *,
    upwards: bool,
) -> Clip:
    """The clip of one line.

    Raises:
        BadName: no path, speaker or emotion, times or a word for the part of the split that cannot be understood.
    """
    if not row.get("path"):
        raise BadName("no path")
    path = _find(row["path"], folder, upwards=upwards)
    span = span_of(row, path, length)
    if not row.get("emotion"):
        raise BadName("no emotion")
    if is_number(row["emotion"]):
        raise BadName(f"emotion must be a word; got {row['emotion']}: write the word that the number stands for")
    speaker, gender = row.get("speaker"), _GENDERS.get(row.get("gender", "").lower())
    if not speaker and row.get("dataset") in known:
        said = known[row["dataset"]].labels(PurePosixPath(row["path"]))
        if said is not None:
            speaker, gender = said.speaker, said.gender
    if not speaker:
        raise BadName("no speaker, without whom test speakers cannot be kept out of training")
    part = row.get("split", "").lower()
    if part and part not in _PARTS:
        raise BadName(
            f"split must be train, validation (or dev, valid, val) or test; got {row['split']!r}"
            + (", which means validation to some and test to others" if part.startswith("eval") else "")
        )
    return Clip(
        clip_id=_clip_id(row["path"], folder) + (span.fragment if span else ""),
        path=path,
        span=span,
        speaker=speaker,
        emotion=emotion_word(row["emotion"]),
        gender=gender,
        part=_PARTS.get(part),
    )


def _find(text: str, folder: Path, *, upwards: bool) -> Path:
    """Where the file lies: from the manifest's folder, or with `upwards` from the nearest folder above that has it.

    Raises:
        BadName: no file there, and a path as Windows writes it.
    """
    path = folder / os.path.expanduser(text)
    if "\\" in text and not path.exists():
        raise BadName(f"no such file: {text}; write its path with / instead of \\")
    if not upwards or path.exists():
        return path
    return next((above / text for above in folder.resolve().parents if (above / text).exists()), path)


def _clip_id(text: str, folder: Path) -> str:
    """The path from the manifest's folder, so that it reads the same on every machine."""
    path = os.path.expanduser(text)  # as text: a manifest may have hundreds of thousands of lines
    return (os.path.relpath(path, _resolved(folder)) if os.path.isabs(path) else os.path.normpath(path)).replace(
        os.sep, "/"
    )


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()
