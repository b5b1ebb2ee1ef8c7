"""Survival: how many trials trained how long, and the epochs that early stopping saved."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._style import BLUE, INK, MUTED, SKY, SLATE, SURFACE, blank, rung_lines
from search.run_folder.architectures import trial_epochs
from search.run_folder.records import TrialRecord, TrialState, Value
from search.run_folder.run_view import RunView
from search.wording import count, duration
from spaces.several import for_choice

TITLE = "Survival: trials still training after each epoch"
SECTION, ORDER, WIDE = "Search", 30, False
EMPTY = "No trial has ended yet."


@dataclass(frozen=True)
class Rung:
    """Trials that reached this rung's epoch, and those that went on beyond it."""

    epoch: int
    reached: int
    went_on: int


@dataclass(frozen=True, kw_only=True)
class SurvivalInfo:
    """Per epoch (index 0 is epoch 1): trials that trained it, and pruned trials that did not have to.

    Only complete and pruned trials count. The sums of the two are the epochs trained and the epochs saved. Seconds are
    those of workers: measured for what was trained, and for what was saved the epochs of each trial times the median of
    its own. `found` says how the search itself found the first rung, "" where it was given.
    """

    trained: tuple[int, ...]
    saved: tuple[int, ...]
    rungs: tuple[Rung, ...]
    trials: int
    pruned: int
    seconds_trained: float
    seconds_saved: float
    found: str = ""

    @property
    def epochs_trained(self) -> int:
        return sum(self.trained)

    @property
    def epochs_saved(self) -> int:
        return sum(self.saved)


def info(run: RunView) -> SurvivalInfo | None:
    """Counts over the trials that ended by themselves or by ASHA."""
    trials = run.records.trials.values()
    stopped = [trial for trial in trials if trial.state is TrialState.PRUNED]
    ended = stopped + [trial for trial in trials if trial.state is TrialState.COMPLETE]
    lengths = [len(trial.epochs) for trial in ended]
    if not lengths:
        return None
    whole = trial_epochs(run.plan)
    budgets = {trial.number: for_choice(whole, trial.params) for trial in stopped}
    epochs = range(1, run.plan.trial_epochs + 1)
    return SurvivalInfo(
        trained=tuple(sum(length >= epoch for length in lengths) for epoch in epochs),
        saved=tuple(sum(len(trial.epochs) < epoch <= budgets[trial.number] for trial in stopped) for epoch in epochs),
        rungs=tuple(
            Rung(epoch, sum(length >= epoch for length in lengths), sum(length > epoch for length in lengths))
            for epoch in run.rungs
        ),
        trials=len(lengths),
        pruned=len(stopped),
        seconds_trained=sum(trial.train_seconds for trial in ended),
        seconds_saved=sum((budgets[each.number] - len(each.epochs)) * _epoch_seconds(each) for each in stopped),
        found="" if run.records.grace is None else f" ASHA: {run.records.grace}.",
    )


def _epoch_seconds(trial: TrialRecord) -> float:
    """The median, since a first epoch is slower."""
    return median(epoch.seconds for epoch in trial.epochs)


def reading(info: SurvivalInfo) -> str:
    """What early stopping saved."""
    whole = info.epochs_trained + info.epochs_saved
    if not info.pruned:
        trained = count(info.epochs_trained, "epoch")
        return f"No trial was stopped early: {count(info.trials, 'trial')} trained {trained}.{info.found}"
    return (
        f"ASHA stopped {info.pruned:,} of {count(info.trials, 'trial')} early and saved {info.epochs_saved:,} of "
        f"{count(whole, 'epoch')} ({100 * info.epochs_saved / whole:.0f} %), or some {duration(info.seconds_saved)} of "
        f"{duration(info.seconds_trained + info.seconds_saved)} of work for the workers.{info.found}"
    )


def table(info: SurvivalInfo) -> list[dict[str, Value | None]]:
    """A row per epoch."""
    rungs = {rung.epoch for rung in info.rungs}
    return [
        {"epoch": epoch, "trials_training": trained, "trials_stopped_before": saved, "rung": epoch in rungs}
        for epoch, (trained, saved) in enumerate(zip(info.trained, info.saved, strict=True), start=1)
    ]


def figure(info: SurvivalInfo, *, narrow: bool = False) -> go.Figure:
    """Two stacked areas whose sizes are the epochs trained and saved; at each rung, how many went on."""
    lines, names = rung_lines([rung.epoch for rung in info.rungs])
    drawn = blank(
        height=340 if narrow else 380,
        narrow=narrow,
        x="epoch",
        y="trials",
        hovermode="x unified",
        margin={"t": 72},
        legend={"y": 1.1, "font": {"color": MUTED}},
        xaxis={"range": [0.5, len(info.trained) + 0.5]},
        yaxis={"range": [0, info.trials * 1.04], "nticks": 6},
        shapes=lines,
        annotations=[*names, *(_went_on(rung, len(info.trained), narrow=narrow) for rung in info.rungs)],
    )
    edges = [epoch + 0.5 for epoch in range(len(info.trained) + 1)]
    hatched = {"shape": "/", "fgcolor": SLATE, "size": 7, "solidity": 0.15, "fillmode": "replace"}
    areas: tuple[tuple[str, tuple[int, ...], float, dict[str, Any], str, dict[str, Any] | None], ...] = (
        ("epochs trained", info.trained, info.seconds_trained, {"color": BLUE, "width": 2.5}, SKY, None),
        ("epochs saved", info.saved, info.seconds_saved, {"color": SLATE, "width": 1}, "rgba(0,0,0,0)", hatched),
    )
    for name, counts, seconds, line, fill, pattern in areas:
        drawn.add_scatter(
            x=edges,
            y=[*counts, counts[-1]],
            mode="lines",
            stackgroup="epochs",
            name=f"{name}: {sum(counts):,} ({duration(seconds)})",
            line={**line, "shape": "hv"},
            fillcolor=fill,
            fillpattern=pattern,
            hovertemplate="%{y:,} trials<extra>" + name + "</extra>",
        )
    return drawn


def _went_on(rung: Rung, epochs: int, *, narrow: bool) -> dict[str, Any]:
    """How many trials went on at a rung, in words beside it."""
    late = rung.epoch > 0.6 * epochs  # its words would run over the right edge
    return {
        "x": rung.epoch + 0.5,
        "y": rung.went_on,
        "text": f"<b>{rung.went_on:,}</b> of {rung.reached:,} went on",
        "font": {"size": 11 if narrow else 12, "color": INK},
        "xanchor": "right" if late else "left",
        "xshift": -6 if late else 6,
        "yanchor": "bottom",
        "yshift": 2,
        "showarrow": False,
        "bgcolor": SURFACE,
    }
