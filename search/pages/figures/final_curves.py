"""Training curves of the finals: loss of finalists and refits, and the finalists' validation score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._style import BLUE, GREEN, MUTED, ORANGE, PURPLE, SLATE, blank
from search.run_folder.records import FinalRun, Phase, Value
from search.run_folder.run_view import RunView
from search.wording import count
from ser_core.named_scores import Score

TITLE = "Training curves of the finals: is the refit trained for long enough?"
SECTION, ORDER, WIDE = "Result", 60, False
EMPTY = "The finals have not begun."
MOST_POINTS = 60
"""Points of one curve; longer ones are sampled evenly, first and last kept."""
MOST_FINALISTS = 5
"""Finalists that are drawn: the winner, and those with the best scores."""
STYLES = ((BLUE, "solid"), (GREEN, "dash"), (PURPLE, "dot"), (SLATE, "dashdot"), (MUTED, "longdash"))
"""Colour and dashes of the finalists, the winner's first."""


@dataclass(frozen=True)
class Curve:
    """One training run; losses and the validation score after each of `epochs`, NaN where there is none."""

    phase: Phase
    trial: int
    seed: int
    epochs: tuple[int, ...]
    train_loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class FinalCurvesInfo:
    """Curves of the finalists in `trials`, the winner (or leader) first, and of the refits; `finalists` in the run."""

    curves: tuple[Curve, ...]
    trials: tuple[int, ...]
    finalists: int
    max_epochs: int
    score: Score

    def of(self, phase: Phase, trial: int | None = None) -> list[Curve]:
        return [c for c in self.curves if c.phase is phase and trial in (None, c.trial)]


def info(run: RunView) -> FinalCurvesInfo | None:
    """Runs of the finals with at least one epoch."""
    runs = [final for final in run.records.finals if final.epochs]
    if not runs:
        return None
    scores: dict[int, list[float]] = {}
    for final in runs:
        if final.phase is Phase.FINALIST and math.isfinite(final.value):
            scores.setdefault(final.trial, []).append(final.value)
    refitted = _refitted(run)
    ranked = sorted(scores, key=lambda trial: (trial != refitted, -sum(scores[trial]) / len(scores[trial]), trial))
    kept = ranked[:MOST_FINALISTS]
    return FinalCurvesInfo(
        curves=tuple(
            _curve(final)
            for final in runs
            if (final.trial == refitted if final.phase is Phase.REFIT else final.trial in kept)
        ),
        trials=tuple(kept),
        finalists=len(ranked),
        max_epochs=run.plan.max_epochs,
        score=run.plan.headline,
    )


def _refitted(run: RunView) -> int | None:
    """The winner; until it is known the trial whose refits were begun last, None without any."""
    if run.result is not None:
        winner: int = run.result["winner"]["trial"]
        return winner
    return next((final.trial for final in reversed(run.records.finals) if final.phase is Phase.REFIT), None)


def _curve(final: FinalRun) -> Curve:
    last = len(final.epochs) - 1
    points = min(last, MOST_POINTS - 1)
    epochs = [final.epochs[index] for index in sorted({round(i * last / max(1, points)) for i in range(points + 1)})]
    return Curve(
        phase=final.phase,
        trial=final.trial,
        seed=final.seed,
        epochs=tuple(e.epoch for e in epochs),
        train_loss=tuple(e.train_loss for e in epochs),
        val_loss=tuple(e.val_loss for e in epochs),
        values=tuple(final.scoring.value(e) for e in epochs),
    )


def reading(info: FinalCurvesInfo) -> str:
    """Where the refits end, and what of the finalists is drawn."""
    refits = info.of(Phase.REFIT)
    if refits:
        last = max(curve.epochs[-1] for curve in refits)
        losses = [curve.train_loss[-1] for curve in refits]
        text = f"The refits end after {count(last, 'epoch')} of at most {info.max_epochs} with a train loss of "
        text += f"{min(losses):.2f}" + (f" to {max(losses):.2f}" if max(losses) - min(losses) > 0.005 else "")
    else:
        text = f"{count(len(info.curves), 'run')} of the finals under way or done"
    if info.finalists > len(info.trials):
        text += f"; drawn are {len(info.trials)} of {info.finalists} finalists, the best"
    return text + "; the train loss is that of augmented clips."


def table(info: FinalCurvesInfo) -> list[dict[str, Value | None]]:
    """A row per run and epoch that is drawn."""
    return [
        {
            "phase": curve.phase.value,
            "trial": curve.trial,
            "seed": curve.seed,
            "epoch": epoch,
            "train_loss": _rounded(train),
            "val_loss": _rounded(loss),
            f"val_{info.score.column}": info.score.cell(value),
        }
        for curve in info.curves
        for epoch, train, loss, value in zip(curve.epochs, curve.train_loss, curve.val_loss, curve.values, strict=True)
    ]


def figure(info: FinalCurvesInfo, *, narrow: bool = False) -> go.Figure:
    """Three panels over the epochs: train loss, validation loss, validation score; a colour per configuration."""
    drawn = blank(
        height=560 if narrow else 520,
        narrow=narrow,
        x="epoch",
        y="train loss",
        xaxis={"range": [0.5, info.max_epochs + 0.5], "anchor": "y3"},
        yaxis={"domain": [0.7, 1]},
        yaxis2={"domain": [0.35, 0.65], "title": {"text": "val. loss"}},
        yaxis3={"domain": [0, 0.3], "title": {"text": f"val. {info.score.axis}"}},
    )
    groups: list[tuple[str, str, str, Sequence[Curve]]] = [
        (f"trial {trial}", colour, dash, info.of(Phase.FINALIST, trial))
        for trial, (colour, dash) in zip(info.trials, STYLES, strict=False)
    ]
    groups.append(("refit on train + validation", ORANGE, "solid", info.of(Phase.REFIT)))
    for name, colour, dash, curves in groups:
        for panel, values in enumerate(("train_loss", "val_loss", "values"), start=1):
            trace = _trace(name, curves, values, info.score)
            if any(value is not None for value in trace["y"]):
                line = {"color": colour, "dash": dash, "width": 2.5 if colour == ORANGE else 1.5}
                axis = "y" if panel == 1 else f"y{panel}"
                drawn.add_scatter(**trace, line=line, marker={"color": colour}, yaxis=axis, showlegend=panel == 1)
    return drawn


def _trace(name: str, curves: Sequence[Curve], values: str, score: Score) -> dict[str, Any]:
    """The curves of one configuration as one trace, parted by gaps."""
    x: list[int | None] = []
    y: list[float | None] = []
    seeds: list[int] = []
    for curve in curves:
        own: tuple[float, ...] = getattr(curve, values)
        x += [*curve.epochs, None]
        y += [*(score.cell(v) if values == "values" else _rounded(v) for v in own), None]
        seeds += [curve.seed] * (len(curve.epochs) + 1)
    unit = f"{values.replace('_', ' ')} %{{y:.3f}}"
    if values == "values":
        unit = f"validation {score.label} %{{y:{score.hover}}}{score.unit}"
    return {
        "x": x,
        "y": y,
        "customdata": seeds,
        "mode": "lines+markers" if any(len(curve.epochs) == 1 for curve in curves) else "lines",
        "name": name,
        "legendgroup": name,
        "hovertemplate": f"{name}, seed %{{customdata}}<br>epoch %{{x}}: {unit}<extra></extra>",
    }


def _rounded(loss: float) -> float | None:
    return round(loss, 4) if math.isfinite(loss) else None
