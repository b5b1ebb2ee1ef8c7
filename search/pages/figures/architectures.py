"""Architectures: where the time went in a search that chooses among several, and what it brought."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._knobs import evenly
from search.pages.figures._style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SLATE, SURFACE, blank, plain
from search.run_folder.architectures import architectures_of
from search.run_folder.records import RunRecords, Session, TrialRecord, TrialState, Value
from search.run_folder.run_view import RunView
from search.wording import NONE, count, duration, percent
from ser_core.named_scores import Score
from spaces.several import ARCHITECTURE, choice_of

TITLE = "Architectures: where the time went"
SECTION, ORDER, WIDE = "Search", 5, True
EMPTY = "No trial has ended yet."
MOST_POINTS = 300
"""Trials of one architecture that are drawn; of more an even sample."""

LINES = ((BLUE, "solid", "circle"), (ORANGE, "dash", "diamond"), (GREEN, "dot", "square"),
         (PURPLE, "dashdot", "triangle-up"), (SLATE, "longdash", "x"))  # fmt: skip
"""Colour, dash and marker of each architecture, so that none rests on hue alone; then from the start again."""


@dataclass(frozen=True)
class Point:
    """The end of a trial: seconds of the run's work until then, and what its architecture had had and reached by it.

    `spent` are seconds of training; `best` is a score, NaN before there is one.
    """

    trial: int
    elapsed: float
    spent: float
    best: float


@dataclass(frozen=True)
class Spending:
    """One architecture: its ended trials in the order of their ends."""

    name: str
    points: tuple[Point, ...]

    @property
    def seconds(self) -> float:
        return self.points[-1].spent if self.points else 0.0

    @property
    def best(self) -> float:
        return self.points[-1].best if self.points else math.nan


@dataclass(frozen=True, kw_only=True)
class ArchitecturesInfo:
    """All architectures of the space in its order. `winner` is that of the result, "" before there is one."""

    spendings: tuple[Spending, ...]
    winner: str
    score: Score

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.spendings)


def concerns(run: RunView) -> bool:
    """Only a search that chooses among several has something to divide."""
    return ARCHITECTURE in run.plan.space


def info(run: RunView) -> ArchitecturesInfo | None:
    """What each architecture had had when each of its trials ended."""
    if not concerns(run) or all(trial.ended is None for trial in run.records.trials.values()):
        return None
    return ArchitecturesInfo(
        spendings=tuple(_spending(name, run.records) for name in architectures_of(run.plan)),
        winner=str(run.result["winner"]["architecture"]) if run.result else "",
        score=run.plan.headline,
    )


def _spending(name: str, records: RunRecords) -> Spending:
    own = [trial for trial in records.trials.values() if choice_of(trial.params) == name]
    ended = sorted((trial.ended, trial.number) for trial in own if trial.ended is not None)
    zero = min(trial.started for trial in records.trials.values())
    points, spent, best = [], 0.0, math.nan
    for end, number in ended:
        trial = records.trials[number]
        spent += trial.setup_seconds + trial.train_seconds
        if _scored(trial):
            best = trial.value if math.isnan(best) else max(best, trial.value)
        points.append(Point(number, _worked(zero, end, records.sessions), spent, best))
    return Spending(name, tuple(points))


def _scored(trial: TrialRecord) -> bool:
    return trial.state is not TrialState.FAIL and math.isfinite(trial.value)


def _worked(start: float, end: float, sessions: Sequence[Session]) -> float:
    """Seconds between two moments in which the driver was at work."""
    within = (min(end, session.last) - max(start, session.started) for session in sessions)
    return sum(max(0.0, seconds) for seconds in within) if sessions else end - start


def reading(info: ArchitecturesInfo) -> str:
    """The share of each, and what it reached."""
    parts = []
    for each in sorted(info.spendings, key=lambda each: -each.seconds):
        share = percent(each.seconds / info.seconds) if info.seconds else NONE
        parts.append(
            f"{each.name} had {share} of it with {count(len(each.points), 'trial')}, best {info.score.text(each.best)}"
        )
    won = f" The winner is of {info.winner}." if info.winner else ""
    return f"Trials took {duration(info.seconds)} of training: {'; '.join(parts)}.{won}"


def table(info: ArchitecturesInfo) -> list[dict[str, Value | None]]:
    """A row per ended trial."""
    return [
        {
            "architecture": each.name,
            "trial": point.trial,
            "ended_after_seconds": round(point.elapsed, 1),
            "architecture_seconds": round(point.spent, 1),
            f"architecture_best_val_{info.score.column}": info.score.cell(point.best),
        }
        for each in info.spendings
        for point in each.points
    ]


def figure(info: ArchitecturesInfo, *, narrow: bool = False) -> go.Figure:
    """A line per architecture: the seconds that it had had by each moment of the search."""
    unit, name = (60.0, "min") if info.seconds >= 300 else (1.0, "s")
    drawn = blank(
        height=340 if narrow else 400,
        narrow=narrow,
        x=f"time of the search, {name}",
        y=f"spent on training, {name}",
        xaxis={"rangemode": "tozero"},
        yaxis={"rangemode": "tozero"},
        margin={"t": 72},
        legend={"y": 1.08, "font": {"color": MUTED}},
    )
    for index, each in enumerate(info.spendings):
        drawn.add_trace(_line(each, info.score, unit, name, LINES[index % len(LINES)]))
    return drawn


def _line(each: Spending, score: Score, unit: float, name: str, style: tuple[str, str, str]) -> go.Scatter:
    colour, dash, symbol = style
    points = [each.points[index] for index in evenly(len(each.points), MOST_POINTS)] if each.points else []
    marker: dict[str, Any] = {"symbol": symbol, "size": 7, "line": {"color": SURFACE, "width": 1}}
    best, label = [score.text(point.best) for point in points], plain(each.name)
    return go.Scatter(
        x=[0.0, *(round(point.elapsed / unit, 3) for point in points)],
        y=[0.0, *(round(point.spent / unit, 3) for point in points)],
        customdata=[["the start", NONE], *([f"trial {p.trial}", own] for p, own in zip(points, best, strict=True))],
        mode="lines+markers",
        name=f"{label}: {count(len(each.points), 'trial')}, {duration(each.seconds)}, best {score.text(each.best)}",
        line={"color": colour, "width": 2, "dash": dash, "shape": "hv"},
        marker={**marker, "color": colour},
        hovertemplate=f"{label}, %{{customdata[0]}}<br>%{{y:.1f}} {name}, best %{{customdata[1]}}<extra></extra>",
    )
