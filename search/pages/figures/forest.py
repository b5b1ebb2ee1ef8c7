"""Forest plot: scores with 95 % intervals, of the finalists and refits of one run or of the tests of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate, error_bars, number, value_column
from search.pages.figures._style import BLUE, INK, ORANGE, SLATE, SURFACE, blank, plain
from search.run_folder.architectures import model_text
from search.run_folder.records import Value
from search.run_folder.run_score import RunScore, headline_of, run_score, validation_score
from search.run_folder.run_view import RunView
from search.wording import count, interval
from ser_core.named_scores import SCORES, Score

TITLE = "Forest: how far each score can be trusted"
SECTION, ORDER, WIDE = "Result", 24, False
EMPTY = "The test set has not been read yet, or by a version that kept no intervals of finalists and seeds."
ROW_PIXELS = 34


class Kind(StrEnum):
    """What a row is; rows of a kind stand together."""

    FINALIST = "finalist"
    REFIT = "refit"
    MEAN = "mean"
    ENSEMBLE = "ensemble"
    RUN = "run"


HEADINGS = {
    Kind.FINALIST: "Validation: finalists, t interval over seeds",
    Kind.REFIT: "Test: refits of the winner, interval over speakers",
    Kind.RUN: "Test: default models, interval over speakers",
}
SHORT_HEADINGS = {
    Kind.FINALIST: "Validation, over seeds",
    Kind.REFIT: "Test, over speakers",
    Kind.RUN: "Test, over speakers",
}
"""For a phone."""
MARKS = {
    Kind.FINALIST: (BLUE, "circle", 10),
    Kind.REFIT: (SLATE, "square", 9),
    Kind.MEAN: (SLATE, "diamond", 12),
    Kind.ENSEMBLE: (ORANGE, "diamond", 14),
    Kind.RUN: (ORANGE, "diamond", 12),
}


@dataclass(frozen=True)
class Row:
    """A score and its interval; `chosen` marks the winner."""

    kind: Kind
    name: str
    estimate: Estimate
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class ForestInfo:
    """Rows from top to bottom; `speakers` in the test set, 0 where runs differ or do not say."""

    rows: tuple[Row, ...]
    speakers: int
    score: Score

    def of(self, *kinds: Kind) -> list[Row]:
        return [row for row in self.rows if row.kind in kinds]


def info(run: RunView) -> ForestInfo | None:
    """Finalists over seeds, every refit on the test, their mean, and the default model, which is their ensemble."""
    if run.result is None:
        return None
    test, winner, score = run.result["test"], run.result["winner"]["trial"], headline_of(run.result)
    all_ = [(each["trial"], validation_score(each, score)) for each in run.result["finalists"]]
    finalists = sorted(((t, own) for t, own in all_ if own is not None), key=lambda each: -each[1]["mean"])
    if "seed_intervals" not in test[score.name] or not all("interval" in own for _, own in finalists):
        return None
    rows = [Row(Kind.FINALIST, f"trial {trial}", Estimate.of(own), trial == winner) for trial, own in finalists]
    ensemble = run_score(test, score.name)
    rows += _refits(test[score.name])
    rows.append(Row(Kind.MEAN, "mean of seeds", Estimate.of(test[score.name])))
    rows.append(Row(Kind.ENSEMBLE, ensemble.of, _estimate(ensemble), chosen=True))
    return ForestInfo(rows=tuple(rows), speakers=int(test["speakers"]), score=score)


def _estimate(score: RunScore) -> Estimate:
    low, high = score.interval or (None, None)
    return Estimate(number(score.value), number(low), number(high))


def _refits(numbers: Mapping[str, Any]) -> list[Row]:
    pairs = zip(numbers["seeds"], numbers["seed_intervals"], strict=True)
    return [
        Row(Kind.REFIT, f"seed {seed}", Estimate(number(value), *map(number, bounds)))
        for seed, (value, bounds) in enumerate(pairs, start=1)
    ]


def info_of(runs: Sequence[RunView]) -> ForestInfo | None:
    """The test of every finished run, the best first; a run is named by its model and its folder."""
    results = [(run, run.result["test"]) for run in runs if run.result is not None]
    judged = {run.plan.objective for run, _ in results}
    if len(judged) != 1:
        return None  # none, or such as cannot stand on one axis
    score = SCORES[judged.pop()]
    rows = [
        Row(Kind.RUN, f"{model_text(run.plan, run.result)} ({run.name})", _estimate(run_score(test, score.name)))
        for run, test in results
    ]
    rows.sort(key=lambda row: -row.estimate.value)
    speakers = {int(test.get("speakers", 0)) for _, test in results}
    return ForestInfo(rows=tuple(rows), speakers=speakers.pop() if len(speakers) == 1 else 0, score=score)


def reading(info: ForestInfo) -> str:
    """The leading score with its interval, and how many of its rivals lie within that interval."""
    if runs := info.of(Kind.RUN):
        return f"{runs[0].name} leads with {_with_interval(runs[0].estimate, info)}{_rivals(runs, 'run')}."
    (ensemble,), finalists = info.of(Kind.ENSEMBLE), info.of(Kind.FINALIST)
    finalists.sort(key=lambda row: not row.chosen)
    return f"Test {info.score.label} is {_with_interval(ensemble.estimate, info)}{_rivals(finalists, 'finalist')}."


def _with_interval(own: Estimate, info: ForestInfo) -> str:
    value = info.score.text(own.value)
    if not own.has_interval:
        why = interval((None, None), speakers=info.speakers) if info.speakers else "no interval"
        return f"{value} ({why})"
    over = count(info.speakers, "speaker") if info.speakers else "speakers"
    return f"{value} (95 % interval over {over}: {interval((own.low, own.high), score=info.score)})"


def _rivals(rows: Sequence[Row], word: str) -> str:
    """How many of the rows after the first have an interval that overlaps the first one's."""
    first, others = rows[0], rows[1:]
    if not others or not all(row.estimate.has_interval for row in rows):
        return ""
    near = sum(row.estimate.overlaps(first.estimate) for row in others)
    whose = "its interval" if first.kind is Kind.RUN else "the winner's interval on validation"
    return f"; {whose} overlaps {near} of {count(len(others), f'other {word}')}"


