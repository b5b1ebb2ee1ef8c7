"""What every reader of `result.json` relies on. A default marks what an earlier version did not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spaces.knobs import Value

Number = float | None
"""JSON has no NaN: null stands for it."""


@dataclass(frozen=True, kw_only=True)
class _Score:
    """Over seeds, with the interval over speakers."""

    mean: Number
    std: Number
    seeds: Sequence[Number]
    interval: Sequence[Number] | None = None
    seed_intervals: Sequence[Sequence[Number]] | None = None


@dataclass(frozen=True, kw_only=True)
class _OneScore:
    """Of one predictor, with the interval over speakers."""

    value: Number
    interval: Sequence[Number]


@dataclass(frozen=True, kw_only=True)
class _Ensemble:
    uar: _OneScore
    war: _OneScore
    macro_f1: _OneScore

    @property
    def scores(self) -> tuple[_OneScore, ...]:
        return self.uar, self.war, self.macro_f1


@dataclass(frozen=True, kw_only=True)
class _Tuning:
    recipe_failed: str
    recipe_stands: bool
    challenger: int | None
    uar_difference: Number
    interval: Sequence[Number] | None
    speakers: int | None

    @property
    def whole(self) -> bool:
        """True unless it names a difference without an interval and speakers."""
        return self.uar_difference is None or None not in (self.interval, self.speakers)


@dataclass(frozen=True, kw_only=True)
class _SpeakerScores:
    gender: str | None
    clips: int
    uar: _Score


@dataclass(frozen=True, kw_only=True)
class _GenderScores:
    uar: _Score


@dataclass(frozen=True, kw_only=True)
class _Group:
    clips: int
    speakers: int
    uar: _OneScore
    war: _OneScore


@dataclass(frozen=True, kw_only=True)
class _GroupDifference:
    group: str
    uar: Number
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
    per_group: Mapping[str, _Groups] = field(default_factory=dict)
    calibration: _Calibration | None = None
    ensemble: _Ensemble | None = None


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
    nothing_to_gain: str = ""


@dataclass(frozen=True, kw_only=True)
class _Finalist:
    trial: int
    val_uar: _Score | None


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


def result_rules(result: Result) -> list[tuple[bool, str]]:
    """What must hold between the parts of a result, and what says that it does not."""
    classes, test = result.corpus.classes, result.test
    seeds = len(test.uar.seeds)
    calibration, scored = test.calibration, [each.val_uar for each in result.finalists if each.val_uar is not None]
    of_classes = (*test.per_class_recall.values(), *test.per_class_precision.values())
    bins = () if calibration is None else calibration.bins
    scores = (test.uar, test.war, test.macro_f1, *of_classes, *scored)
    bounds = [*(each.interval for each in scores), *(each.interval for each in bins)]
    ensemble, tuning = test.ensemble, result.tuning
    bounds += [each.interval for column in test.per_group.values() for each in column.differences]
    bounds += [own.uar.interval for column in test.per_group.values() for own in column.groups.values()]
    bounds += [each.interval for each in (ensemble.scores if ensemble is not None else ())]
    bounds += [tuning.interval] if tuning is not None else []
    size = len(test.confusion)
    return [
        (len(classes) > 0, "corpus.classes must not be empty"),
        (set(classes) == set(test.per_class_recall), "test.per_class_recall must have a score of each class"),
        (
            size == len(classes) and all(len(row) == size for row in test.confusion),
            "test.confusion must have a row and a column for each class",
        ),
        (all(cell >= 0 for row in test.confusion for cell in row), "test.confusion must count clips, from 0"),
        (seeds > 0, "test.uar.seeds must not be empty"),
        (test.uar.mean is not None, "test.uar.mean must be a number"),
        (ensemble is None or ensemble.uar.value is not None, "test.ensemble.uar.value must be a number"),
        (tuning is None or tuning.whole, "tuning.uar_difference must have an interval and speakers"),
        (all(each is None or len(each) == 2 for each in bounds), "an interval must have two bounds"),
        (all(each.mean is not None for each in scored), "finalists[].val_uar.mean must be a number"),
        (
            calibration is None or calibration.ece.mean is not None,
            "test.calibration.ece.mean must be a number",
        ),
        (calibration is None or any(each.predictions for each in bins), "test.calibration.bins must count predictions"),
        (
            all(None not in (each.confidence, each.accuracy) for each in bins if each.predictions),
            "test.calibration.bins with predictions must have confidence and accuracy",
        ),
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
