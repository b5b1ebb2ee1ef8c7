"""Groups: how well speakers of each gender, language, corpus or whatever the data name are recognised."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate, error_bars, value_column
from search.pages.figures._style import BLUE, INK, ORANGE, SURFACE, blank, level, plain
from search.run_folder.records import Value
from search.run_folder.run_score import headline_of
from search.run_folder.run_view import RunView
from search.run_folder.verdict import group_sentences
from ser_core.named_scores import Score

TITLE = "Groups: who is served worse"
SECTION, ORDER, WIDE = "Result", 27, False
EMPTY = "This needs test clips of two groups: genders, languages, corpora, sessions, or a column named with --groups."
ROW_PIXELS = 30


@dataclass(frozen=True)
class Group:
    """One group of a column: the score of the default model; `shown` when it differs from all others together."""

    column: str
    name: str
    clips: int
    speakers: int
    estimate: Estimate
    shown: bool


@dataclass(frozen=True, kw_only=True)
class GroupsInfo:
    """Groups, a column after another, and what there is to say of the columns."""

    groups: tuple[Group, ...]
    sentences: tuple[str, ...]
    score: Score


def info(run: RunView) -> GroupsInfo | None:
    """The groups in result.json."""
    if run.result is None:
        return None
    columns, score = run.result["test"].get("per_group", {}), headline_of(run.result)
    found = []
    for column, numbers in columns.items():
        shown = {each["group"] for each in numbers["differences"] if each["shown"]}
        found += [
            Group(column, name, own["clips"], own["speakers"], Estimate.of(own[score.name], "value"), name in shown)
            for name, own in numbers["groups"].items()
        ]
    if not found:
        return None
    return GroupsInfo(groups=tuple(found), sentences=tuple(group_sentences(run.result["test"], score)), score=score)


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
            info.score.column: info.score.cell(group.estimate.value),
            f"low{info.score.suffix}": info.score.cell(group.estimate.low),
            f"high{info.score.suffix}": info.score.cell(group.estimate.high),
            "difference_shown": group.shown,
        }
        for group in info.groups
    ]


def figure(info: GroupsInfo, *, narrow: bool = False) -> go.Figure:
    """A line per group with its interval; the column heads its groups."""
    score = info.score
    texts = {float(row): group.estimate.text(short=narrow, score=score) for row, group in enumerate(info.groups)}
    values, right = value_column(texts, narrow=narrow)
    firsts = [row for row, group in enumerate(info.groups) if row and group.column != info.groups[row - 1].column]
    drawn = blank(
        height=max(110 + ROW_PIXELS * len(info.groups), 200),
        narrow=narrow,
        x=score.axis,
        yaxis={
            "tickvals": list(range(len(info.groups))),
            "ticktext": [plain(f"{group.column} {group.name}", 14 if narrow else 34) for group in info.groups],
            "range": [len(info.groups) - 0.4, -0.6],
            "showgrid": False,
        },
        margin={"r": right},
        annotations=values,
        shapes=[level(row - 0.5, color=INK, width=0.5, dash="dot") for row in firsts],
        showlegend=True,
    )
    for shown, colour, symbol, name in (
        (True, ORANGE, "diamond", "differs from the others"),
        (False, BLUE, "circle", "no difference shown"),
    ):
        rows = [row for row, group in enumerate(info.groups) if group.shown is shown]
        groups = [info.groups[row] for row in rows]
        drawn.add_scatter(
            x=[score.cell(group.estimate.value) for group in groups],
            y=rows,
            customdata=[[plain(f"{group.column} {group.name}", 60), group.clips, group.speakers] for group in groups],
            error_x={**error_bars([group.estimate for group in groups], score), "color": colour},
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": SURFACE, "width": 1}},
            hovertemplate=f"%{{customdata[0]}}: %{{x:{score.hover}}}{score.unit}, %{{customdata[1]}} clips of "
            "%{customdata[2]} speaker(s)<extra></extra>",
        )
    return drawn
