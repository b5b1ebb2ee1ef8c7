"""What every reader of `result.json` and `insight.json` relies on, checked where the files are read.

Readers are given the document itself; the types here say which of its keys they may use unasked. A default marks what
an earlier version did not write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from search.run_folder.paths import INSIGHT_FILE, RESULT_FILE
from ser_core.json_document import DocumentError, read_object, typed
from spaces.knobs import Value

Number = float | None
"""JSON has no NaN: null stands for it."""

_PARTS = ("train", "validation", "test")
_MOST_PIXELS = 2**20


def read_result_file(folder: Path) -> dict[str, Any]:
    """`result.json` of a run folder.

    Raises:
        DocumentError: another document, or one whose parts contradict one another; with the place.
        OSError: no such file, or one that cannot be read.
    """
    return _read(folder / RESULT_FILE, _Result, _check_result)


def read_insight_file(folder: Path) -> dict[str, Any]:
    """`insight.json` of a run folder; raises as `read_result_file` does."""
    return _read(folder / INSIGHT_FILE, _Insight, _check_insight)


def _read(path: Path, kind: Any, check: Any) -> dict[str, Any]:
    document = read_object(path)
    try:
        check(typed(kind, document))
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from error
    return document


# -- result.json -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Score:
    """Over seeds, with the interval over speakers."""

    mean: Number
    std: Number
    seeds: Sequence[Number]
    interval: Sequence[Number] | None = None
    seed_intervals: Sequence[Sequence[Number]] | None = None


@dataclass(frozen=True, kw_only=True)
class _SpeakerScores:
    gender: str | None
    clips: int
    uar: _Score


@dataclass(frozen=True, kw_only=True)
class _GenderScores:
    uar: _Score


@dataclass(frozen=True, kw_only=True)
class _Bin:
    low: float
    high: float
    predictions: int
    confidence: Number
    accuracy: Number
    interval: Sequence[Number] | None = None


@dataclass(frozen=True, kw_only=True)
class _Calibration:
    ece: _Score
    bins: Sequence[_Bin]


@dataclass(frozen=True, kw_only=True)
class _Test:
    clips: int
    speakers: int
    uar: _Score
    war: _Score
    macro_f1: _Score
    per_class_recall: Mapping[str, _Score]
    confusion: Sequence[Sequence[int]]
    per_class_precision: Mapping[str, _Score] = field(default_factory=dict)
    per_speaker: Mapping[str, _SpeakerScores] = field(default_factory=dict)
    per_gender: Mapping[str, _GenderScores] = field(default_factory=dict)
    calibration: _Calibration | None = None


@dataclass(frozen=True, kw_only=True)
class _Corpus:
    name: str
    classes: Sequence[str]
    synthetic: bool = False
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class _Split:
    kind: str
    speaker_independent: bool
    test_speakers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class _Best:
    trial: int
    val_uar: Number


@dataclass(frozen=True, kw_only=True)
class _SearchCost:
    best: _Best | None
    wall_seconds: float
    overhead_seconds_per_trial: Number = None


@dataclass(frozen=True, kw_only=True)
class _Finalist:
    trial: int
    val_uar: _Score | None


@dataclass(frozen=True, kw_only=True)
class _Winner:
    trial: int
    params: Mapping[str, Value]
    models: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    source: str
    test_speakers: Sequence[str] = ()
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class _Result:
    model: str
    corpus: _Corpus
    split: _Split
    search: _SearchCost
    finalists: Sequence[_Finalist]
    winner: _Winner
    test: _Test
    test_reads: int
    transductive: bool = False
    warm_start: _Earlier | None = None


def _check_result(result: _Result) -> None:
    """Raise `DocumentError` where parts of a result contradict one another."""
    classes, test = result.corpus.classes, result.test
    seeds = len(test.uar.seeds)
    bounds = [score.interval for score in (test.uar, test.war, test.macro_f1, *test.per_class_recall.values())]
    size = len(test.confusion)
    rules = [
        (len(classes) > 0, "corpus.classes must not be empty"),
        (set(classes) == set(test.per_class_recall), "test.per_class_recall must have a score of each class"),
        (
            size == len(classes) and all(len(row) == size for row in test.confusion),
            "test.confusion must have a row and a column for each class",
        ),
        (all(cell >= 0 for row in test.confusion for cell in row), "test.confusion must count clips, from 0"),
        (seeds > 0, "test.uar.seeds must not be empty"),
        (test.uar.mean is not None, "test.uar.mean must be a number"),
        (all(each is None or len(each) == 2 for each in bounds), "an interval must have two bounds"),
        (
            test.uar.seed_intervals is None or [len(each) for each in test.uar.seed_intervals] == [2] * seeds,
            "test.uar.seed_intervals must have two bounds for each seed",
        ),
        (
            any(each.trial == result.winner.trial and each.val_uar is not None for each in result.finalists),
            "winner.trial must be one of the finalists, with a score",
        ),
        (result.search.best is not None, "search.best must be a trial"),
        (all(own.uar.seeds for own in test.per_speaker.values()), "test.per_speaker must have scores of each speaker"),
        (result.test_reads >= 1, "test_reads must be at least 1"),
    ]
    _hold(rules)


# -- insight.json ----------------------------------------------------------------------------------------------------


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
    probability: float
    real_columns: int
    features: str
    augmented: str
    map: str


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
    augment: Mapping[str, float]
    altered: bool
    method: _Method
    clips: Sequence[_Picture]


@dataclass(frozen=True, kw_only=True)
class _Insight:
    model: str
    parts: Mapping[str, _Part]
    durations: _Durations
    pictures: _Pictures


def _check_insight(insight: _Insight) -> None:
    """Raise `DocumentError` where parts of an insight contradict one another."""
    pictures, durations = insight.pictures, insight.durations
    words = [set(part.classes) for part in insight.parts.values()]
    bins = len(durations.edges_seconds) - 1
    drawable = min(pictures.rows, pictures.columns) > 0 and pictures.rows * pictures.columns <= _MOST_PIXELS
    rules = [
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
    ]
    _hold(rules)
    shades = [text for clip in pictures.clips for text in (clip.features, clip.augmented, clip.map)]
    if not all(_holds_bytes(text, pictures.rows * pictures.columns) for text in shades):
        raise DocumentError("pictures.clips must hold a byte in base64 for each row and column")


def _holds_bytes(text: str, count: int) -> bool:
    """True for base64 of so many bytes."""
    padding = -count % 3
    return len(text) == (count + padding) // 3 * 4 and re.fullmatch(rf"[A-Za-z0-9+/]*={{{padding}}}", text) is not None


def _hold(rules: Sequence[tuple[bool, str]]) -> None:
    if broken := [message for holds, message in rules if not holds]:
        raise DocumentError("; ".join(broken))
