"""Rank agreement: from which epoch on the order of the trials is the final one, so that stopping by it is safe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from search.pages.figures._style import BLUE, MUTED, ORANGE, SKY, SURFACE, blank, rung_lines
from search.run_folder.records import TrialState, Value
from search.run_folder.run_view import RunView
from search.run_folder.rungs import GRACE_SPEARMAN, GRACE_TRIALS, agreement_with_end, padded
from search.wording import count

TITLE = "Rank agreement: how early the order of trials is the final one"
SECTION, ORDER, WIDE = "Search", 35, False
EMPTY = f"Rank agreement needs at least {GRACE_TRIALS} complete trials with scores that differ."
RESAMPLES = 200
MOST_TRIALS = 200
"""Complete trials that are compared: the interval is narrow by then, and its cost grows with them."""
MOST_POINTS = 40


@dataclass(frozen=True)
class Agreement:
    """After one epoch: Spearman's coefficient with the final order, and its 95 % interval over resampled trials."""

    epoch: int
    spearman: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class AgreementInfo:
    """Epochs before the last one, ascending, as far as they rank the `trials` complete trials; the rungs of ASHA.

    `trusted` is the first epoch from which on the coefficient stays at or above the threshold, None when there is none.
    """

    epochs: tuple[Agreement, ...]
    trials: int
    rungs: tuple[int, ...]
    max_epochs: int
    trusted: int | None

    @property
    def at_rungs(self) -> tuple[Agreement, ...]:
        return tuple(agreement for agreement in self.epochs if agreement.epoch in self.rungs)


def info(run: RunView) -> AgreementInfo | None:
    """Agreement over the complete trials, of very many over an even sample of them."""
    trials = [run.records.trials[number] for number in sorted(run.records.trials)]
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE and math.isfinite(trial.value)]
    step = math.ceil(len(complete) / MOST_TRIALS)
    compared, budget = complete[:: step or 1], run.plan.trial_epochs
    if len(compared) < GRACE_TRIALS or budget < 2:
        return None
    scores = padded([trial.scoring.so_far(trial.epochs) for trial in compared], budget)
    spearman = agreement_with_end(scores)
    if not np.isfinite(spearman[:-1]).any():
        return None
    kept = _kept_epochs(budget, run.rungs)
    low, high = _interval(scores[:, [*(epoch - 1 for epoch in kept), -1]])
    epochs = tuple(
        Agreement(epoch, float(spearman[epoch - 1]), float(bottom), float(top))
        for epoch, bottom, top in zip(kept, low, high, strict=True)
        if math.isfinite(spearman[epoch - 1])
    )
    return AgreementInfo(
        epochs=epochs,
        trials=len(compared),
        rungs=run.rungs,
        max_epochs=budget,
        trusted=_trusted(spearman[:-1]),
    )


def _kept_epochs(max_epochs: int, rungs: Sequence[int]) -> list[int]:
    """At most `MOST_POINTS` epochs spread evenly over those before the last one, and the rungs."""
    even = np.linspace(1, max_epochs - 1, min(MOST_POINTS, max_epochs - 1)).round().astype(int)
    return sorted({*map(int, even), *rungs})


def _interval(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval for every column but the last; the same trials give the same interval."""
    rng = np.random.default_rng(0)
    draws = np.array(
        [agreement_with_end(scores[rng.integers(0, len(scores), len(scores))])[:-1] for _ in range(RESAMPLES)]
    )  # (resamples, epochs); NaN where all that were drawn are alike
    known = np.isfinite(draws).any(axis=0)
    low, high = np.full(draws.shape[1], math.nan), np.full(draws.shape[1], math.nan)
    low[known], high[known] = np.nanquantile(draws[:, known], (0.025, 0.975), axis=0)
    return low, high


def _trusted(spearman: np.ndarray) -> int | None:
    below = np.flatnonzero(~(spearman >= GRACE_SPEARMAN))
    first = int(below[-1]) + 2 if len(below) else 1
    return first if first <= len(spearman) else None


def reading(info: AgreementInfo) -> str:
    """What the first rung is worth, and where trust begins."""
    text = "No epoch before the last one"
    if info.trusted is not None:
        text = f"From epoch {info.trusted} on, the order"
    text += f" agrees with the final one of {count(info.trials, 'complete trial')} at Spearman {GRACE_SPEARMAN} or more"
    if info.at_rungs:
        rung = info.at_rungs[0]
        text += (
            f"; at the first rung, epoch {rung.epoch}, it is {rung.spearman:.2f} "
            f"(95 % interval {rung.low:.2f} to {rung.high:.2f})"
        )
    caution = ". These trials are the ones that ASHA let through; over all of them agreement is likely to be higher."
    return text + (caution if info.rungs else ".")


def table(info: AgreementInfo) -> list[dict[str, Value | None]]:
    """A row per epoch that is drawn."""
    return [
        {
            "epoch": agreement.epoch,
            "spearman": round(agreement.spearman, 4),
            "low": round(agreement.low, 4),
            "high": round(agreement.high, 4),
            "rung": agreement.epoch in info.rungs,
        }
        for agreement in info.epochs
    ]


def figure(info: AgreementInfo, *, narrow: bool = False) -> go.Figure:
    """A line within its band; rungs are dotted lines with diamonds, and the threshold is dashed."""
    lines, names = rung_lines(info.rungs)
    lowest = min(0.0, *(agreement.low for agreement in info.epochs if math.isfinite(agreement.low)))
    drawn = blank(
        height=340 if narrow else 380,
        narrow=narrow,
        x="epoch",
        y="Spearman's coefficient with the final order",
        xaxis={"range": [0.5, info.max_epochs + 0.5]},
        yaxis={"range": [lowest - 0.05, 1.05]},
        margin={"t": 72},
        legend={"y": 1.1},
        shapes=lines,
        annotations=names,
    )
    x = [agreement.epoch for agreement in info.epochs]
    edges = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    drawn.add_scatter(x=x, y=[round(agreement.low, 3) for agreement in info.epochs], **edges)
    high = [round(agreement.high, 3) for agreement in info.epochs]
    band = {"fill": "tonexty", "fillcolor": SKY, "name": "95 % interval", "showlegend": True}
    drawn.add_scatter(x=x, y=high, **{**edges, **band})
    drawn.add_scatter(x=x, **_points(info.epochs), mode="lines", name="agreement", line={"color": BLUE, "width": 2.5})
    if info.at_rungs:
        marker = {"color": ORANGE, "symbol": "diamond", "size": 11, "line": {"color": SURFACE, "width": 1}}
        rungs = [agreement.epoch for agreement in info.at_rungs]
        drawn.add_scatter(x=rungs, **_points(info.at_rungs), mode="markers", name="at a rung", marker=marker)
    drawn.add_hline(
        y=GRACE_SPEARMAN,
        line={"color": MUTED, "width": 1.5, "dash": "dash"},
        annotation={"text": f"trusted from {GRACE_SPEARMAN}", "font": {"color": MUTED, "size": 11}},
        annotation_position="bottom right",
    )
    return drawn


def _points(agreements: Sequence[Agreement]) -> dict[str, object]:
    return {
        "y": [round(agreement.spearman, 3) for agreement in agreements],
        "customdata": [(round(agreement.low, 2), round(agreement.high, 2)) for agreement in agreements],
        "hovertemplate": "epoch %{x}: %{y:.2f}, 95 % interval %{customdata[0]} to %{customdata[1]}<extra></extra>",
    }
