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
from search.run_folder.run_score import RunScore, run_score
from search.run_folder.run_view import RunView
from search.wording import count, in_percent, interval, percent

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
    uar: Estimate
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class ForestInfo:
    """Rows from top to bottom; `speakers` in the test set, 0 where runs differ or do not say."""

    rows: tuple[Row, ...]
    speakers: int

    def of(self, *kinds: Kind) -> list[Row]:
        return [row for row in self.rows if row.kind in kinds]


def info(run: RunView) -> ForestInfo | None:
    """Finalists over seeds, every refit on the test, their mean, and the default model, which is their ensemble."""
    if run.result is None:
        return None
    test, winner = run.result["test"], run.result["winner"]["trial"]
    finalists = [f for f in run.result["finalists"] if f["val_uar"] is not None]
    if "seed_intervals" not in test["uar"] or not all("interval" in f["val_uar"] for f in finalists):
        return None
    finalists.sort(key=lambda finalist: -finalist["val_uar"]["mean"])
    rows = [
        Row(Kind.FINALIST, f"trial {f['trial']}", Estimate.of(f["val_uar"]), f["trial"] == winner) for f in finalists
    ]
    score = run_score(test)
    rows += _refits(test["uar"])
    rows.append(Row(Kind.MEAN, "mean of seeds", Estimate.of(test["uar"])))
    rows.append(Row(Kind.ENSEMBLE, score.of, _estimate(score), chosen=True))
    return ForestInfo(rows=tuple(rows), speakers=int(test["speakers"]))


def _estimate(score: RunScore) -> Estimate:
    low, high = score.interval or (None, None)
    return Estimate(number(score.value), number(low), number(high))


def _refits(uar: Mapping[str, Any]) -> list[Row]:
    pairs = zip(uar["seeds"], uar["seed_intervals"], strict=True)
    return [
        Row(Kind.REFIT, f"seed {seed}", Estimate(number(score), *map(number, bounds)))
        for seed, (score, bounds) in enumerate(pairs, start=1)
    ]


def info_of(runs: Sequence[RunView]) -> ForestInfo | None:
    """The test of every finished run, the best first; a run is named by its model and its folder."""
    results = [(run, run.result["test"]) for run in runs if run.result is not None]
    if not results:
        return None
    rows = [
        Row(Kind.RUN, f"{model_text(run.plan, run.result)} ({run.name})", _estimate(run_score(test)))
        for run, test in results
    ]
    rows.sort(key=lambda row: -row.uar.value)
    speakers = {int(test.get("speakers", 0)) for _, test in results}
    return ForestInfo(rows=tuple(rows), speakers=speakers.pop() if len(speakers) == 1 else 0)


def reading(info: ForestInfo) -> str:
    """The leading score with its interval, and how many of its rivals lie within that interval."""
    if runs := info.of(Kind.RUN):
        return f"{runs[0].name} leads with {_with_interval(runs[0].uar, info)}{_rivals(runs, 'run')}."
    (ensemble,), finalists = info.of(Kind.ENSEMBLE), info.of(Kind.FINALIST)
    finalists.sort(key=lambda row: not row.chosen)
    return f"Test UAR is {_with_interval(ensemble.uar, info)}{_rivals(finalists, 'finalist')}."


def _with_interval(uar: Estimate, info: ForestInfo) -> str:
    if not uar.has_interval:
        why = interval((None, None), speakers=info.speakers) if info.speakers else "no interval"
        return f"{percent(uar.value)} ({why})"
    over = count(info.speakers, "speaker") if info.speakers else "speakers"
    return f"{percent(uar.value)} (95 % interval over {over}: {100 * uar.low:.1f} to {percent(uar.high)})"


def _rivals(rows: Sequence[Row], word: str) -> str:
    """How many of the rows after the first have an interval that overlaps the first one's."""
    first, others = rows[0], rows[1:]
    if not others or not all(row.uar.has_interval for row in rows):
        return ""
    near = sum(row.uar.overlaps(first.uar) for row in others)
    whose = "its interval" if first.kind is Kind.RUN else "the winner's interval on validation"
    return f"; {whose} overlaps {near} of {count(len(others), f'other {word}')}"


def table(info: ForestInfo) -> list[dict[str, Value | None]]:
    """A row per row."""
    return [
        {
            "part": "validation" if row.kind is Kind.FINALIST else "test",
            "of": row.kind.value,
            "name": row.name,
            "uar_percent": in_percent(row.uar.value),
            "low_percent": in_percent(row.uar.low),
            "high_percent": in_percent(row.uar.high),
            "interval_over": "seeds" if row.kind is Kind.FINALIST else "speakers",
        }
        for row in info.rows
    ]


def figure(info: ForestInfo, *, narrow: bool = False) -> go.Figure:
    """A line per row under the heading of its kind, with the numbers to the right."""
    places = _places(info)
    lines = max(places.values()) + 1
    drawn = blank(height=max(90 + round(ROW_PIXELS * lines), 0 if narrow else 360), narrow=narrow, x="UAR, %")
    for kind, (colour, symbol, size) in MARKS.items():
        rows = info.of(kind)
        if rows:
            drawn.add_scatter(
                x=[round(100 * row.uar.value, 2) for row in rows],
                y=[places[row] for row in rows],
                customdata=[_label(row) for row in rows],
                text=[row.uar.text(short=False) for row in rows],
                error_x={**error_bars([row.uar for row in rows]), "color": colour},
                mode="markers",
                name=kind.value,
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"color": SURFACE, "width": 1}},
                hovertemplate="%{customdata}: %{text} %<extra></extra>",
            )
    value_column(drawn, {places[row]: row.uar.text(short=narrow) for row in info.rows}, narrow=narrow)
    for kind, heading in (SHORT_HEADINGS if narrow else HEADINGS).items():
        if rows := info.of(kind):
            _heading(drawn, heading, places[rows[0]] - 0.8)
    drawn.update_yaxes(
        tickvals=list(places.values()),
        ticktext=[_label(row, 14 if narrow else 34) for row in places],
        range=[lines - 0.3, -0.4],
        showgrid=False,
    )
    drawn.update_xaxes(range=_range(info))
    drawn.update_layout(showlegend=False, margin={"t": 8})
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
    """All scores and, but for what lies more than 30 points from them, all intervals; within 0 and 100."""
    scores = [row.uar.value for row in info.rows if math.isfinite(row.uar.value)]
    edges = [edge for row in info.rows if row.uar.has_interval for edge in (row.uar.low, row.uar.high)]
    low, high = min([*scores, *edges]), max([*scores, *edges])
    low, high = max(low, min(scores) - 0.3, 0), min(high, max(scores) + 0.3, 1)
    return [100 * low - 2, 100 * high + 2]


def _label(row: Row, longest: int = 60) -> str:
    return plain(row.name, longest) + (" ★" if row.chosen and row.kind is Kind.FINALIST else "")


def _heading(drawn: go.Figure, text: str, y: float) -> None:
    drawn.add_annotation(
        x=0, xref="paper", xanchor="left", y=y, text=text, showarrow=False, font={"size": 12, "color": INK}
    )
