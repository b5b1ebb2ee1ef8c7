"""Groups: how well speakers of each gender, language, corpus or whatever the data name are recognised."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate, error_bars, value_column
from search.pages.figures._style import BLUE, INK, ORANGE, SURFACE, blank, plain
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.run_folder.verdict import group_sentences
from search.wording import in_percent

TITLE = "Groups: who is served worse"
SECTION, ORDER, WIDE = "Result", 27, False
EMPTY = "This needs test clips of two groups: genders, languages, corpora, sessions, or a column named with --groups."
ROW_PIXELS = 30


@dataclass(frozen=True)
class Group:
    """One group of a column: UAR of the default model in [0, 1]; `shown` when it differs from all others together."""

    column: str
    name: str
    clips: int
    speakers: int
    uar: Estimate
    shown: bool


@dataclass(frozen=True, kw_only=True)
class GroupsInfo:
    """Groups, a column after another, and what there is to say of the columns."""

    groups: tuple[Group, ...]
    sentences: tuple[str, ...]


def info(run: RunView) -> GroupsInfo | None:
    """The groups in result.json."""
    columns = {} if run.result is None else run.result["test"].get("per_group", {})
    found = []
    for column, numbers in columns.items():
        shown = {each["group"] for each in numbers["differences"] if each["shown"]}
        found += [
            Group(column, name, own["clips"], own["speakers"], Estimate.of(own["uar"], "value"), name in shown)
            for name, own in numbers["groups"].items()
        ]
    if not found or run.result is None:
        return None
    return GroupsInfo(groups=tuple(found), sentences=tuple(group_sentences(run.result["test"])))


def reading(info: GroupsInfo) -> str:
    """The worst group of every column."""
    return " ".join(info.sentences)


def table(info: GroupsInfo) -> list[dict[str, Value | None]]:
    """A row per group."""
    return [
        {
            "column": group.column,
            "group": group.name,
            "clips": group.clips,
            "speakers": group.speakers,
            "uar_percent": in_percent(group.uar.value),
            "low_percent": in_percent(group.uar.low),
            "high_percent": in_percent(group.uar.high),
            "difference_shown": group.shown,
        }
        for group in info.groups
    ]


def figure(info: GroupsInfo, *, narrow: bool = False) -> go.Figure:
    """A line per group with its interval; the column heads its groups."""
    drawn = blank(height=max(110 + ROW_PIXELS * len(info.groups), 200), narrow=narrow, x="UAR, %")
    for shown, colour, symbol, name in (
        (True, ORANGE, "diamond", "differs from the others"),
        (False, BLUE, "circle", "no difference shown"),
    ):
        rows = [row for row, group in enumerate(info.groups) if group.shown is shown]
        groups = [info.groups[row] for row in rows]
        drawn.add_scatter(
            x=[round(100 * group.uar.value, 2) for group in groups],
            y=rows,
            customdata=[[plain(f"{group.column} {group.name}", 60), group.clips, group.speakers] for group in groups],
            error_x={**error_bars([group.uar for group in groups]), "color": colour},
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": SURFACE, "width": 1}},
            hovertemplate="%{customdata[0]}: %{x:.1f} %, %{customdata[1]} clips of %{customdata[2]} "
            "speaker(s)<extra></extra>",
        )
    value_column(drawn, {row: group.uar.text(short=narrow) for row, group in enumerate(info.groups)}, narrow=narrow)
    firsts = [row for row, group in enumerate(info.groups) if row and group.column != info.groups[row - 1].column]
    for row in firsts:
        drawn.add_hline(y=row - 0.5, line={"color": INK, "width": 0.5, "dash": "dot"})
    drawn.update_yaxes(
        tickvals=list(range(len(info.groups))),
        ticktext=[plain(f"{group.column} {group.name}", 14 if narrow else 34) for group in info.groups],
        range=[len(info.groups) - 0.4, -0.6],
        showgrid=False,
    )
    drawn.update_layout(showlegend=True)
    return drawn
