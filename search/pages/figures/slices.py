"""Slices: the score over each knob by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._panels import places
from search.pages.figures._style import FATES, INK, ORANGE, SURFACE, blank, plain, thinned
from search.run_folder.records import TrialState, Value
from search.run_folder.run_view import RunView
from search.run_folder.standing import best_trial
from search.wording import count, value_text
from ser_core.named_scores import Score

TITLE = "Slices: the score over each knob"
SECTION, ORDER, WIDE = "Search", 50, True
EMPTY = "No trial has finished an epoch yet."
MOST_PANELS = 12
MOST_TRIALS = 300
"""Per panel: 12 panels of 300 markers still open at once."""
COLUMNS = 3
PANEL_PIXELS = 230


@dataclass(frozen=True)
class Sample:
    """One trial in one panel."""

    number: int
    state: TrialState
    value: Value
    reached: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One knob: its scale, and the trials in which it was active. `choices` is empty for a number."""

    knob: str
    log: bool
    choices: tuple[str, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True)
class SlicesInfo:
    """Panels in order of importance where it is known, else in the order of the space."""

    panels: tuple[Panel, ...]
    knobs: int
    best: int | None
    best_values: Mapping[str, Value]
    score: Score


def info(run: RunView) -> SlicesInfo | None:
    """A panel for each of the `MOST_PANELS` most important knobs."""
    scored = [t for t in run.records.trials.values() if t.state is not TrialState.FAIL and math.isfinite(t.value)]
    space: Mapping[str, Mapping[str, Any]] = run.plan.space
    if not scored or not space:
        return None
    weight = {name: share.value for name, share in (run.importance or {}).items()}
    names = sorted(space, key=lambda name: -weight.get(name, 0.0))  # stable: ties stay in the space's order
    kept = thinned(sorted(scored, key=lambda trial: trial.number), MOST_TRIALS)
    panels = []
    for name in names[:MOST_PANELS]:
        samples = tuple(Sample(t.number, t.state, t.params[name], t.value) for t in kept if name in t.params)
        choices = tuple(map(str, space[name]["values"])) if space[name]["type"] == "choice" else ()
        panels.append(Panel(knob=name, log=bool(space[name].get("log")), choices=choices, samples=samples))
    best = best_trial(run.records)
    return SlicesInfo(
        panels=tuple(panels),
        knobs=len(space),
        best=best.number if best else None,
        best_values={name: best.params[name] for name in names if name in best.params} if best else {},
        score=run.plan.headline,
    )


def reading(info: SlicesInfo) -> str:
    """Where the best trial lies, for the leading knobs."""
    leading = [panel.knob for panel in info.panels if panel.knob in info.best_values][:2]
    values = " and ".join(f"{name} = {value_text(info.best_values[name])}" for name in leading)
    text = f"The best trial (orange) has {values}." if values else "Every trial with a score stands in each panel."
    if info.knobs > len(info.panels):
        text += f" Shown are {len(info.panels)} of {count(info.knobs, 'knob')}, the most important first."
    return text


def table(info: SlicesInfo) -> list[dict[str, Value | None]]:
    """A row per marker: one trial in one panel."""
    return [
        {
            "knob": panel.knob,
            "trial": sample.number,
            "value": sample.value,
            f"val_{info.score.column}": info.score.cell(sample.reached),
            "state": sample.state.value,
        }
        for panel in info.panels
        for sample in panel.samples
    ]


def figure(info: SlicesInfo, *, narrow: bool = False) -> go.Figure:
    """A grid of panels with one y axis scale; a single column on a phone."""
    columns = 1 if narrow else min(COLUMNS, len(info.panels))
    rows = math.ceil(len(info.panels) / columns)
    height = rows * PANEL_PIXELS + 60
    grid = places(rows, columns, across=0.04, between=76 / height if rows > 1 else 0, shared_y=True)
    layout: dict[str, Any] = {}
    traces: list[dict[str, Any]] = []
    for place, panel in zip_longest(grid, info.panels):
        title = {"title": {"text": f"val. {info.score.axis}"}} if place.column == 0 else {}
        layout |= place.axes(x={} if panel is None else _axis(panel), y=title)
        if panel is not None:
            traces += [{**trace, **place.refs} for trace in _traces(panel, info, first=place is grid[0])]
    legend = {"y": 1, "yref": "container", "yanchor": "top"}
    return blank(height=height, narrow=narrow, **layout, legend=legend).add_traces(traces)


def _traces(panel: Panel, info: SlicesInfo, *, first: bool) -> list[dict[str, Any]]:
    best, score = info.best, info.score
    groups = [
        (fate.label, fate.colour, fate.symbol, 7, [s for s in panel.samples if s.state is state and s.number != best])
        for state, fate in FATES.items()
    ]
    groups.append(("best trial", ORANGE, "star", 16, [s for s in panel.samples if s.number == best]))
    return [
        {
            "type": "scatter",
            "x": [plain(sample.value, 24) if panel.choices else sample.value for sample in samples],
            "y": [round(score.scaled(sample.reached), 1 if score.percent else 3) for sample in samples],
            "customdata": [sample.number for sample in samples],
            "mode": "markers",
            "name": label,
            "legendgroup": label,
            "showlegend": first and bool(samples),
            "marker": {"color": colour, "symbol": symbol, "size": size, "opacity": 0.8, "line": _outline(label)},
            "hovertemplate": f"trial %{{customdata}}, {label}<br>%{{x}}: %{{y:{score.hover}}}{score.unit}"
            "<extra></extra>",
        }
        for label, colour, symbol, size, samples in groups
    ]


def _axis(panel: Panel) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": plain(panel.knob, 40), "font": {"color": INK, "size": 13}, "standoff": 4}}
    if panel.choices:
        axis |= {"type": "category", "categoryorder": "array", "categoryarray": [plain(c, 24) for c in panel.choices]}
    elif panel.log:
        axis |= {"type": "log", "exponentformat": "e", "dtick": 1 if _decades(panel) >= 1.5 else "D2"}
    return {**axis, "nticks": 6}


def _outline(label: str) -> dict[str, Any]:
    return {"color": SURFACE, "width": 1} if label == "best trial" else {"width": 0}


def _decades(panel: Panel) -> float:
    values = [float(sample.value) for sample in panel.samples]
    return math.log10(max(values) / min(values)) if values else 0.0
