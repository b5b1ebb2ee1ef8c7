"""What all figures share: colours, markers, axes and the words for fates.

Colours are those of Okabe and Ito (2008), darkened or lightened until they stand out from their ground; fates differ
in marker and in lightness as well, so that no reading rests on hue alone. Figures are drawn in the light colours; a
page replaces each by its dark partner (`DARK`).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

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


def blank(*, height: int, narrow: bool, x: str = "", y: str = "") -> go.Figure:
    """An empty figure in the house style; `height` in pixels, `x` and `y` name the axes with their units."""
    figure = go.Figure()
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        margin={"l": 8, "r": 8, "t": 40, "b": 8} if narrow else {"l": 16, "r": 20, "t": 44, "b": 16},
        xaxis={"title": {"text": x}},
        yaxis={"title": {"text": y}},
    )
    if narrow:
        figure.update_layout(font={"size": 12}, legend={"font": {"size": 11}})
    return figure


def rung_lines(figure: go.Figure, rungs: Sequence[int]) -> None:
    """A dotted vertical line for every rung of ASHA, named at its upper end."""
    for rung in rungs:
        figure.add_vline(
            x=rung,
            line={"color": MUTED, "width": 1, "dash": "dot"},
            annotation={"text": f"rung {rung}", "font": {"color": MUTED, "size": 11}, "yshift": 4},
            annotation_position="top",
        )


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
