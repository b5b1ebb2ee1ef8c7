"""Importance: which knobs decide whether a configuration is among the best."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.figures._style import BLUE, SKY, blank, in_percent, plain
from search.records import Value
from search.view import RunView

TITLE = "Importance: which knobs decide about a good score"
SECTION, ORDER, WIDE = "Search", 40, False
EMPTY = "Importance needs at least ten trials with a score and two knobs that differ among them."


@dataclass(frozen=True, kw_only=True)
class ImportanceInfo:
    """Knob and its share of the importance in [0, 1], the greatest first."""

    shares: tuple[tuple[str, float], ...]


def info(run: RunView) -> ImportanceInfo | None:
    """The importance that came with the view."""
    if not run.importance:
        return None
    return ImportanceInfo(shares=tuple(sorted(run.importance.items(), key=lambda item: (-item[1], item[0]))))


def reading(info: ImportanceInfo) -> str:
    """The one or two knobs that carry most."""
    (name, share), *others = info.shares
    text = f"{name} carries {100 * share:.0f} % of the importance"
    if others:
        text += f", followed by {others[0][0]} with {100 * others[0][1]:.0f} %"
    return text + " (PED-ANOVA over complete and stopped trials: what sets the best ones apart)."


def table(info: ImportanceInfo) -> list[dict[str, Value | None]]:
    """A row per knob."""
    return [{"knob": name, "importance_percent": in_percent(share)} for name, share in info.shares]


def figure(info: ImportanceInfo, *, narrow: bool = False) -> go.Figure:
    """Horizontal bars, the greatest on top."""
    drawn = blank(height=90 + 30 * len(info.shares), narrow=narrow, x="share of the importance, %")
    shares = [round(100 * share, 1) for _, share in info.shares]
    drawn.add_bar(
        x=shares,
        y=[plain(name, 40) for name, _ in info.shares],
        orientation="h",
        marker={"color": [BLUE, BLUE, BLUE, *[SKY] * len(shares)][: len(shares)]},
        text=[f"{share:.0f} %" if share >= 1 else "under 1 %" for share in shares],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    drawn.update_layout(bargap=0.35, margin={"t": 10, "r": 56})
    drawn.update_yaxes(autorange="reversed", showgrid=False, title=None)
    drawn.update_xaxes(rangemode="tozero", nticks=6)
    return drawn
