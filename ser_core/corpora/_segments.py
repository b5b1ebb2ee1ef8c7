"""Whether a line of a manifest means its whole file. Segments are not cut here, so a part of a file is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import soundfile

from ser_core.corpora._scan import BadName
from ser_core.features.audio import AudioError, duration_seconds

TOLERANCE_SECONDS = 0.05
"""By so much an end may lie before the file's, since manifests round: two analysis windows."""

_TIMES = ("start", "end", "duration")
_ALL = (*_TIMES, "channel")
_TIMEDELTA = re.compile(r"(?:(\d+) days? )?\+?(\d{1,2}):(\d\d):(\d\d(?:\.\d+)?)")  # as pandas and audformat write it


def check_whole_file(row: Mapping[str, str], path: Path) -> None:
    """Accept a line whose start, end, duration and channel, where it has any, mean all of the file at `path`.

    Raises:
        BadName: a part of the file, one of its channels, or times that cannot be read.
    """
    if row.keys().isdisjoint(_ALL):
        return
    columns = [name for name in _ALL if name in row]
    start, end, duration = (seconds_of(name, row[name]) if name in row else None for name in _TIMES)
    try:
        length = duration_seconds(path)
        channels = soundfile.info(path).channels if "channel" in row else 1
    except (AudioError, TypeError):
        length, channels = 0.0, 1  # missing or no audio: the check of the audio reports it
    if duration is not None and end is None:
        end = (start or 0.0) + duration
    if (start or 0.0) > 0 or (end is not None and end < length - TOLERANCE_SECONDS):
        last = "the end" if end is None else f"{end:g} s"
        raise BadName(
            f"names a part of the file ({start or 0:g} to {last}, columns {', '.join(columns)}): cut the segments into "
            f"files of their own"
        )
    if "channel" in row and channels > 1:
        raise BadName(
            f"names channel {row['channel']} of a file that has {channels}, whose channels are averaged here: extract "
            f"it into a file of its own"
        )


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
