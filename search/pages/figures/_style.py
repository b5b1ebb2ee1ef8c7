"""What all figures share: colours, markers, axes and the words for fates.

Colours are those of Okabe and Ito (2008), darkened or lightened until they stand out from their ground; fates differ
in marker and in lightness as well, so that no reading rests on hue alone. Figures are drawn in the light colours; a
page replaces each by its dark partner (`DARK`).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.run_folder.records import TrialRecord, TrialState

INK = "#1a2230"
MUTED = "#5d6778"
GRID = "#e6e9ef"
SURFACE = "#ffffff"
BLUE = "#0a68b3"
SLATE = "#8b96a8"
ORANGE = "#d45500"
GREEN = "#008f68"
PURPLE = "#a6458a"
SKY = "#b9d8f0"
SCALE = ("#f4f7fb", "#b8d5ec", "#5a9fd0", "#0a68b4", "#083d70")
"""Five steps of a single-hue scale, from none to all."""

DARK = {
    INK: "#e8ecf2",
    MUTED: "#9aa5b6",
    GRID: "#2b333f",
    SURFACE: "#171c24",
    BLUE: "#5fb0f2",
    SLATE: "#6f7b8d",
    ORANGE: "#ff9a52",
    GREEN: "#3ccf9f",
    PURPLE: "#e293cb",
    SKY: "#274b69",
    **dict(zip(SCALE, ("#1d242e", "#1f405e", "#2a6da3", "#5fb0f3", "#c4e4ff"), strict=True)),
}
"""Light colour -> its partner on a dark ground."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Fate:
    """How the trials of one state are drawn."""

    label: str
    colour: str
    symbol: str


FATES = {
    TrialState.PRUNED: Fate("stopped early", SLATE, "triangle-down"),
    TrialState.COMPLETE: Fate("complete", BLUE, "circle"),
    TrialState.RUNNING: Fate("running", GREEN, "square-open"),
    TrialState.FAIL: Fate("failed", PURPLE, "x"),
}
"""In the order of drawing: what matters most comes last but for the rare fates."""

_AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zeroline": False,
    "automargin": True,
    "ticks": "",
    "title": {"standoff": 10, "font": {"color": MUTED, "size": 13}},
    "tickfont": {"color": MUTED},
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {
            "bgcolor": SURFACE,
            "bordercolor": MUTED,
            "font": {"family": FONT, "color": INK},
            "align": "left",
        },
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "dragmode": False,
    }
)


def blank(*, height: int, narrow: bool, x: str = "", y: str = "", **layout: Any) -> go.Figure:
    """A figure without traces in the house style.

    All of the layout is set at once: with every later change plotly validates and copies again what it touches.

    Args:
        height: in pixels.
        x, y: name the axes, with their units.
        layout: what a figure has of its own, as plotly names it; merged into the style.
    """
    style: dict[str, Any] = {
        "template": TEMPLATE,
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 40, "b": 8} if narrow else {"l": 16, "r": 20, "t": 44, "b": 16},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
    }
    if narrow:
        style |= {"font": {"size": 12}, "legend": {"font": {"size": 11}}}
    return go.Figure(layout=_merged(style, layout))


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both; of what both have, the second's, and mappings merged likewise."""
    both = [key for key in second if isinstance(second[key], Mapping) and isinstance(first.get(key), Mapping)]
    return {**first, **second, **{key: _merged(first[key], second[key]) for key in both}}


def upright(x: float, **line: Any) -> dict[str, Any]:
    """A vertical line through the whole plot, as one of a layout's `shapes`."""
    return {"type": "line", "x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain", "line": line}


def level(y: float, **line: Any) -> dict[str, Any]:
    """A horizontal line through the whole plot, as one of a layout's `shapes`."""
    return {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y", "line": line}


def above(x: float, text: str, **font: Any) -> dict[str, Any]:
    """A text at the upper end of a vertical line, as one of a layout's `annotations`."""
    return {
        "x": x,
        "xref": "x",
        "xanchor": "center",
        "y": 1,
        "yref": "y domain",
        "yanchor": "bottom",
        "yshift": 4,
        "text": text,
        "showarrow": False,
        "font": font,
    }


def rung_lines(rungs: Sequence[int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A dotted vertical line for every rung of ASHA, and its name at the upper end: shapes and annotations."""
    lines = [upright(rung, color=MUTED, width=1, dash="dot") for rung in rungs]
    return lines, [above(rung, f"rung {rung}", color=MUTED, size=11) for rung in rungs]


def plain(text: object, longest: int = 60) -> str:
    """A name from data as text that plotly shows as it is: no markup, no line breaks, shortened in its middle."""
    words = " ".join(str(text).split())
    if len(words) > longest:
        words = f"{words[: longest // 2]}…{words[-(longest - longest // 2 - 1) :]}"
    return html.escape(words)


def thinned(trials: Sequence[TrialRecord], keep: int) -> list[TrialRecord]:
    """At most `keep` trials in order of number: the best third of `keep`, and an even sample of all others."""
    if len(trials) <= keep:
        return list(trials)
    ranked = sorted(trials, key=lambda trial: trial.rank)
    top, rest = ranked[: keep // 3], sorted(ranked[keep // 3 :], key=lambda trial: trial.number)
    wanted = keep - len(top)
    sample = [rest[index * len(rest) // wanted] for index in range(wanted)]
    return sorted([*top, *sample], key=lambda trial: trial.number)
