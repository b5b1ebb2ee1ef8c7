"""What every reader of `insight.json` relies on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_PARTS = ("train", "validation", "test")
_MOST_PIXELS = 2**20


@dataclass(frozen=True, kw_only=True)
class _Part:
    classes: Mapping[str, int]
    speakers: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class _Durations:
    edges_seconds: Sequence[float]
    clips: Mapping[str, Sequence[int]]
    shortest_seconds: float
    median_seconds: float
    longest_seconds: float
    longer_share: float
    clip_seconds: float
    whole_clips: bool
    trim_db: float


@dataclass(frozen=True, kw_only=True)
class _Method:
    name: str
    source: str
    of_class: bool


@dataclass(frozen=True, kw_only=True)
class _Picture:
    clip_id: str
    speaker: str
    emotion: str
    predicted: str
    probability: float | None
    real_columns: int
    features: str
    augmented: str
    map: str


@dataclass(frozen=True, kw_only=True)
class _Augment:
    freq_masks: float
    freq_mask_bins: float
    time_masks: float
    time_mask_frames: float
    noise_std: float
    mixup_alpha: float


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    rows: int
    columns: int
    ticks: Sequence[Sequence[float | str]]
    x: str
    y: str
    column_step: float
    kind: str
    unit: str
    low: float
    high: float
    augment: _Augment
    altered: bool
    method: _Method
    clips: Sequence[_Picture]


@dataclass(frozen=True, kw_only=True)
class Insight:
    model: str
    parts: Mapping[str, _Part]
    durations: _Durations
    pictures: _Pictures


def insight_rules(insight: Insight) -> list[tuple[bool, str]]:
    """What must hold between the parts of an insight, and what says that it does not."""
    pictures, durations = insight.pictures, insight.durations
    words = [set(part.classes) for part in insight.parts.values()]
    bins = len(durations.edges_seconds) - 1
    drawable = min(pictures.rows, pictures.columns) > 0 and pictures.rows * pictures.columns <= _MOST_PIXELS
    shades = [text for clip in pictures.clips for text in (clip.features, clip.augmented, clip.map)]
    return [
        (set(insight.parts) == set(_PARTS), f"parts must be {', '.join(_PARTS)}"),
        (all(own == words[0] and own for own in words), "parts must count the same classes"),
        (
            set(durations.clips) == set(_PARTS) and all(len(own) == bins for own in durations.clips.values()),
            "durations.clips must have a count for each bin of every part",
        ),
        (bins > 0 and all(a < b for a, b in pairwise(durations.edges_seconds)), "durations.edges_seconds must ascend"),
        (drawable, f"pictures.rows and pictures.columns must make up 1 to {_MOST_PIXELS:,} values"),
        (pictures.column_step > 0, "pictures.column_step must be above 0"),
        (
            all(len(tick) == 2 and not isinstance(tick[0], str) for tick in pictures.ticks),
            "pictures.ticks must be pairs of a row and a text",
        ),
        (
            all(0 <= clip.real_columns <= pictures.columns for clip in pictures.clips),
            "real_columns must lie within the picture",
        ),
        (
            drawable and all(_holds_bytes(text, pictures.rows * pictures.columns) for text in shades),
            "pictures.clips must hold a byte in base64 for each row and column",
        ),
    ]


def _holds_bytes(text: str, count: int) -> bool:
    """True for base64 of so many bytes."""
    padding = -count % 3
    return len(text) == (count + padding) // 3 * 4 and re.fullmatch(rf"[A-Za-z0-9+/]*={{{padding}}}", text) is not None
