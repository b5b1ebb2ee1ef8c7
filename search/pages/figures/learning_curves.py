"""Learning curves: the validation score after every epoch, coloured by what became of the trial."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._style import FATES, MUTED, ORANGE, SURFACE, Fate, blank, rung_lines, thinned, upright
from search.run_folder.architectures import schedules
from search.run_folder.records import TrialRecord, TrialState, Value
from search.run_folder.run_view import RunView
from search.run_folder.standing import best_trial
from search.wording import count
from ser_core.named_scores import Score

TITLE = "Learning curves: how the score grows, and where trials were stopped"
SECTION, ORDER, WIDE = "Search", 20, True
EMPTY = "No trial has finished an epoch yet."
MOST_CURVES = 200
MOST_POINTS = 60
"""Points of one curve; longer ones are sampled evenly, first and last kept."""


@dataclass(frozen=True)
class Curve:
    """One trial: epochs and the validation score after each."""

    number: int
    state: TrialState
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CurvesInfo:
    """The curves that are drawn, out of `trials` that have one; `best` is the number of the best trial.

    Where folds are trained one after another, each epoch is about its own fold; `fold_ends` are their last epochs.
    """

    curves: tuple[Curve, ...]
    trials: int
    best: int | None
    best_epoch: int
    best_value: float
    rungs: tuple[int, ...]
    max_epochs: int
    score: Score
    fold_ends: tuple[int, ...] = ()


def info(run: RunView) -> CurvesInfo | None:
    """Curves of at most `MOST_CURVES` trials: the best third of them, and an even sample of the rest."""
    with_epochs = [run.records.trials[number] for number in sorted(run.records.trials)]
    with_epochs = [trial for trial in with_epochs if trial.epochs]
    if not with_epochs:
        return None
    best, epochs, folds = best_trial(run.records), schedules(run.plan), run.plan.folds_in_turn
    return CurvesInfo(
        curves=tuple(_curve(trial) for trial in thinned(with_epochs, MOST_CURVES)),
        trials=len(with_epochs),
        best=best.number if best else None,
        best_epoch=best.best_epoch if best else 0,
        best_value=best.value if best else float("nan"),
        score=run.plan.headline,
        rungs=run.rungs,
        max_epochs=run.plan.trial_epochs,
        fold_ends=tuple(fold * epochs for fold in range(1, folds)) if isinstance(epochs, int) else (),
    )


def _curve(trial: TrialRecord) -> Curve:
    last = len(trial.epochs) - 1
    points = min(last, MOST_POINTS - 1)
    kept = sorted({round(index * last / points) for index in range(points + 1)}) if points else [0]
    epochs = [trial.epochs[index] for index in kept]
    values = tuple(trial.scoring.value(report) for report in epochs)
    return Curve(trial.number, trial.state, tuple(report.epoch for report in epochs), values)


def reading(info: CurvesInfo) -> str:
    """Where the best trial peaked, and how many curves are drawn when not all are."""
    text = "Every trial with an epoch failed."
    if info.best is not None:
        peak = f"{info.score.text(info.best_value)} after {count(info.best_epoch, 'epoch')}"
        text = f"The best trial, number {info.best}, peaked at {peak} of at most {info.max_epochs}."
        if info.fold_ends:
            text = (
                f"The best trial, number {info.best}, scores {info.score.text(info.best_value)} over the clips of its "
                f"complete folds together. A curve is about one fold at a time; thin lines part the folds."
            )
    if info.trials > len(info.curves):
        text += f" Drawn are {len(info.curves)} of {info.trials:,} trials: the best, and an even sample of the others."
    return text


def table(info: CurvesInfo) -> list[dict[str, Value | None]]:
    """A row per point that is drawn."""
    column = f"val_{info.score.column}"
    return [
        {"trial": curve.number, "state": curve.state.value, "epoch": epoch, column: info.score.cell(value)}
        for curve in info.curves
        for epoch, value in zip(curve.epochs, curve.values, strict=True)
    ]


def figure(info: CurvesInfo, *, narrow: bool = False) -> go.Figure:
    """One trace per fate, its curves parted by gaps; the best trial on top."""
    lines, names = rung_lines(info.rungs)
    drawn = blank(
        height=360 if narrow else 460,
        narrow=narrow,
        x="epoch",
        y=f"validation {info.score.axis}",
        xaxis={"range": [0.5, info.max_epochs + 0.5]},
        margin={"t": 72},
        legend={"y": 1.08},
        shapes=[*(upright(end + 0.5, color=MUTED, width=1) for end in info.fold_ends), *lines],
        annotations=names,
    )
    for state, fate in FATES.items():
        curves = [curve for curve in info.curves if curve.state is state and curve.number != info.best]
        if curves:
            drawn.add_trace(_curves_trace(curves, fate, info.score))
    best = next((curve for curve in info.curves if curve.number == info.best), None)
    if best is not None:
        drawn.add_scatter(
            x=best.epochs,
            y=[_drawn(value, info.score) for value in best.values],
            mode="lines+markers",
            name=f"best: trial {best.number}",
            line={"color": ORANGE, "width": 3},
            marker={"symbol": "diamond", "size": 6, "line": {"color": SURFACE, "width": 1}},
            hovertemplate=f"trial {best.number}, epoch %{{x}}: %{{y:{info.score.hover}}}{info.score.unit}"
            "<extra></extra>",
        )
    return drawn


def _curves_trace(curves: list[Curve], fate: Fate, score: Score) -> go.Scatter:
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int] = []
    for curve in curves:
        x += [*curve.epochs, None]
        y += [*(_drawn(value, score) for value in curve.values), None]
        numbers += [curve.number] * (len(curve.epochs) + 1)
    few = len(curves) <= 20
    return go.Scatter(
        x=x,
        y=y,
        customdata=numbers,
        mode="lines+markers" if len(curves) == 1 or any(len(curve.epochs) == 1 for curve in curves) else "lines",
        name=fate.label,
        line={"color": fate.colour, "width": 1.6 if few else 1.1},
        marker={"symbol": fate.symbol, "size": 5},
        opacity=0.9 if few else 0.5,
        hovertemplate=f"trial %{{customdata}}, {fate.label}<br>epoch %{{x}}: %{{y:{score.hover}}}{score.unit}"
        "<extra></extra>",
    )


def _drawn(value: float, score: Score) -> float:
    """With as many digits as a page of many curves can afford."""
    return round(score.scaled(value), 1 if score.percent else 3)
