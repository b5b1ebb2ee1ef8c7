"""Manifests: a user's own list of clips as CSV, TSV or JSON lines.

Columns `path, speaker, emotion` and optionally `gender` and `split`, in any order and case; others are ignored.
Two public conventions are read as they are:

- nkululeko's CSV: `file, speaker, gender, emotion`;
- EmoBox's JSON lines: `key, dataset, wav, emo …` (Ma et al. 2024, arXiv 2406.07162). They name files from the root of
  EmoBox's checkout, somewhere above the manifest, and no speaker: it is taken from the file name where the corpus is
  known here, else a `spk` must be added.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ser_core.clips import Clip, CorpusError, SkippedFile, emotion_word
from ser_core.corpora._scan import BadName, Corpus, Scan

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl")

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "wav"),
    "speaker": ("speaker", "spk"),
    "emotion": ("emotion", "emo"),
    "gender": ("gender", "sex"),
    "split": ("split",),
    "dataset": ("dataset",),
}
_PARTS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_GENDERS = {"female": "female", "f": "female", "male": "male", "m": "male"}

Row = Mapping[str, str]


def scan_manifest(path: Path, known: Mapping[str, Corpus]) -> Scan:
    """The clips that a manifest lists, in its order, and the lines that name none.

    Args:
        path: the manifest; relative audio paths start at its folder.
        known: corpora by name, which can tell the speaker from a file name.

    Raises:
        CorpusError: a file that is not text, lacks a column, or holds no line.
    """
    try:
        rows = list(_json_rows(path) if path.suffix.lower() == ".jsonl" else _table_rows(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is not a table in UTF-8 text ({error}): save it as UTF-8") from error
    clips: dict[str, Clip] = {}
    problems = []
    for number, row in rows:
        try:
            clip = _clip(row, path.parent, known)
            if clip.clip_id in clips:
                raise BadName(f"{clip.clip_id} is listed twice")
            clips[clip.clip_id] = clip
        except BadName as error:
            file = Path(row["path"]) if row.get("path") else path
            problems.append(SkippedFile(path=file, reason=f"line {number} of {path.name}: {error}"))
    if not rows:
        raise CorpusError(f"{path} lists no clips")
    return Scan(clips=tuple(clips.values()), problems=tuple(problems))


def _table_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, our column -> text) of a CSV or TSV; a byte order mark and spaces around commas do not matter."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", skipinitialspace=True)
        header = [name.strip().lower() for name in next(reader, [])]
        columns = {ours: header.index(name) for ours, names in _COLUMNS.items() for name in names if name in header}
        missing = [ours for ours in ("path", "speaker", "emotion") if ours not in columns]
        if missing:
            raise CorpusError(
                f"{path} must have the columns path (or file), speaker and emotion; missing: {', '.join(missing)}; "
                f"its first line reads {', '.join(header)!r}"
            )
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, {ours: cells[at].strip() for ours, at in columns.items() if at < len(cells)}


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """(line number, our key -> text) of JSON lines.

    Raises:
        CorpusError: a line that is not a JSON object.
    """
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise CorpusError(f"{path} line {number} is not JSON: {error}") from error
            if not isinstance(entry, dict):
                raise CorpusError(
                    f'{path} line {number} must be a JSON object such as {{"path": …}}; got {line.strip()[:60]}'
                )
            yield number, _json_row(entry)


def _json_row(entry: Mapping[str, Any]) -> Row:
    row = {
        ours: str(entry[name]).strip()
        for ours, names in _COLUMNS.items()
        for name in names
        if entry.get(name) is not None
    }
    if "start_time" in entry and "end_time" in entry:
        row["segment"] = f"{entry['start_time']} to {entry['end_time']} s"
    if "wav" in entry:
        row["emobox"] = "yes"
    return row


def _clip(row: Row, folder: Path, known: Mapping[str, Corpus]) -> Clip:
    """The clip of one line.

    Raises:
        BadName: no path, speaker or emotion, a segment of a file, or a word for the part that is not known.
    """
    if not row.get("path"):
        raise BadName("no path")
    if "segment" in row:
        raise BadName(f"names a part of the file ({row['segment']}): cut the segments into files of their own")
    if not row.get("emotion"):
        raise BadName("no emotion")
    speaker, gender = row.get("speaker"), _GENDERS.get(row.get("gender", "").lower())
    if not speaker and row.get("dataset") in known:
        said = known[row["dataset"]].labels(PurePosixPath(row["path"]))
        if said is not None:
            speaker, gender = said.speaker, said.gender
    if not speaker:
        raise BadName("no speaker, without whom test speakers cannot be kept out of training")
    part = row.get("split", "").lower()
    if part and part not in _PARTS:
        raise BadName(f"split must be train, validation (or dev, valid, val) or test; got {row['split']!r}")
    path = _find(row["path"], folder, upwards="emobox" in row)
    return Clip(
        clip_id=_clip_id(row["path"], folder),
        path=path,
        speaker=speaker,
        emotion=emotion_word(row["emotion"]),
        gender=gender,
        part=_PARTS.get(part),
    )


def _find(text: str, folder: Path, *, upwards: bool) -> Path:
    """Where the file lies: from the manifest's folder, or with `upwards` from the nearest folder above that has it."""
    path = folder / os.path.expanduser(text)
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
