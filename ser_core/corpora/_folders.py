"""Folders that bring a list of their clips: Kaldi data folders, Hugging Face audio folders, audformat databases.

Each is turned into the lines of a manifest, which `ser_core.corpora._manifest` reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ser_core.clips import CorpusError
from ser_core.corpora._audformat import audformat_rows
from ser_core.corpora._columns import columns_of
from ser_core.corpora._manifest import PARTS, Rows, manifest_rows, scan_rows
from ser_core.corpora._scan import Corpus, Scan
from ser_core.corpora._wanted import Wanted

KALDI_LABELS = ("utt2emo", "utt2emotion", "text")
"""Files of a Kaldi data folder that may say the emotion of an utterance, in this order."""

_KALDI = {"utt2spk": "speaker", "utt2lang": "language", "utt2split": "split"}
_METADATA = ("metadata.csv", "metadata.jsonl")


def scan_listed_folder(root: Path, known: Mapping[str, Corpus], wanted: Wanted) -> Scan | None:
    """The clips that a folder lists in one of these ways; None for a folder without such a list.

    Raises:
        CorpusError: a list that is not whole, or an audformat database without the library.
    """
    kinds: tuple[tuple[bool, Path, Callable[[Path], Rows]], ...] = (
        ((root / "db.yaml").is_file(), root / "db.yaml", partial(audformat_rows, wanted=wanted)),
        ((root / "wav.scp").is_file(), root / "wav.scp", kaldi_rows),
        (bool(_metadata(root)), root, partial(audiofolder_rows, wanted=wanted)),
    )
    for found, list_, rows in kinds:
        if found:
            return scan_rows(list_, root, rows(root), known, wanted, upwards=rows is kaldi_rows)
    return None


def kaldi_rows(root: Path) -> Rows:
    """The utterances of a Kaldi data folder: wav.scp, utt2spk and labels; segments, spk2gender and utt2lang if there.

    Raises:
        CorpusError: a file without which there are no clips, or an utterance of a recording that is not there.
    """
    labels = next((name for name in KALDI_LABELS if (root / name).is_file()), None)
    if labels is None or not (root / "utt2spk").is_file():
        raise CorpusError(f"{root}: a Kaldi folder needs utt2spk, and the emotions in {' or '.join(KALDI_LABELS)}")
    recordings = _table(root / "wav.scp")
    known = {column: _table(root / name) for name, column in _KALDI.items() if (root / name).is_file()}
    known["emotion"] = _table(root / labels)
    genders = _table(root / "spk2gender") if (root / "spk2gender").is_file() else {}
    columns = columns_of(root / "wav.scp", ("path", "start", "end", "gender", *known))
    for number, (utterance, recording, start, end) in enumerate(_utterances(root, recordings), 1):
        if recording not in recordings:
            raise CorpusError(f"{root}/segments: {utterance} is of recording {recording}, which wav.scp does not name")
        if recordings[recording].endswith("|"):
            raise CorpusError(f"{root}/wav.scp: {recording} is a command; run it, and name the file that it makes")
        cells = {column: values.get(utterance, "") for column, values in known.items()}
        cells |= {"gender": genders.get(cells["speaker"], ""), "start": start, "end": end}
        yield f"{number} ({utterance})", columns, {"path": recordings[recording], **cells}


def _utterances(root: Path, recordings: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Utterance, recording, start and end of each; an end of -1 is that of the recording."""
    if not (root / "segments").is_file():
        for recording in recordings:
            yield recording, recording, "", ""
        return
    for utterance, rest in _table(root / "segments").items():
        parts = rest.split()
        if len(parts) < 3:
            raise CorpusError(f"{root}/segments: {utterance} needs a recording, a start and an end; got {rest!r}")
        yield utterance, parts[0], parts[1], "" if parts[2].startswith("-") else parts[2]


def _table(path: Path) -> dict[str, str]:
    """First word -> rest of each line."""
    lines = (line.strip().split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {words[0]: words[1] if len(words) > 1 else "" for words in lines}


def audiofolder_rows(root: Path, wanted: Wanted) -> Rows:
    """The clips of a Hugging Face audio folder: its metadata, and that of folders for its splits; `file_name` starts at
    the folder of its metadata."""
    for metadata in _metadata(root):
        folder = metadata.parent.relative_to(root)
        part = PARTS.get(folder.parts[0].lower(), "") if folder.parts else ""
        for number, columns, cells in manifest_rows(metadata, wanted):
            name = columns.chosen["path"]
            moved = {**cells, name: str(folder / str(cells[name])) if cells.get(name) else ""}
            if part and "split" not in columns.chosen:
                columns, moved = columns_of(metadata, (*cells, "split")), {**moved, "split": part}
            yield f"{number} of {folder / metadata.name}", columns, moved


def _metadata(root: Path) -> list[Path]:
    """Metadata of the folder and of those in it, as far as they are Hugging Face's."""
    found = [path for name in _METADATA for pattern in (name, f"*/{name}") for path in sorted(root.glob(pattern))]
    return [path for path in found if "file_name" in _head(path)]


def _head(path: Path) -> list[str]:
    """The columns of a CSV, or the keys of the first of JSON lines."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline().strip()
    if path.suffix == ".csv":
        return [name.strip() for name in line.split(",")]
    try:
        return list(json.loads(line))
    except (ValueError, TypeError):
        return []
