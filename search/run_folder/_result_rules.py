"""What must hold between the parts of `result.json`; the scores among them stand under the names of its target's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.run_folder._result_document import Classes, Dimensions, Number, OneScore, Result, Score
from ser_core.json_document import DocumentError, typed
from ser_core.targets import DIMENSIONS, EMOTION, KINDS, VOTES, objectives_of


def check_result(document: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """What must hold of a result, and what says that it does not.

    Raises:
        DocumentError: a part that is missing or has another type.
    """
    result: Result = typed(Result, document)
    kind, objective = result.target.kind, result.target.objective
    if kind not in KINDS or objective not in objectives_of(kind):
        raise DocumentError(f"target must be one that this version knows; got {kind} and {objective}")
    named = _named_scores(document, objective, KINDS[kind].scores)
    return [*_general_rules(result, named), *_OWN_RULES[kind](result, document["test"])]


@dataclass(frozen=True, kw_only=True)
class _Named:
    """The scores of a result, which stand under the names of its target's."""

    headline: Score
    test: Sequence[Score]
    ensemble: Mapping[str, OneScore] | None
    finalists: Mapping[int, Score | None]
    found: Number
    groups: Sequence[OneScore]
    speakers: Sequence[Score]
    lead: Number


def _named_scores(document: Mapping[str, Any], objective: str, scores: Sequence[str]) -> _Named:
    test, best, tuning = document["test"], document["search"]["best"], document.get("tuning")
    own = {name: typed(Score, _required(test, name, "test"), f"test.{name}") for name in scores}
    together: Mapping[str, Any] | None = typed(Mapping[str, Any] | None, test.get("ensemble"), "test.ensemble")
    validation = f"val_{objective}"
    finalists = document["finalists"]
    groups = [group for column in test.get("per_group", {}).values() for group in column["groups"].values()]
    per_gender = typed(Mapping[str, Mapping[str, Any]], test.get("per_gender", {}), "test.per_gender")
    speakers = [*test.get("per_speaker", {}).values(), *per_gender.values()]
    return _Named(
        headline=own[objective],
        test=tuple(own.values()),
        ensemble=None
        if together is None
        else {name: typed(OneScore, _required(together, name, "test.ensemble"), "test.ensemble") for name in scores},
        finalists={
            each["trial"]: typed(Score | None, _required(each, validation, "finalists"), "finalists")
            for each in finalists
        },
        found=None if best is None else typed(float | None, _required(best, validation, "search.best"), "search.best"),
        groups=[typed(OneScore, _required(each, objective, "per_group"), "per_group") for each in groups],
        speakers=[typed(Score, _required(each, objective, "per_speaker"), "per_speaker") for each in speakers],
        lead=None
        if tuning is None
        else typed(float | None, _required(tuning, f"{objective}_difference", "tuning"), "tuning"),
    )


def _required(numbers: Mapping[str, Any], name: str, place: str) -> Any:
    if name not in numbers:
        raise DocumentError(f"{place} lacks {name}")
    return numbers[name]


def _general_rules(result: Result, named: _Named) -> list[tuple[bool, str]]:
    name, seeds = result.target.objective, len(named.headline.seeds)
    scored = [each for each in named.finalists.values() if each is not None]
    ensemble, of_seeds = named.ensemble, named.headline.seed_intervals
    bounds = [each.interval for each in (*named.test, *scored)]
    bounds += [each.interval for each in (*named.groups, *(ensemble or {}).values())]
    bounds += [each.interval for column in result.test.per_group.values() for each in column.differences]
    bounds += [result.tuning.interval] if result.tuning is not None else []
    whole = result.tuning is None or named.lead is None or None not in (result.tuning.interval, result.tuning.speakers)
    return [
        (len(result.corpus.classes) > 0, "corpus.classes must not be empty"),
        (seeds > 0, f"test.{name}.seeds must not be empty"),
        (named.headline.mean is not None, f"test.{name}.mean must be a number"),
        (ensemble is None or ensemble[name].value is not None, f"test.ensemble.{name}.value must be a number"),
        (whole, f"tuning.{name}_difference must have an interval and speakers"),
        (all(each is None or len(each) == 2 for each in bounds), "an interval must have two bounds"),
        (all(each.mean is not None for each in scored), f"finalists[].val_{name}.mean must be a number"),
        (
            of_seeds is None or [len(each) for each in of_seeds] == [2] * seeds,
            f"test.{name}.seed_intervals must have two bounds for each seed",
        ),
        (
            named.finalists.get(result.winner.trial) is not None,
            "winner.trial must be one of the finalists, with a score",
        ),
        (result.search.best is not None, "search.best must be a trial"),
        (all(own.seeds for own in named.speakers), "test.per_speaker must have scores of each speaker"),
        (result.test_reads >= 1, "test_reads must be at least 1"),
    ]


def _class_rules(result: Result, test: Mapping[str, Any]) -> list[tuple[bool, str]]:
    own: Classes = typed(Classes, test, "test")
    classes, size, calibration = result.corpus.classes, len(own.confusion), own.calibration
    bins = () if calibration is None else calibration.bins
    bounds = [each.interval for each in (*own.per_class_recall.values(), *own.per_class_precision.values())]
    return [
        (set(classes) == set(own.per_class_recall), "test.per_class_recall must have a score of each class"),
        (
            size == len(classes) and all(len(row) == size for row in own.confusion),
            "test.confusion must have a row and a column for each class",
        ),
        (all(cell >= 0 for row in own.confusion for cell in row), "test.confusion must count clips, from 0"),
        (
            all(each is None or len(each) == 2 for each in (*bounds, *(each.interval for each in bins))),
            "an interval must have two bounds",
        ),
        (
            calibration is None or calibration.ece.mean is not None,
            "test.calibration.ece.mean must be a number",
        ),
        (calibration is None or any(each.predictions for each in bins), "test.calibration.bins must count predictions"),
        (
            all(None not in (each.confidence, each.accuracy) for each in bins if each.predictions),
            "test.calibration.bins with predictions must have confidence and accuracy",
        ),
    ]


def _dimension_rules(result: Result, test: Mapping[str, Any]) -> list[tuple[bool, str]]:
    own: Dimensions = typed(Dimensions, test, "test")
    parts = own.per_dimension.values()
    for name in own.per_dimension:
        for score in KINDS[DIMENSIONS].scores:
            typed(Score, _required(test["per_dimension"][name], score, f"test.per_dimension.{name}"), name)
    return [
        (set(result.target.names) == set(own.per_dimension), "test.per_dimension must have each dimension"),
        (all(len(point) == 2 for part in parts for point in part.scatter), "a point of a scatter has two numbers"),
        (all(part.scatter and part.error_by_rating for part in parts), "test.per_dimension must hold clips"),
        (
            all(len(each.interval) == 2 for part in parts for each in part.error_by_rating),
            "an interval must have two bounds",
        ),
    ]


_OWN_RULES: Mapping[str, Callable[[Result, Mapping[str, Any]], list[tuple[bool, str]]]] = {
    EMOTION: _class_rules,
    VOTES: _class_rules,
    DIMENSIONS: _dimension_rules,
}
