"""Recall and precision of every class on the test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate, error_bars, value_column
from search.pages.figures._style import BLUE, INK, MUTED, ORANGE, PURPLE, SURFACE, above, blank, plain, upright
from search.pages.figures._targets import predicts_classes
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import in_percent, percent

TITLE = "Recall and precision per emotion on the test"
SECTION, ORDER, WIDE = "Result", 40, False
EMPTY = "The test set has not been read yet."
APART = 0.17
"""Recall stands this far above the middle of its class' row, precision below."""


@dataclass(frozen=True)
class ClassScores:
    """Of one class, means over refits: recall is NaN without test clips, precision when it was never predicted."""

    name: str
    recall: Estimate
    precision: Estimate


@dataclass(frozen=True, kw_only=True)
class RecallInfo:
    """Classes in the corpus' order, and the test's UAR; all in [0, 1]."""

    classes: tuple[ClassScores, ...]
    uar: float

    @property
    def chance(self) -> float:
        """UAR of guessing."""
        return 1 / len(self.classes)


concerns = predicts_classes


def info(run: RunView) -> RecallInfo | None:
    """The scores of result.json; an earlier version kept no precision and no intervals."""
    if run.result is None or not concerns(run):
        return None
    test = run.result["test"]
    precisions = test.get("per_class_precision", {})
    return RecallInfo(
        classes=tuple(
            ClassScores(
                name,
                Estimate.of(test["per_class_recall"][name]),
                Estimate.of(precisions[name]) if name in precisions else Estimate(),
            )
            for name in run.result["corpus"]["classes"]
        ),
        uar=test["uar"]["mean"],
    )


def reading(info: RecallInfo) -> str:
    """Best and worst class, whether their intervals part, and chance."""
    known = [own for own in info.classes if math.isfinite(own.recall.value)]
    worst, best = (pick(known, key=lambda own: own.recall.value) for pick in (min, max))
    text = f"Recall goes from {percent(worst.recall.value)} for {worst.name} to {percent(best.recall.value)} for "
    text += best.name
    if worst.recall.has_interval and best.recall.has_interval and worst is not best:
        text += f", whose intervals {'overlap' if worst.recall.overlaps(best.recall) else 'do not overlap'}"
    return text + f"; guessing would give {percent(info.chance)}."


def table(info: RecallInfo) -> list[dict[str, Value | None]]:
    """A row per class."""
    return [
        {
            "emotion": own.name,
            "recall_percent": in_percent(own.recall.value),
            "recall_low_percent": in_percent(own.recall.low),
            "recall_high_percent": in_percent(own.recall.high),
            "precision_percent": in_percent(own.precision.value),
            "precision_low_percent": in_percent(own.precision.low),
            "precision_high_percent": in_percent(own.precision.high),
        }
        for own in info.classes
    ]


def figure(info: RecallInfo, *, narrow: bool = False) -> go.Figure:
    """Two marks with intervals per class, and lines for the mean recall (UAR) and for chance."""
    height = 130 + 40 * len(info.classes)
    lines = ((info.uar, "UAR", ORANGE, "solid"), (info.chance, "chance", MUTED, "dash"))
    texts = {-0.75: "recall"}
    texts |= {float(place): _recall_text(own.recall, narrow) for place, own in enumerate(info.classes)}
    values, right = value_column(texts, narrow=narrow)
    drawn = blank(
        height=height if narrow else max(height, 560),
        narrow=narrow,
        x="recall and precision, %",
        xaxis={"range": [-2, 102], "nticks": 6},
        yaxis={
            "tickvals": list(range(len(info.classes))),
            "ticktext": [plain(own.name, 10 if narrow else 16) for own in info.classes],
            "range": [len(info.classes) - 0.4, -1],
            "showgrid": False,
        },
        margin={"t": 66, "r": right},
        legend={"y": 1, "yref": "container", "yanchor": "top"},
        shapes=[upright(100 * value, color=colour, width=2, dash=dash) for value, _, colour, dash in lines],
        annotations=[
            *(above(100 * value, f"{name} {100 * value:.1f}", color=INK, size=12) for value, name, _, _ in lines),
            *values,
        ],
    )
    marks = (
        ("recall", BLUE, "circle", 12, {"color": SURFACE, "width": 1}, -APART),
        ("precision", PURPLE, "diamond-open", 10, {"color": PURPLE, "width": 2}, APART),
    )
    for name, colour, symbol, size, outline, shift in marks:
        estimates: list[Estimate] = [getattr(own, name) for own in info.classes]
        if not any(math.isfinite(estimate.value) for estimate in estimates):
            continue
        drawn.add_scatter(
            x=[in_percent(estimate.value) for estimate in estimates],
            y=[place + shift for place in range(len(estimates))],
            customdata=[plain(own.name) for own in info.classes],
            text=[estimate.text(short=False) for estimate in estimates],
            error_x={**error_bars(estimates), "color": colour},
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size, "line": outline},
            hovertemplate=f"%{{customdata}}, {name}: %{{text}} %<extra></extra>",
        )
    return drawn


def _recall_text(recall: Estimate, narrow: bool) -> str:
    return recall.text(short=narrow) if math.isfinite(recall.value) else "no clips"
