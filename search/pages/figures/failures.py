"""Failures: trials that ended with an error, by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._style import FATES, blank, plain
from search.run_folder.records import TrialState, Value, failure_kind
from search.run_folder.run_view import RunView
from search.wording import count

TITLE = "Failures by reason"
SECTION, ORDER, WIDE = "Workers", 20, True
EMPTY = "No trial has failed."
MOST_KINDS = 12


@dataclass(frozen=True)
class Kind:
    """Trials that failed for one kind of reason, and the whole reason of the last of them."""

    name: str
    trials: int
    example: str


@dataclass(frozen=True, kw_only=True)
class FailuresInfo:
    """Kinds of failure, the most frequent first; `trials` counts all that were started."""

    kinds: tuple[Kind, ...]
    trials: int

    @property
    def failed(self) -> int:
        return sum(kind.trials for kind in self.kinds)


def info(run: RunView) -> FailuresInfo | None:
    """Reasons of the failed trials."""
    failed = [trial for trial in run.records.trials.values() if trial.state is TrialState.FAIL]
    if not failed:
        return None
    counts = Counter(failure_kind(trial.reason) for trial in failed)
    examples = {failure_kind(trial.reason): trial.reason for trial in failed}
    kinds = tuple(Kind(name or "no reason given", number, examples[name]) for name, number in counts.most_common())
    return FailuresInfo(kinds=kinds, trials=len(run.records.trials))


def reading(info: FailuresInfo) -> str:
    """How many failed, and why most of them did."""
    kind = info.kinds[0]
    most = f"{kind.trials} of them for the reason" if len(info.kinds) > 1 else "for the reason"
    text = f"{info.failed} of {count(info.trials, 'trial')} failed, {most} “{kind.name}”."
    return text + (f" Drawn are the {MOST_KINDS} most frequent reasons." if len(info.kinds) > MOST_KINDS else "")


def table(info: FailuresInfo) -> list[dict[str, Value | None]]:
    """A row per kind."""
    return [{"reason": kind.name, "trials": kind.trials, "example": kind.example} for kind in info.kinds]


def figure(info: FailuresInfo, *, narrow: bool = False) -> go.Figure:
    """Horizontal bars; a long name is shortened on the axis; an example of the whole reason is under the pointer."""
    shown = info.kinds[:MOST_KINDS]
    drawn = blank(
        height=100 + 38 * len(shown),
        narrow=narrow,
        x="failed trials",
        xaxis={"rangemode": "tozero", "dtick": 1 if shown[0].trials <= 10 else None},
        yaxis={
            "autorange": "reversed",
            "tickvals": list(range(len(shown))),
            "ticktext": [plain(kind.name, 26 if narrow else 60) for kind in shown],
            "showgrid": False,
        },
        bargap=0.4,
        margin={"t": 10, "r": 40},
    )
    drawn.add_bar(
        x=[kind.trials for kind in shown],
        y=list(range(len(shown))),
        customdata=[plain(kind.example, 120) for kind in shown],
        orientation="h",
        marker={"color": FATES[TrialState.FAIL].colour},
        text=[str(kind.trials) for kind in shown],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x} trials, such as: %{customdata}<extra></extra>",
    )
    return drawn
