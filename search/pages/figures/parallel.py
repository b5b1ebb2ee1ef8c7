"""Parallel coordinates: every trial as a line through its knobs, coloured by its score.

Lying on its side, so that names of knobs stay readable and a phone can show it: a row per knob, the score on top.
Drawn with lines rather than plotly's own parallel coordinates, which need WebGL, and functions made from text, which
the page's content security policy forbids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.pages.figures._knobs import Scale, evenly, scale_of
from search.pages.figures._style import GRID, INK, MUTED, ORANGE, SCALE, SURFACE, blank, plain
from search.run_folder.records import TrialRecord, TrialState, Value
from search.run_folder.run_view import RunView
from search.run_folder.standing import best_trial
from search.wording import count, value_text
from ser_core.named_scores import Score

TITLE = "Parallel coordinates: the knobs of good and bad trials"
SECTION, ORDER, WIDE = "Search", 60, True
EMPTY = "No trial has finished an epoch yet."
MOST_LINES = 160
MOST_KNOBS = 12
INACTIVE = -0.07
"""Where a line passes a knob that was not active in its trial."""
QUARTERS = ("lowest quarter", "second quarter", "third quarter", "best quarter")
ROW_PIXELS = 62


@dataclass(frozen=True)
class Line:
    """One trial: a value per knob, None where the knob was not active; where they are drawn; its quarter, 0 to 3.

    The first of `places` is the score's.
    """

    number: int
    reached: float
    values: tuple[Value | None, ...]
    places: tuple[float, ...]
    quarter: int


@dataclass(frozen=True, kw_only=True)
class ParallelInfo:
    """Lines over `scales`, the most important knob first; `edges` part the quarters of all `trials` by their score.

    `scale` is that of the score, `score` what it is.
    """

    scales: tuple[Scale, ...]
    scale: Scale
    score: Score
    lines: tuple[Line, ...]
    edges: tuple[float, float, float]
    trials: int
    knobs: int
    best: int | None


def info(run: RunView) -> ParallelInfo | None:
    """Lines of some `MOST_LINES` trials: an even sample, whose quarters are those of all, and the best."""
    trials = [run.records.trials[number] for number in sorted(run.records.trials)]
    scored = [trial for trial in trials if trial.state is not TrialState.FAIL and math.isfinite(trial.value)]
    space = run.plan.space
    if not scored or not space:
        return None
    weight = {name: share.value for name, share in (run.importance or {}).items()}
    names = sorted(space, key=lambda name: -weight.get(name, 0.0))  # stable: ties stay in the space's order
    scales = tuple(scale_of(name, space[name]) for name in names[:MOST_KNOBS])
    reached, score = [trial.value for trial in scored], run.plan.headline
    low, high = score.scaled(min(reached)), score.scaled(max(reached))
    scale = Scale(knob=f"validation {score.axis}", low=low, high=high)
    first, second, third = map(float, np.quantile(reached, (0.25, 0.5, 0.75)))
    best = best_trial(run.records)
    sampled = {scored[index].number for index in evenly(len(scored), MOST_LINES)}
    drawn = [trial for trial in scored if trial.number in sampled or trial is best]
    return ParallelInfo(
        scales=scales,
        scale=scale,
        score=score,
        lines=tuple(
            _line(trial, scales, scale.place(score.scaled(trial.value)), (first, second, third)) for trial in drawn
        ),
        edges=(first, second, third),
        trials=len(scored),
        knobs=len(space),
        best=best.number if best else None,
    )


def _line(trial: TrialRecord, scales: Sequence[Scale], place: float, edges: Sequence[float]) -> Line:
    values = tuple(trial.params.get(scale.knob) for scale in scales)
    places = [place]
    for scale, value in zip(scales, values, strict=True):
        places.append(INACTIVE if value is None else scale.place(value) + scale.spread(trial.number))
    quarter = int(np.searchsorted(edges, trial.value, side="right"))
    return Line(trial.number, trial.value, values, tuple(places), quarter)


def reading(info: ParallelInfo) -> str:
    """What the colours mean, in numbers, and what is left out."""
    text = (
        f"A line is a trial; the strongest are the best quarter of {count(info.trials, 'trial')}, "
        f"{info.score.text(info.edges[2])} validation {info.score.label} or more: where they draw together, a knob "
        f"matters."
    )
    if info.trials > len(info.lines):
        text += f" Drawn are {len(info.lines)}: an even sample, and the best."
    if info.knobs > len(info.scales):
        text += f" Shown are {len(info.scales)} of {info.knobs} knobs, the most important on top."
    return text


def table(info: ParallelInfo) -> list[dict[str, Value | None]]:
    """A row per trial that is drawn, a column per knob."""
    knobs, column = [scale.knob for scale in info.scales], f"val_{info.score.column}"
    return [
        {"trial": line.number, column: info.score.cell(line.reached), **dict(zip(knobs, line.values, strict=True))}
        for line in info.lines
    ]


def figure(info: ParallelInfo, *, narrow: bool = False) -> go.Figure:
    """A trace per quarter, its lines parted by gaps, the best quarter above the others and the best trial on top."""
    rows = 1 + len(info.scales)
    axes = list(enumerate((info.scale, *info.scales)))
    drawn = blank(
        height=90 + ROW_PIXELS * rows,
        narrow=narrow,
        x="scale of each knob; left of it, not active",
        xaxis={"range": [INACTIVE - 0.04, 1.04], "showgrid": False, "showticklabels": False},
        yaxis={
            "range": [rows - 0.35, -0.5],
            "showgrid": False,
            "tickvals": list(range(rows)),
            "ticktext": [plain(scale.knob, 40) for _, scale in axes],
            "title": None,
            "showticklabels": False if narrow else None,  # there names stand above their rows
        },
        shapes=[shape for row, _ in axes for shape in _axis_lines(row)],
        annotations=[label for row, scale in axes for label in _axis_labels(row, scale, narrow=narrow)],
    )
    for quarter, name in enumerate(QUARTERS):
        lines = [line for line in info.lines if line.quarter == quarter and line.number != info.best]
        if lines:
            style = {"color": SCALE[quarter + 1], "width": 1.2 + 0.2 * quarter}
            drawn.add_scatter(**_trace(lines, info), mode="lines", name=name, line=style, opacity=0.8)
    best = [line for line in info.lines if line.number == info.best]
    if best:
        marker = {"symbol": "diamond", "size": 9, "line": {"color": SURFACE, "width": 1}}
        style = {"color": ORANGE, "width": 3}
        drawn.add_scatter(**_trace(best, info), mode="lines+markers", name="best trial", line=style, marker=marker)
    return drawn


def _trace(lines: Sequence[Line], info: ParallelInfo) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[int | None] = []
    text: list[str] = []
    for line in lines:
        x += [*(round(place, 4) for place in line.places), None]
        y += [*range(len(line.places)), None]
        values = ["not active" if value is None else plain(value_text(value), 24) for value in line.values]
        name = f"trial {line.number}, {info.score.text(line.reached)}"
        text += [name] + [
            f"{name}<br>{plain(scale.knob, 40)} = {value}" for scale, value in zip(info.scales, values, strict=True)
        ]
        text.append("")
    return {"x": x, "y": y, "text": text, "hovertemplate": "%{text}<extra></extra>"}


def _axis_lines(row: int) -> list[dict[str, Any]]:
    """The row's line and, on those of knobs, the place of inactive ones."""
    scale = {"color": MUTED, "width": 1.5}
    lines = [
        {"type": "line", "x0": 0, "x1": 1, "y0": row, "y1": row, "line": scale, "layer": "below", "opacity": 0.6},
        {"type": "line", "x0": INACTIVE, "x1": INACTIVE, "y0": row - 0.08, "y1": row + 0.08, "line": {"color": GRID}},
    ]
    return lines if row else lines[:1]


def _axis_labels(row: int, scale: Scale, *, narrow: bool) -> list[dict[str, Any]]:
    """The values of a row's ticks below it and, on a phone, its name above."""
    ticks = scale.ticks()
    longest = max(4, int((44 if narrow else 120) / len(ticks)))
    muted, bold = {"size": 10 if narrow else 11, "color": MUTED}, {"size": 12, "color": INK}
    label = {"y": row, "showarrow": False, "bgcolor": SURFACE, "borderpad": 1}
    labels = [
        {**label, "x": place, "text": plain(text, longest), "yshift": -13, "font": muted} for place, text in ticks
    ]
    name = {**label, "x": 0, "text": plain(scale.knob, 40), "xanchor": "left", "yshift": 13, "font": bold}
    return [*labels, name] if narrow else labels
