"""The columns of a manifest: under which names they are read, what a cell may hold, what is not understood."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_core.clips import CorpusError
from ser_core.corpora._scan import BadName

NAMES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "path", "file", "wav", "filename", "file_name", "filepath", "file_path", "audio", "audio_path", "audio_file",
        "audio_filepath", "wav_path", "wav_file",
    ),
    "speaker": ("speaker", "spk", "speaker_id", "spk_id", "speakerid", "spkid", "actor", "actor_id", "subject"),
    "emotion": ("emotion", "emo", "label", "emotion_label", "class", "category"),
    "gender": ("gender", "sex"),
    "split": ("split", "part", "partition", "set", "subset"),
    "dataset": ("dataset",),
    "language": ("language", "lang"),
    "session": ("session", "session_id"),
    "start": ("start", "start_time", "start_s", "start_sec", "begin", "begin_time", "onset", "offset"),
    "end": ("end", "end_time", "end_s", "end_sec", "stop", "stop_time"),
    "duration": ("duration", "duration_s", "duration_sec"),
    "channel": ("channel", "channel_id"),
    "frame_offset": ("frame_offset",),
}  # fmt: skip
"""Our column -> names that it has elsewhere, ours first."""

CHANGING = ("start", "end", "duration", "channel", "frame_offset")
"""Columns that change what a clip is; see `ser_core.corpora._segments`."""

_EMOBOX = frozenset(("key", "type", "sample_rate", "num_frame", "task", "length", "channel"))
"""Columns of EmoBox that describe the whole file or the task."""

_MISSING = frozenset(("", "nan", "none", "null", "na", "n/a", "#n/a", "<na>", "nat"))
"""What pandas and spreadsheets write for a cell without a value, in lower case."""

_LONGEST_MISSING = max(map(len, _MISSING))
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Columns:
    """Which of a manifest's columns are read.

    Attributes:
        chosen: our column -> its name in the manifest.
        unused: names of the others.
    """

    chosen: Mapping[str, str]
    unused: tuple[str, ...]

    def row(self, cells: Mapping[str, Any]) -> dict[str, str]:
        """Our column -> text of one line; cells without a value are left out.

        Raises:
            BadName: a cell that is neither text nor a number, or that no path and no name can hold.
        """
        texts = {}
        for ours, name in self.chosen.items():
            text = cell_text(ours, cells.get(name))
            if len(text) > _LONGEST_MISSING or text.lower() not in _MISSING:
                texts[ours] = text
        return texts

    def further(self, cells: Mapping[str, Any]) -> dict[str, str]:
        """What becomes a column of the manifest: text and numbers of the columns that have no meaning here."""
        texts: dict[str, str] = {}
        for name in self.unused:
            value = cells.get(name)
            if isinstance(value, str) or type(value) in (int, float):
                text = str(value).strip()
                if len(text) > _LONGEST_MISSING or text.lower() not in _MISSING:
                    texts[name] = text
        return texts


def columns_of(path: Path, names: Iterable[str]) -> Columns:
    """The columns of the manifest at `path`, given their names in lower case.

    Raises:
        CorpusError: two columns that could be the same one of ours.
    """
    names = list(dict.fromkeys(names))
    chosen = {}
    for ours, known in NAMES.items():
        found = [name for name in known if name in names]
        if len(found) > 1 and (found[0] != ours or ours in CHANGING):
            advice = "remove all but one" if ours in CHANGING else f"call the right one {ours!r}"
            raise CorpusError(f"{path}: the columns {' and '.join(found)} could each be the {ours}; {advice}")
        if found:
            chosen[ours] = found[0]
    emobox = "key" in names and chosen["path"] == "wav" if "path" in chosen else False
    if emobox:
        chosen.pop("channel", None)  # there it is the number of channels that the file has
    harmless = {*chosen.values(), *(_EMOBOX if emobox else ())}
    return Columns(chosen, tuple(name for name in names if name and name not in harmless))


def warn_of_unused(path: Path, unused: Iterable[str]) -> None:
    """Name the columns that nothing reads, so that nobody believes that they count."""
    names = sorted(set(unused))
    if names:
        _log.warning("%s: columns that are not used: %s", path, ", ".join(names))


def cell_text(column: str, value: Any) -> str:
    """A cell as trimmed text.

    Raises:
        BadName: neither text nor a number, or text with NUL or half a surrogate pair, which no file name can hold.
    """
    if value is None:
        return ""
    if not isinstance(value, str) and type(value) not in (int, float):
        raise BadName(f"{column} must be text or a number; got {type(value).__name__} {str(value)[:40]!r}")
    text = str(value).strip()
    if "\0" in text or not (text.isascii() or _IMPOSSIBLE.search(text) is None):
        raise BadName(f"{column} holds a character that no text may hold: {text[:40]!r}")
    return text
