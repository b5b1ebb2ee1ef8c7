"""Contours: the score over the two most important knobs together, as far as trials have been there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.pages.figures._knobs import Scale, evenly, scale_of
from search.pages.figures._style import FATES, INK, MUTED, ORANGE, SCALE, SURFACE, blank, plain
from search.run_folder.records import TrialState, Value
from search.run_folder.run_view import RunView
from search.run_folder.standing import best_trial
from search.wording import count, value_text
from ser_core.named_scores import Score

TITLE = "Contours: the score over the two most important knobs"
SECTION, ORDER, WIDE = "Search", 45, False
FEWEST_TRIALS = 10
EMPTY = f"Contours need at least {FEWEST_TRIALS} ended trials with a score that have both of the most important knobs."
MOST_TRIALS = 400
STEPS = 40
BANDWIDTHS = (0.03, 0.05, 0.08, 0.12, 0.18, 0.27, 0.4, 0.6)
"""Widths of the kernel that are tried, as shares of a knob's range."""
SHADES = [[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)]
FARTHEST = 0.2
"""A place as far as this from every trial is left blank, in shares of the ranges."""


@dataclass(frozen=True)
class Spot:
    """One trial: values of both knobs, and where it is drawn."""

    number: int
    state: TrialState
    x: Value
    y: Value
    at: tuple[float, float]
    reached: float


@dataclass(frozen=True, kw_only=True)
class ContourInfo:
    """The map `values[row][column]` over places of `y` and `x`, and the trials it is made of; None where none is near.

    `explained` is the share of the variance of left-out scores that the map predicts, at most 1; below 0 it predicts
    worse than their mean.
    """

    x: Scale
    y: Scale
    columns: tuple[float, ...]
    rows: tuple[float, ...]
    values: tuple[tuple[float | None, ...], ...]
    spots: tuple[Spot, ...]
    explained: float
    best: int | None
    score: Score


def info(run: RunView) -> ContourInfo | None:
    """The map of the two knobs that carry most, a choice upright; of very many trials an even sample and the best."""
    if run.importance is None:
        return None
    space = run.plan.space
    x, y = (scale_of(name, space[name]) for name in list(run.importance)[:2])
    if x.choices and not y.choices:
        x, y = y, x
    best = best_trial(run.records)
    spots = _spots(run, x, y)
    places = np.array([(x.place(spot.x), y.place(spot.y)) for spot in spots]).reshape(-1, 2)
    reached = np.array([spot.reached for spot in spots])
    if len(spots) < FEWEST_TRIALS or any(np.ptp(row) == 0 for row in (*places.T, reached)):
        return None
    split = (bool(x.choices), bool(y.choices))
    bandwidth, explained = _best_bandwidth(places, reached, split)
    columns, rows = _places(x), _places(y)
    grid = np.array([(column, row) for row in rows for column in columns])
    squared = _squared(grid, places, split)
    drawn = _smooth(squared, reached, bandwidth).reshape(len(rows), len(columns))
    near = squared.min(axis=1).reshape(drawn.shape) < FARTHEST**2
    return ContourInfo(
        x=x,
        y=y,
        columns=tuple(columns),
        rows=tuple(rows),
        values=tuple(
            tuple(float(value) if seen else None for value, seen in zip(*both, strict=True))
            for both in zip(drawn, near, strict=True)
        ),
        spots=tuple(spots),
        explained=explained,
        best=best.number if best else None,
        score=run.plan.headline,
    )


def _spots(run: RunView, x: Scale, y: Scale) -> list[Spot]:
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    trials = [run.records.trials[number] for number in sorted(run.records.trials)]
    trials = [t for t in trials if t.state in ended and math.isfinite(t.value) and {x.knob, y.knob} <= t.params.keys()]
    if not trials:
        return []
    best = min(range(len(trials)), key=lambda index: trials[index].rank)
    spots = []
    for index in sorted({*map(int, evenly(len(trials), MOST_TRIALS)), best}):
        trial = trials[index]
        first, second = trial.params[x.knob], trial.params[y.knob]
        at = (x.place(first) + x.spread(trial.number), y.place(second) + y.spread(trial.number))
        spots.append(Spot(trial.number, trial.state, first, second, at, trial.value))
    return spots


def _places(scale: Scale) -> list[float]:
    return [place for place, _ in scale.ticks()] if scale.choices else [float(p) for p in np.linspace(0, 1, STEPS)]


# -- the map: a kernel average over the trials (Nadaraya 1964, Watson 1964) --------------------------------------------


def _squared(at: np.ndarray, places: np.ndarray, choice: tuple[bool, bool]) -> np.ndarray:
    """(points, trials) squared distances in shares of the ranges; another choice is infinitely far."""
    gaps = (at[:, None, :] - places[None, :, :]) ** 2  # (points, trials, 2)
    for axis in (0, 1):
        if choice[axis]:
            gaps[..., axis] = np.where(gaps[..., axis] > 1e-9, np.inf, 0.0)
    return np.asarray(gaps.sum(axis=-1))


def _smooth(squared: np.ndarray, values: np.ndarray, bandwidth: float) -> np.ndarray:
    """(points,) weighted means; where every trial is of another choice, the mean of all."""
    nearest = squared.min(axis=1, keepdims=True)
    alone = ~np.isfinite(nearest)
    exponent = (np.where(alone, 0.0, squared) - np.where(alone, 0.0, nearest)) / (2 * bandwidth**2)
    weights = np.exp(-exponent)  # the nearest trial weighs 1, so that no sum is zero
    return np.asarray(weights @ values / weights.sum(axis=1))


