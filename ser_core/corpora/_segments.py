"""Which part of its file a line of a manifest means."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import soundfile

from ser_core.clips import Span
from ser_core.corpora._scan import BadName
from ser_core.features.audio import MIN_SECONDS, SPAN_TOLERANCE_SECONDS, AudioError, duration_seconds

_TIMES = ("start", "end", "duration")
_ALL = (*_TIMES, "channel", "frame_offset")
_TIMEDELTA = re.compile(r"(?:(\d+) days? )?\+?(\d{1,2}):(\d\d):(\d\d(?:\.\d+)?)")  # as pandas and audformat write it


def span_of(row: Mapping[str, str], path: Path, length: Callable[[Path], float]) -> Span | None:
    """The part of the file at `path` that a line means by its start, end and duration; None for all of the file.

    A span that begins with the file and ends with it, give or take `SPAN_TOLERANCE_SECONDS`, or later, is all of it.

    Args:
        row: our column -> text; see `ser_core.corpora._columns`.
        length: gives a file's, s, as `file_seconds` does.

    Raises:
        BadName: times that cannot be read, that end before they start or that are too short; one channel of several;
            samples instead of seconds.
    """
    if row.keys().isdisjoint(_ALL):
        return None
    if row.get("frame_offset", "0") not in ("0", "0.0"):
        raise BadName("frame_offset counts samples: write start and end in seconds instead")
    if "channel" in row and _channels(path) > 1:
        raise BadName(
            f"names channel {row['channel']} of a file that has {_channels(path)}, whose channels are averaged here: "
            f"extract it into a file of its own"
        )
    start, end, duration = (seconds_of(name, row[name]) if name in row else None for name in _TIMES)
    span = Span(
        start_seconds=start or 0.0,
        end_seconds=(start or 0.0) + duration if end is None and duration is not None else end,
    )
    if span.end_seconds is not None and span.end_seconds - span.start_seconds < MIN_SECONDS:
        raise BadName(f"names {span} of its file: a clip must last at least {MIN_SECONDS:g} s")
    if span.start_seconds == 0 and (
        span.end_seconds is None or span.end_seconds >= length(path) - SPAN_TOLERANCE_SECONDS
    ):
        return None
    return span


def file_seconds(path: Path) -> float:
    """The length of a file, s; 0 where it is missing or no audio."""
    try:
        return duration_seconds(path)
    except AudioError:  # the check of the audio reports it
        return 0.0


def _channels(path: Path) -> int:
    try:
        return int(soundfile.info(path).channels)
    except (soundfile.LibsndfileError, OSError, TypeError):  # the check of the audio reports it
        return 1


def seconds_of(column: str, text: str) -> float:
    """A time as seconds: "1.5", or a timedelta such as "0 days 00:00:01.500000".

    Raises:
        BadName: neither, or not a number of seconds from 0.
    """
    if found := _TIMEDELTA.fullmatch(text):
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return 86_400 * days + 3_600 * hours + 60 * minutes + seconds
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise BadName(f"{column} must be seconds, or a timedelta as pandas writes it; got {text[:40]!r}")
    return seconds
