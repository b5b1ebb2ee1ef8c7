"""What every reader of `result.json` relies on. A default marks what an earlier version did not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ser_core.named_scores import EARLIER_OBJECTIVE
from ser_core.targets import EMOTION
from spaces.knobs import Value

Number = float | None
"""JSON has no NaN: null stands for it."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Over seeds, with the interval over speakers."""

    mean: Number
    std: Number
    seeds: Sequence[Number]
    interval: Sequence[Number] | None = None
    seed_intervals: Sequence[Sequence[Number]] | None = None


@dataclass(frozen=True, kw_only=True)
class OneScore:
    """Of one predictor, with the interval over speakers."""

    value: Number
    interval: Sequence[Number]


@dataclass(frozen=True, kw_only=True)
class _Tuning:
    recipe_failed: str
    recipe_stands: bool
    challenger: int | None
    interval: Sequence[Number] | None
    speakers: int | None


@dataclass(frozen=True, kw_only=True)
class _Speaker:
    gender: str | None
    clips: int


@dataclass(frozen=True, kw_only=True)
class _Group:
    clips: int
    speakers: int


@dataclass(frozen=True, kw_only=True)
class _GroupDifference:
    group: str
    interval: Sequence[Number]
    p_holm: Number
    shown: bool


@dataclass(frozen=True, kw_only=True)
class _Groups:
    groups: Mapping[str, _Group]
    differences: Sequence[_GroupDifference]


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
    ece: Score
    bins: Sequence[_Bin]


@dataclass(frozen=True, kw_only=True)
class _Test:
    """What every test has; its scores stand beside, under the names of the target's."""

    clips: int
    speakers: int
    per_speaker: Mapping[str, _Speaker] = field(default_factory=dict)
    per_group: Mapping[str, _Groups] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Classes:
    """What the test of a target of classes has."""

    per_class_recall: Mapping[str, Score]
    confusion: Sequence[Sequence[int]]
    per_class_precision: Mapping[str, Score] = field(default_factory=dict)
    calibration: _Calibration | None = None


@dataclass(frozen=True, kw_only=True)
class _Part:
    low: float
    high: float
    clips: int
    bias: float
    interval: Sequence[Number]
    rmse: float


@dataclass(frozen=True, kw_only=True)
class _Dimension:
    scatter: Sequence[Sequence[float]]
    error_by_rating: Sequence[_Part]


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """What the test of dimensions has."""

    per_dimension: Mapping[str, _Dimension]


@dataclass(frozen=True, kw_only=True)
class _Target:
    kind: str = EMOTION
    names: Sequence[str] = ()
    objective: str = EARLIER_OBJECTIVE


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


@dataclass(frozen=True, kw_only=True)
class _SearchCost:
    best: _Best | None
    wall_seconds: float
    overhead_seconds_per_trial: Number = None
    nothing_to_gain: str = ""


@dataclass(frozen=True, kw_only=True)
class _Finalist:
    trial: int


@dataclass(frozen=True, kw_only=True)
class _Winner:
    trial: int
    params: Mapping[str, Value]
    models: Sequence[str]
    architecture: str = ""


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    source: str
    test_speakers: Sequence[str] = ()
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class _Seen:
    model: str
    corpus: str
    speakers: Sequence[str]
    trained: bool
    synthetic: bool


@dataclass(frozen=True, kw_only=True)
class _Start:
    source: str
    classes: Sequence[str]
    seen: Sequence[_Seen]
    clips_known: bool
    test_clips: int
    test_speakers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Result:
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
    start: _Start | None = None
    tuning: _Tuning | None = None
    target: _Target = field(default_factory=_Target)
