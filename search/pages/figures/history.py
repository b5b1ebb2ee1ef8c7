"""Optimisation history: the score of every trial in order, the best so far, and the recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._style import FATES, INK, MUTED, ORANGE, SURFACE, blank
from search.run_folder.records import TrialState, Value
from search.run_folder.run_view import RunView
from search.wording import count, in_percent, percent

TITLE = "Optimisation history: the score of every trial"
SECTION, ORDER, WIDE = "Search", 10, True
EMPTY = "No trial has finished an epoch yet."


@dataclass(frozen=True)
class Point:
    """One trial: its best validation UAR in [0, 1] and the epoch of it."""

    number: int
    uar: float
    epoch: int
    state: TrialState
    origin: str


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """Trials with a score, in order; the best so far after each; the best recipe, if any was tried."""

    points: tuple[Point, ...]
    best_so_far: tuple[float, ...]
    recipe: Point | None
    without_score: int

    @property
    def best(self) -> Point | None:
        counted = (point for point in self.points if point.state is not TrialState.FAIL)
        return max(counted, key=lambda point: point.uar, default=None)  # of equals the first, as they are in order


def info(run: RunView) -> HistoryInfo | None:
    """Scores by trial number. A failed trial is shown with what it had reached, but never counts as the best."""
    trials = [run.records.trials[number] for number in sorted(run.records.trials)]
    points = tuple(
        Point(trial.number, trial.value, trial.best_epoch, trial.state, trial.origin)
        for trial in trials
        if math.isfinite(trial.value)
    )
    if not points:
        return None
    best_so_far, best = [], -math.inf
    for point in points:
        best = best if point.state is TrialState.FAIL else max(best, point.uar)
        best_so_far.append(best if math.isfinite(best) else math.nan)
    recipes = [point for point in points if point.origin == "first" and point.state is not TrialState.FAIL]
    return HistoryInfo(
        points=points,
        best_so_far=tuple(best_so_far),
        recipe=max(recipes, key=lambda point: point.uar, default=None),
        without_score=len(trials) - len(points),
    )


def reading(info: HistoryInfo) -> str:
    """The best trial and its distance from the recipe."""
    if info.best is None:
        return f"{count(len(info.points), 'trial')} reported a score, but every one of them failed afterwards."
    score = f"{percent(info.best.uar)} validation UAR at epoch {info.best.epoch}"
    text = f"The best trial is number {info.best.number} with {score}"
    if info.recipe is None:
        return text + "."
    if info.recipe.number == info.best.number:
        return text + "; it is the recipe, which no other trial has beaten."
    gain = 100 * (info.best.uar - info.recipe.uar)
    return f"{text}, {gain:.1f} points above the recipe ({percent(info.recipe.uar)})."


def table(info: HistoryInfo) -> list[dict[str, Value | None]]:
    """A row per trial with a score."""
    return [
        {
            "trial": point.number,
            "state": point.state.value,
            "origin": point.origin,
            "val_uar_percent": in_percent(point.uar),
            "best_epoch": point.epoch,
            "best_so_far_percent": in_percent(best),
        }
        for point, best in zip(info.points, info.best_so_far, strict=True)
    ]


def figure(info: HistoryInfo, *, narrow: bool = False) -> go.Figure:
    """Points by fate, a step line for the best so far, stars and a dashed line for the recipe.

    Diamonds are configurations of an earlier study.
    """
    drawn = blank(height=340 if narrow else 420, narrow=narrow, x="trial number", y="best validation UAR, %")
    for state, fate in FATES.items():
        points = [point for point in info.points if point.state is state]
        if points:
            drawn.add_scatter(
                x=[point.number for point in points],
                y=[round(100 * point.uar, 2) for point in points],
                customdata=[point.epoch for point in points],
                mode="markers",
                name=fate.label,
                marker={"color": fate.colour, "symbol": fate.symbol, "size": 8, "opacity": 0.85},
                hovertemplate=f"trial %{{x}}, {fate.label}<br>%{{y:.1f}} % at epoch %{{customdata}}<extra></extra>",
            )
    drawn.add_scatter(
        x=[point.number for point in info.points],
        y=[round(100 * best, 2) for best in info.best_so_far],
        mode="lines",
        name="best so far",
        line={"color": ORANGE, "width": 2.5, "shape": "hv"},
        hovertemplate="best after trial %{x}: %{y:.1f} %<extra></extra>",
    )
    _draw_origins(drawn, info)
    return drawn


def _draw_origins(drawn: go.Figure, info: HistoryInfo) -> None:
    for origin, name, symbol in (("first", "recipe", "star"), ("warm", "warm start", "diamond")):
        points = [point for point in info.points if point.origin == origin]
        if points:
            drawn.add_scatter(
                x=[point.number for point in points],
                y=[round(100 * point.uar, 2) for point in points],
                mode="markers",
                name=name,
                marker={"color": INK, "symbol": symbol, "size": 15, "line": {"color": SURFACE, "width": 1}},
                hovertemplate=f"{name} configuration, trial %{{x}}<br>%{{y:.1f}} %<extra></extra>",
            )
    if info.recipe is not None:
        drawn.add_hline(y=round(100 * info.recipe.uar, 2), line={"color": MUTED, "width": 1.5, "dash": "dash"})
