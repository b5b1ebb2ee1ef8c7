"""Optimisation history: the score of every trial in order, the best so far, and the recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._style import FATES, INK, MUTED, ORANGE, SURFACE, blank, level
from search.run_folder.records import TrialState, Value
from search.run_folder.run_view import RunView
from search.run_folder.standing import standing_order
from search.wording import count
from ser_core.named_scores import Score

TITLE = "Optimisation history: the score of every trial"
SECTION, ORDER, WIDE = "Search", 10, True
EMPTY = "No trial has finished an epoch yet."


@dataclass(frozen=True)
class Point:
    """One trial: its score, the epoch of its best validation, and its `standing_order`."""

    number: int
    value: float
    epoch: int
    state: TrialState
    origin: str
    order: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """Trials with a score, in order; the best so far after each; the best recipe, if any was tried."""

    points: tuple[Point, ...]
    best_so_far: tuple[float, ...]
    recipe: Point | None
    without_score: int
    score: Score

    @property
    def best(self) -> Point | None:
        counted = (point for point in self.points if point.state is not TrialState.FAIL)
        return min(counted, key=lambda point: point.order, default=None)


def info(run: RunView) -> HistoryInfo | None:
    """Scores by trial number. A failed trial is shown with what it had reached, but never counts as the best."""
    trials = [run.records.trials[number] for number in sorted(run.records.trials)]
    scored = [trial for trial in trials if math.isfinite(trial.value)]
    points = tuple(
        Point(trial.number, trial.value, trial.best_epoch, trial.state, trial.origin, standing_order(trial))
        for trial in scored
    )
    if not points:
        return None
    best_so_far, best = [], None
    for point in points:
        if point.state is not TrialState.FAIL:
            best = point if best is None else min(best, point, key=lambda each: each.order)
        best_so_far.append(math.nan if best is None else best.value)
    recipes = [point for point in points if point.origin == "first" and point.state is not TrialState.FAIL]
    return HistoryInfo(
        points=points,
        best_so_far=tuple(best_so_far),
        recipe=min(recipes, key=lambda point: point.order, default=None),
        without_score=len(trials) - len(points),
        score=run.plan.headline,
    )


def reading(info: HistoryInfo) -> str:
    """The best trial and its distance from the recipe."""
    if info.best is None:
        return f"{count(len(info.points), 'trial')} reported a score, but every one of them failed afterwards."
    score = info.score
    reached = f"{score.text(info.best.value)} validation {score.label} at epoch {info.best.epoch}"
    text = f"The best trial is number {info.best.number} with {reached}"
    if info.recipe is None:
        return text + "."
    if info.recipe.number == info.best.number:
        return text + "; it is the recipe, which no other trial has beaten."
    gain = score.distance(info.best.value - info.recipe.value)
    return f"{text}, {gain} above the recipe ({score.text(info.recipe.value)})."


def table(info: HistoryInfo) -> list[dict[str, Value | None]]:
    """A row per trial with a score."""
    return [
        {
            "trial": point.number,
            "state": point.state.value,
            "origin": point.origin,
            f"val_{info.score.column}": info.score.cell(point.value),
            "best_epoch": point.epoch,
            f"best_so_far{info.score.suffix}": info.score.cell(best),
        }
        for point, best in zip(info.points, info.best_so_far, strict=True)
    ]


def figure(info: HistoryInfo, *, narrow: bool = False) -> go.Figure:
    """Points by fate, a step line for the best so far, stars and a dashed line for the recipe.

    Diamonds are configurations of an earlier study.
    """
    score = info.score
    recipe = None if info.recipe is None else score.cell(info.recipe.value)
    drawn = blank(
        height=340 if narrow else 420,
        narrow=narrow,
        x="trial number",
        y=f"validation {score.axis}",
        shapes=[] if recipe is None else [level(recipe, color=MUTED, width=1.5, dash="dash")],
    )
    for state, fate in FATES.items():
        points = [point for point in info.points if point.state is state]
        if points:
            drawn.add_scatter(
                x=[point.number for point in points],
                y=[info.score.cell(point.value) for point in points],
                customdata=[point.epoch for point in points],
                mode="markers",
                name=fate.label,
                marker={"color": fate.colour, "symbol": fate.symbol, "size": 8, "opacity": 0.85},
                hovertemplate=f"trial %{{x}}, {fate.label}<br>%{{y:{score.hover}}}{score.unit} at epoch "
                "%{customdata}<extra></extra>",
            )
    drawn.add_scatter(
        x=[point.number for point in info.points],
        y=[score.cell(best) for best in info.best_so_far],
        mode="lines",
        name="best so far",
        line={"color": ORANGE, "width": 2.5, "shape": "hv"},
        hovertemplate=f"best after trial %{{x}}: %{{y:{score.hover}}}{score.unit}<extra></extra>",
    )
    _draw_origins(drawn, info)
    return drawn


def _draw_origins(drawn: go.Figure, info: HistoryInfo) -> None:
    for origin, name, symbol in (("first", "recipe", "star"), ("warm", "warm start", "diamond")):
        points = [point for point in info.points if point.origin == origin]
        if points:
            drawn.add_scatter(
                x=[point.number for point in points],
                y=[info.score.cell(point.value) for point in points],
                mode="markers",
                name=name,
                marker={"color": INK, "symbol": symbol, "size": 15, "line": {"color": SURFACE, "width": 1}},
                hovertemplate=f"{name} configuration, trial %{{x}}<br>%{{y:{info.score.hover}}}{info.score.unit}"
                "<extra></extra>",
            )
