"""Recall of every class on the test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from search.figures._style import BLUE, INK, MUTED, ORANGE, blank, in_percent, percent, plain
from search.records import Value
from search.view import RunView

TITLE = "Recall per emotion on the test"
SECTION, ORDER, WIDE = "Result", 40, False
EMPTY = "The test set has not been read yet."


@dataclass(frozen=True, kw_only=True)
class RecallInfo:
    """Class and recall in [0, 1] (mean over refits, NaN without test clips) in the corpus' order; the test's UAR."""

    recalls: tuple[tuple[str, float], ...]
    uar: float

    @property
    def chance(self) -> float:
        """UAR of guessing."""
        return 1 / len(self.recalls)


def info(run: RunView) -> RecallInfo | None:
    """The recalls of result.json."""
    if run.result is None:
        return None
    test = run.result["test"]
    return RecallInfo(
        recalls=tuple(
            (name, _number(test["per_class_recall"][name]["mean"])) for name in run.result["corpus"]["classes"]
        ),
        uar=test["uar"]["mean"],
    )


def _number(value: float | None) -> float:
    """JSON has no NaN: result.json holds null for a class without test clips."""
    return math.nan if value is None else float(value)


def reading(info: RecallInfo) -> str:
    """Best and worst class, and chance."""
    known = [item for item in info.recalls if math.isfinite(item[1])]
    (worst, low), (best, high) = (pick(known, key=lambda item: item[1]) for pick in (min, max))
    return f"From {percent(low)} for {worst} to {percent(high)} for {best}; guessing would give {percent(info.chance)}."


def table(info: RecallInfo) -> list[dict[str, Value | None]]:
    """A row per class."""
    return [{"emotion": name, "recall_percent": in_percent(recall)} for name, recall in info.recalls]


def figure(info: RecallInfo, *, narrow: bool = False) -> go.Figure:
    """Horizontal bars, with lines for their mean (UAR) and for chance."""
    drawn = blank(height=110 + 34 * len(info.recalls) if narrow else 560, narrow=narrow, x="recall, %")
    drawn.add_bar(
        x=[round(100 * recall, 1) if math.isfinite(recall) else None for _, recall in info.recalls],
        y=[plain(name, 16) for name, _ in info.recalls],
        orientation="h",
        marker={"color": BLUE},
        text=[f"{100 * recall:.0f}" if math.isfinite(recall) else "no clips" for _, recall in info.recalls],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    for value, name, colour, dash in ((info.uar, "UAR", ORANGE, "solid"), (info.chance, "chance", MUTED, "dash")):
        drawn.add_vline(
            x=100 * value,
            line={"color": colour, "width": 2, "dash": dash},
            annotation={"text": f"{name} {100 * value:.1f}", "font": {"color": INK, "size": 12}, "yshift": 4},
            annotation_position="top",
        )
    drawn.update_layout(bargap=0.3, margin={"t": 40})
    drawn.update_xaxes(range=[0, 104], nticks=6)
    drawn.update_yaxes(autorange="reversed", showgrid=False)
    return drawn