def _best_bandwidth(places: np.ndarray, values: np.ndarray, choice: tuple[bool, bool]) -> tuple[float, float]:
    """The bandwidth that best predicts each score from all others, and the share of their variance that it predicts."""
    squared = _squared(places, places, choice)
    np.fill_diagonal(squared, np.inf)
    errors = [float(((_smooth(squared, values, width) - values) ** 2).mean()) for width in BANDWIDTHS]
    best = int(np.argmin(errors))
    return BANDWIDTHS[best], 1 - errors[best] / float(values.var())


# -- words and drawing -------------------------------------------------------------------------------------------------


def reading(info: ContourInfo) -> str:
    """Where the map is highest, and what it is worth."""
    peak, row, column = max(
        (value, row, column)
        for row, line in enumerate(info.values)
        for column, value in enumerate(line)
        if value is not None
    )
    where = f"{info.x.knob} near {info.x.value(info.columns[column])} and {info.y.knob} "
    where += f"{'=' if info.y.choices else 'near'} {info.y.value(info.rows[row])}"
    worth = f"it predicts {100 * info.explained:.0f} % of the variance of scores that it has not seen"
    if info.explained <= 0:
        worth = "but these two knobs alone predict no unseen score better than the mean does"
    return (
        f"The average over {count(len(info.spots), 'trial')} is highest, {info.score.text(peak)}, with {where}; "
        f"{worth}. Blank: no trial near."
    )


def table(info: ContourInfo) -> list[dict[str, Value | None]]:
    """A row per trial."""
    return [
        {
            "trial": spot.number,
            info.x.knob: spot.x,
            info.y.knob: spot.y,
            f"val_{info.score.column}": info.score.cell(spot.reached),
            "state": spot.state.value,
        }
        for spot in info.spots
    ]


def figure(info: ContourInfo, *, narrow: bool = False) -> go.Figure:
    """The map in shades, contours where both knobs are numbers, and every trial in the shade of its own score."""
    labels = [plain(scale.knob, 40) for scale in (info.x, info.y)]
    drawn = blank(
        height=380 if narrow else 440,
        narrow=narrow,
        x=labels[0],
        y=labels[1],
        xaxis=_axis(info.x, narrow=narrow),
        yaxis=_axis(info.y, narrow=narrow),
    )
    score, reached = info.score, [_shade(spot.reached, info.score) for spot in info.spots]
    span = {"zmin": min(reached), "zmax": max(reached)}
    grid = {
        "x": [round(place, 4) for place in info.columns],
        "y": [round(place, 4) for place in info.rows],
        "z": [[None if value is None else _shade(value, score) for value in row] for row in info.values],
        "hovertemplate": f"average %{{z:{score.hover}}}{score.unit}<extra></extra>",
        "colorbar": {"title": {"text": score.axis}, "thickness": 12, "outlinewidth": 0, "tickfont": {"color": MUTED}},
        "colorscale": SHADES,
        **span,
    }
    if info.x.choices or info.y.choices:
        drawn.add_heatmap(**grid, ygap=3, xgap=3 if info.x.choices else 0)
    else:
        drawn.add_contour(**grid, contours={"coloring": "heatmap"}, line={"width": 0.7, "color": SURFACE})
    for state in (TrialState.PRUNED, TrialState.COMPLETE):
        spots = [spot for spot in info.spots if spot.state is state and spot.number != info.best]
        if spots:
            drawn.add_scatter(**_markers(spots, info, FATES[state].label, FATES[state].symbol, span))
    best = [spot for spot in info.spots if spot.number == info.best]
    if best:
        drawn.add_scatter(**_markers(best, info, "best trial", "star", span))
    return drawn


def _markers(
    spots: Sequence[Spot], info: ContourInfo, name: str, symbol: str, span: dict[str, float]
) -> dict[str, Any]:
    marker: dict[str, Any] = {"symbol": symbol, "size": 7, "line": {"color": INK, "width": 1}}
    if name == "best trial":
        marker |= {"color": ORANGE, "size": 16, "line": {"color": SURFACE, "width": 1}}
    else:
        marker |= {"color": [_shade(spot.reached, info.score) for spot in spots], "colorscale": SHADES}
        marker |= {"cmin": span["zmin"], "cmax": span["zmax"]}
    knobs = (plain(info.x.knob, 40), plain(info.y.knob, 40))
    return {
        "x": [round(spot.at[0], 4) for spot in spots],
        "y": [round(spot.at[1], 4) for spot in spots],
        "text": [
            f"trial {spot.number}: {info.score.text(spot.reached)}<br>{knobs[0]} = {plain(value_text(spot.x), 24)}"
            f"<br>{knobs[1]} = {plain(value_text(spot.y), 24)}"
            for spot in spots
        ],
        "mode": "markers",
        "name": name,
        "marker": marker,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _shade(value: float, score: Score) -> float:
    """A value as its shade shows it."""
    return round(score.scaled(value), 1 if score.percent else 3)


def _axis(scale: Scale, *, narrow: bool) -> dict[str, Any]:
    ticks = scale.ticks()
    return {
        "range": [-0.02, 1.02],
        "tickvals": [round(place, 4) for place, _ in ticks],
        "ticktext": [plain(text, 10 if narrow else 16) for _, text in ticks],
        "showgrid": False,
    }
