"""Empirical distribution of the scores: which share of a run's trials stays at or below each score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from search.pages.figures._style import BLUE, GREEN, INK, ORANGE, PURPLE, SLATE, blank, plain
from search.run_folder.records import TrialState, Value
from search.run_folder.run_view import RunView
from search.wording import count, in_percent
from ser_core.named_scores import Score

TITLE = "Distribution of scores: the share of trials at or below each score"
SECTION, ORDER, WIDE = "Search", 70, True
EMPTY = "No trial with a score has ended yet."
STROKES = tuple(
    (colour, dash) for dash in ("solid", "dash", "dot") for colour in (BLUE, ORANGE, GREEN, PURPLE, INK, SLATE)
)
"""Colour and dash of each run in turn; neighbours differ in lightness as well."""


@dataclass(frozen=True)
class Distribution:
    """One run: the score of every ended trial, ascending, and what it is a score of."""

    run: str
    values: tuple[float, ...]
    score: Score

    def quantile(self, share: float) -> float:
        """The smallest score that `share` of the trials do not exceed."""
        return self.values[max(0, math.ceil(share * len(self.values)) - 1)]


@dataclass(frozen=True, kw_only=True)
class EdfInfo:
    """One distribution per run with a score, in the order of the runs."""

    runs: tuple[Distribution, ...]


def info(run: RunView) -> EdfInfo | None:
    """The distribution of one run."""
    return info_of([run])


def info_of(runs: Sequence[RunView]) -> EdfInfo | None:
    """The distributions of several runs.

    Trials that ASHA stopped count with the best score they reached: without them, a run that stops more would seem the
    better one. Failed trials do not count.
    """
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    distributions = []
    for run in runs:
        trials = run.records.trials.values()
        scores = sorted(trial.value for trial in trials if trial.state in ended and math.isfinite(trial.value))
        if scores:
            distributions.append(Distribution(run.name, tuple(scores), run.plan.headline))
    return EdfInfo(runs=tuple(distributions)) if distributions else None


def reading(info: EdfInfo) -> str:
    """Median and best tenth, of several runs the one ahead in each."""
    if len(info.runs) == 1:
        run = info.runs[0]
        half, most = (run.score.text(run.quantile(share)) for share in (0.5, 0.9))
        return (
            f"Half of {count(len(run.values), 'trial')} stayed at or below {half} validation {run.score.label}, "
            f"nine tenths at or below {most}."
        )
    median, upper = (max(info.runs, key=lambda run: run.quantile(share)) for share in (0.5, 0.9))
    return (
        f"The median is highest in {median.run} ({median.score.text(median.quantile(0.5))} validation "
        f"{median.score.label}), the upper tenth begins highest in {upper.run} "
        f"({upper.score.text(upper.quantile(0.9))}); a curve further to the right is better."
    )


def table(info: EdfInfo) -> list[dict[str, Value | None]]:
    """A row per trial."""
    column = f"val_{_score(info).column}"
    return [
        {"run": run.run, column: run.score.cell(value), "share_of_trials_percent": in_percent(share)}
        for run in info.runs
        for value, share in zip(run.values, _shares(run), strict=True)
    ]


def _shares(run: Distribution) -> list[float]:
    """Share of trials at or below each score: equals share the largest."""
    return [float(share) for share in np.searchsorted(run.values, run.values, side="right") / len(run.values)]


def _score(info: EdfInfo) -> Score:
    """What the runs are judged by; runs that are compared are judged by one."""
    return info.runs[0].score


def figure(info: EdfInfo, *, narrow: bool = False) -> go.Figure:
    """A step line per run."""
    score = _score(info)
    title = f"validation {score.axis}"
    drawn = blank(
        height=320 if narrow else 380,
        narrow=narrow,
        x=title,
        y="share of trials, %",
        yaxis={"range": [-2, 102]},
        showlegend=True,
    )
    for place, run in enumerate(info.runs):
        colour, dash = STROKES[place % len(STROKES)]
        scores = [run.score.cell(value) for value in run.values]
        shares = [round(100 * share, 2) for share in _shares(run)]
        name = plain(run.run, 40)
        drawn.add_scatter(
            x=[scores[0], *scores],
            y=[0, *shares],
            mode="lines",
            name=f"{name}: {count(len(scores), 'trial')}",
            line={"color": colour, "width": 2.5, "shape": "hv", "dash": dash},
            hovertemplate=f"%{{y:.0f}} % of trials at or below %{{x:{score.hover}}}{score.unit}<extra>{name}</extra>",
        )
    return drawn
