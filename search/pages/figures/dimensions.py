"""Predicted over rated: how the ratings of every dimension come out, and how well they agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate
from search.pages.figures._panels import places
from search.pages.figures._style import BLUE, INK, MUTED, blank, plain
from search.pages.figures._targets import predicts_ratings
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from ser_core.named_scores import DIMENSION_SCORES, SCORES

TITLE = "Predicted over rated: agreement of every dimension on the test"
SECTION, ORDER, WIDE = "Result", 30, True
EMPTY = "The test set has not been read yet."
COLUMNS = 3
PANEL_PIXELS = 380
concerns = predicts_ratings


@dataclass(frozen=True)
class Dimension:
    """One dimension: its scores by name, of the default model, and clips (rated, predicted)."""

    name: str
    scores: Mapping[str, Estimate]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class DimensionsInfo:
    """Dimensions in the order of the target."""

    dimensions: tuple[Dimension, ...]


def info(run: RunView) -> DimensionsInfo | None:
    """The dimensions of result.json."""
    if run.result is None or not concerns(run):
        return None
    found = run.result["test"]["per_dimension"]
    return DimensionsInfo(
        dimensions=tuple(
            Dimension(
                name=name,
                scores={score: Estimate.of(found[name][score]["ensemble"], "value") for score in DIMENSION_SCORES},
                points=tuple((rated, told) for rated, told in found[name]["scatter"]),
            )
            for name in run.result["target"]["names"]
        )
    )


def reading(info: DimensionsInfo) -> str:
    """The agreement of every dimension, and how far predictions shrink towards the mean."""
    ccc = SCORES["ccc"]
    parts = [f"{own.name} {own.scores['ccc'].text(short=False, score=ccc)}" for own in info.dimensions]
    text = f"CCC with 95 % interval over speakers: {', '.join(parts)}"
    spreads = {own.name: _spread(own) for own in info.dimensions}
    narrowest = min(spreads, key=lambda name: spreads[name])
    if spreads[narrowest] < 1:
        text += f"; predictions of {narrowest} vary {spreads[narrowest]:.2f} times as much as its ratings"
    return f"{text}."


def _spread(own: Dimension) -> float:
    """Deviation of the predictions over that of the ratings."""
    rated, told = np.array(own.points).T
    return float(told.std() / rated.std()) if rated.std() > 0 else 1.0


def table(info: DimensionsInfo) -> list[dict[str, Value | None]]:
    """A row per dimension."""
    rows: list[dict[str, Value | None]] = []
    for own in info.dimensions:
        row: dict[str, Value | None] = {"dimension": own.name}
        for name, estimate in own.scores.items():
            cell = SCORES[name].cell
            row |= {name: cell(estimate.value), f"{name}_low": cell(estimate.low), f"{name}_high": cell(estimate.high)}
        rows.append(row)
    return rows


def figure(info: DimensionsInfo, *, narrow: bool = False) -> go.Figure:
    """A panel per dimension: a point per clip, and the line on which predictions are the ratings."""
    columns = 1 if narrow else min(COLUMNS, len(info.dimensions))
    rows = -(-len(info.dimensions) // columns)
    height = 60 + PANEL_PIXELS * rows
    grid = places(rows, columns, across=0.08, between=70 / height if rows > 1 else 0)
    panels = list(zip(grid, info.dimensions, strict=False))
    layout: dict[str, Any] = {}
    for place in grid:
        layout |= place.axes(x={"title": {"text": "rated"}}, y={"title": {"text": "predicted"}})
    drawn = blank(
        height=height,
        narrow=narrow,
        **layout,
        margin={"t": 72},
        legend={"y": 1, "yref": "container", "yanchor": "top"},
        annotations=[
            place.heading(f"{plain(own.name, 24)}: CCC {_agreement(own)}", size=13, color=INK) for place, own in panels
        ],
    )
    return drawn.add_traces(
        [{**trace, **place.refs} for place, own in panels for trace in _traces(own, first=place is grid[0])]
    )


def _traces(own: Dimension, *, first: bool) -> list[dict[str, Any]]:
    low, high = (choose(number for point in own.points for number in point) for choose in (min, max))
    perfect = {
        "type": "scatter",
        "x": [low, high],
        "y": [low, high],
        "mode": "lines",
        "name": "perfect agreement",
        "showlegend": first,
        "line": {"color": MUTED, "width": 1.5, "dash": "dash"},
        "hoverinfo": "skip",
    }
    clips = {
        "type": "scatter",
        "x": [rated for rated, _ in own.points],
        "y": [told for _, told in own.points],
        "mode": "markers",
        "name": "test clips",
        "showlegend": first,
        "marker": {"color": BLUE, "size": 6, "opacity": 0.45},
        "hovertemplate": f"{plain(own.name, 24)}: rated %{{x:.2f}}, predicted %{{y:.2f}}<extra></extra>",
    }
    return [perfect, clips]


def _agreement(own: Dimension) -> str:
    return own.scores["ccc"].text(short=True, score=SCORES["ccc"])
