"""Importance: which knobs decide whether a configuration is among the best."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._style import BLUE, INK, SKY, blank, plain
from search.run_folder.records import Value
from search.run_folder.run_view import RunView, Share
from search.wording import in_percent

TITLE = "Importance: which knobs decide about a good score"
SECTION, ORDER, WIDE = "Search", 40, False
EMPTY = "Importance needs at least ten trials with a score and two knobs that differ among them."


@dataclass(frozen=True, kw_only=True)
class ImportanceInfo:
    """Knob and its share of the importance with its interval, the greatest first."""

    shares: tuple[tuple[str, Share], ...]


def info(run: RunView) -> ImportanceInfo | None:
    """The importance that came with the view."""
    if not run.importance:
        return None
    return ImportanceInfo(shares=tuple(sorted(run.importance.items(), key=lambda item: (-item[1].value, item[0]))))


def reading(info: ImportanceInfo) -> str:
    """The one or two knobs that carry most, and whether their order is certain."""
    (name, share), *others = info.shares
    text = f"{name} carries {_share_text(share)} of the importance"
    if others:
        second, runner_up = others[0]
        text += f", followed by {second} with {_share_text(runner_up)}"
        if any(other.high >= share.low for _, other in others):
            text += "; the intervals overlap, so the order is not certain"
    return text + ". PED-ANOVA over complete and stopped trials: what sets the best ones apart; 95 % by bootstrap."


def _share_text(share: Share) -> str:
    return f"{100 * share.value:.0f} % (95 % interval {100 * share.low:.0f} to {100 * share.high:.0f} %)"


def table(info: ImportanceInfo) -> list[dict[str, Value | None]]:
    """A row per knob."""
    return [
        {
            "knob": name,
            "importance_percent": in_percent(share.value),
            "low_percent": in_percent(share.low),
            "high_percent": in_percent(share.high),
        }
        for name, share in info.shares
    ]


def figure(info: ImportanceInfo, *, narrow: bool = False) -> go.Figure:
    """Horizontal bars, the greatest on top, with their intervals; the figures stand behind the intervals."""
    names = [plain(name, 40) for name, _ in info.shares]
    values, lows, highs = (
        [round(100 * number, 1) for number in numbers]
        for numbers in zip(*((share.value, share.low, share.high) for _, share in info.shares), strict=True)
    )
    drawn = blank(
        height=90 + 34 * len(info.shares),
        narrow=narrow,
        x="share of the importance, %",
        xaxis={"range": [0, max(highs) * 1.02], "nticks": 6},
        yaxis={"autorange": "reversed", "showgrid": False, "title": None},
        bargap=0.4,
        margin={"t": 10, "r": 64},
    )
    drawn.add_bar(
        x=values,
        y=names,
        customdata=list(zip(lows, highs, strict=True)),
        orientation="h",
        marker={"color": [BLUE, BLUE, BLUE, *[SKY] * len(values)][: len(values)]},
        error_x={
            "array": [round(high - value, 1) for high, value in zip(highs, values, strict=True)],
            "arrayminus": [round(value - low, 1) for low, value in zip(lows, values, strict=True)],
            "color": INK,
            "thickness": 1.5,
            "width": 5,
        },
        hovertemplate="%{y}: %{x:.1f} %<br>95 % interval %{customdata[0]} to %{customdata[1]} %<extra></extra>",
        showlegend=False,
    )
    drawn.add_scatter(
        x=highs,
        y=names,
        text=[f"  {100 * s.value:.0f} %" if s.value >= 0.01 else "  under 1 %" for _, s in info.shares],
        mode="text",
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    return drawn
