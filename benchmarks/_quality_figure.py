"""The page of benchmarks/search_quality.py: regret against epochs, one panel per objective and number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from _contestants import CONTESTANTS
from _objectives import objective
from plotly.subplots import make_subplots

from search.pages.figures._style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SLATE, SURFACE, TEMPLATE

STYLES = {
    "ours": (BLUE, "solid"),
    "ours-finals": (BLUE, "dot"),
    "ours-gp": (BLUE, "dash"),
    "ray": (ORANGE, "solid"),
    "ray-grace": (ORANGE, "dot"),
    "optuna-sh": (GREEN, "solid"),
    "optuna-hb": (GREEN, "dot"),
    "syne-asha": (PURPLE, "solid"),
    "syne-bohb": (PURPLE, "dot"),
    "random": (SLATE, "solid"),
    "random-asha": (SLATE, "dot"),
}
"""Colour shows whose search it is; of one family, the second is dotted and the third dashed."""
PANEL_HEIGHT = 330


@dataclass(frozen=True, kw_only=True)
class Line:
    """One contestant on one objective with so many workers.

    Attributes:
        epochs: points of the budget. regrets: (seeds, points), rows in the order of the seeds.
        mean, low, high: over seeds at each point, with the bounds of a 95 % bootstrap interval.
        trials, seconds: means over seeds, at the end.
    """

    objective: str
    workers: int
    contestant: str
    epochs: Sequence[int]
    regrets: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    trials: float
    seconds: float


def figure(lines: Sequence[Line]) -> go.Figure:
    """Mean regret over seeds with its interval; rows are objectives, columns numbers of workers."""
    names = list(dict.fromkeys(line.objective for line in lines))
    workers = sorted({line.workers for line in lines})
    drawing = make_subplots(
        rows=len(names),
        cols=len(workers),
        subplot_titles=[f"{objective(name).title} · {count} workers" for name in names for count in workers],
        vertical_spacing=0.28 / len(names),
        horizontal_spacing=0.07,
    )
    shown = set[str]()
    for line in sorted(lines, key=lambda line: line.contestant == "ours"):  # ours on top
        cell = {"row": names.index(line.objective) + 1, "col": workers.index(line.workers) + 1}
        for trace in _traces(line, legend=line.contestant not in shown):
            drawing.add_trace(trace, **cell)
        shown.add(line.contestant)
    drawing.update_layout(
        template=TEMPLATE,
        paper_bgcolor=SURFACE,
        height=PANEL_HEIGHT * len(names) + 120,
        margin={"l": 60, "r": 20, "t": 110, "b": 50},
        legend={"y": 1 + 50 / (PANEL_HEIGHT * len(names)), "traceorder": "reversed"},
        hovermode="x",
    )
    drawing.update_annotations(font={"size": 13})
    drawing.update_xaxes(title={"text": "epochs over all trials", "standoff": 6}, rangemode="tozero")
    ticks = [digit * 10.0**power for power in range(-4, 2) for digit in (1, 2, 5)]
    drawing.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    drawing.update_yaxes(title={"text": "simple regret", "font": {"color": MUTED}}, col=1)
    return drawing


def _traces(line: Line, *, legend: bool) -> list[go.Scatter]:
    colour, dash = STYLES[line.contestant]
    epochs = list(line.epochs)
    band = go.Scatter(
        x=[*epochs, *reversed(epochs)],
        y=[*line.high, *reversed(line.low)],
        fill="toself",
        fillcolor=colour,
        opacity=0.16 if line.contestant == "ours" else 0.07,
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=line.contestant,
        showlegend=False,
    )
    mean = go.Scatter(
        x=epochs,
        y=line.mean,
        mode="lines",
        name=CONTESTANTS[line.contestant].title,
        line={"color": colour, "dash": dash, "width": 3.5 if line.contestant == "ours" else 1.8},
        hovertemplate="%{y:.3f}",
        legendgroup=line.contestant,
        showlegend=legend,
    )
    return [band, mean]


def write_page(lines: Sequence[Line], path: Path) -> None:
    """The figure as a page that needs nothing else."""
    figure(lines).write_html(path, include_plotlyjs=True, full_html=True)