def table(info: ForestInfo) -> list[dict[str, Value | None]]:
    """A row per row."""
    return [
        {
            "part": "validation" if row.kind is Kind.FINALIST else "test",
            "of": row.kind.value,
            "name": row.name,
            info.score.column: info.score.cell(row.estimate.value),
            f"low{info.score.suffix}": info.score.cell(row.estimate.low),
            f"high{info.score.suffix}": info.score.cell(row.estimate.high),
            "interval_over": "seeds" if row.kind is Kind.FINALIST else "speakers",
        }
        for row in info.rows
    ]


def figure(info: ForestInfo, *, narrow: bool = False) -> go.Figure:
    """A line per row under the heading of its kind, with the numbers to the right."""
    places = _places(info)
    lines = max(places.values()) + 1
    score = info.score
    values, right = value_column(
        {places[row]: row.estimate.text(short=narrow, score=score) for row in info.rows}, narrow=narrow
    )
    drawn = blank(
        height=max(90 + round(ROW_PIXELS * lines), 0 if narrow else 360),
        narrow=narrow,
        x=score.axis,
        xaxis={"range": _range(info)},
        yaxis={
            "tickvals": list(places.values()),
            "ticktext": [_label(row, 14 if narrow else 34) for row in places],
            "range": [lines - 0.3, -0.4],
            "showgrid": False,
        },
        showlegend=False,
        margin={"t": 8, "r": right},
        annotations=[*values, *_headings(info, places, narrow=narrow)],
    )
    for kind, (colour, symbol, size) in MARKS.items():
        rows = info.of(kind)
        if rows:
            drawn.add_scatter(
                x=[score.cell(row.estimate.value) for row in rows],
                y=[places[row] for row in rows],
                customdata=[_label(row) for row in rows],
                text=[row.estimate.text(short=False, score=score) for row in rows],
                error_x={**error_bars([row.estimate for row in rows], score), "color": colour},
                mode="markers",
                name=kind.value,
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"color": SURFACE, "width": 1}},
                hovertemplate=f"%{{customdata}}: %{{text}}{score.unit}<extra></extra>",
            )
    return drawn


def _places(info: ForestInfo) -> dict[Row, float]:
    """The y of every row, downwards, with room above each kind that has a heading."""
    places: dict[Row, float] = {}
    y, last = 0.0, None
    for row in info.rows:
        y += 1.0 if row.kind is last or row.kind not in HEADINGS else 1.0 + (0.5 if places else -0.1)
        places[row] = y
        last = row.kind
    return places


def _range(info: ForestInfo) -> list[float]:
    """All scores and, but for what lies more than 30 points (0.3) from them, all intervals; within the bounds."""
    estimates, score = [row.estimate for row in info.rows], info.score
    scores = [own.value for own in estimates if math.isfinite(own.value)]
    edges = [edge for own in estimates if own.has_interval for edge in (own.low, own.high)]
    low, high = min([*scores, *edges]), max([*scores, *edges])
    low, high = max(low, min(scores) - 0.3, score.least), min(high, max(scores) + 0.3, score.most)
    return [score.scaled(low - 0.02), score.scaled(high + 0.02)]


def _label(row: Row, longest: int = 60) -> str:
    return plain(row.name, longest) + (" ★" if row.chosen and row.kind is Kind.FINALIST else "")


def _headings(info: ForestInfo, places: Mapping[Row, float], *, narrow: bool) -> list[dict[str, Any]]:
    """A heading above the first row of each kind that has one."""
    font = {"size": 12, "color": INK}
    return [
        {"x": 0, "xref": "paper", "xanchor": "left", "y": y, "text": heading, "showarrow": False, "font": font}
        for kind, heading in (SHORT_HEADINGS if narrow else HEADINGS).items()
        for y in [places[row] - 0.8 for row in info.of(kind)[:1]]
    ]
