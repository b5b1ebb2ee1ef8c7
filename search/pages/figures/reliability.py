"""Reliability curve: how often the models are right when they are sure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate, error_bars
from search.pages.figures._style import BLUE, MUTED, SLATE, SURFACE, blank
from search.pages.figures._targets import predicts_classes
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import in_percent, percent

TITLE = "Reliability: is the model right as often as it is sure?"
SECTION, ORDER, WIDE = "Result", 50, False
EMPTY = "The test set has not been read yet, or by a version that kept no calibration."
FAIR = 0.02
"""Difference between mean confidence and accuracy that is called neither over- nor underconfident."""


@dataclass(frozen=True)
class Bin:
    """Test predictions of all seeds whose confidence lies in (low, high]; shares in [0, 1]."""

    low: float
    high: float
    predictions: int
    confidence: float
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True)
class ReliabilityInfo:
    """Bins that hold predictions, and the expected calibration error: mean and deviation over seeds (NaN for one)."""

    bins: tuple[Bin, ...]
    ece: float
    ece_std: float

    @property
    def predictions(self) -> int:
        return sum(own.predictions for own in self.bins)

    @property
    def confidence(self) -> float:
        """Mean over all predictions."""
        return sum(own.predictions * own.confidence for own in self.bins) / self.predictions

    @property
    def accuracy(self) -> float:
        """Mean over all predictions."""
        return sum(own.predictions * own.accuracy.value for own in self.bins) / self.predictions


concerns = predicts_classes


def info(run: RunView) -> ReliabilityInfo | None:
    """The calibration of result.json."""
    if run.result is None or not concerns(run) or "calibration" not in run.result["test"]:
        return None
    calibration = run.result["test"]["calibration"]
    return ReliabilityInfo(
        bins=tuple(
            Bin(own["low"], own["high"], own["predictions"], own["confidence"], Estimate.of(own, "accuracy"))
            for own in calibration["bins"]
            if own["predictions"]
        ),
        ece=calibration["ece"]["mean"],
        ece_std=math.nan if calibration["ece"]["std"] is None else calibration["ece"]["std"],
    )


def reading(info: ReliabilityInfo) -> str:
    """Over- or underconfident, and the error."""
    gap = info.confidence - info.accuracy
    word = "overconfident" if gap > FAIR else "underconfident" if gap < -FAIR else "as sure as they may be on average"
    spread = f" ± {100 * info.ece_std:.1f}" if math.isfinite(info.ece_std) else ""
    return (
        f"The models are {word}: mean confidence is {percent(info.confidence)}, accuracy {percent(info.accuracy)}; the "
        f"expected calibration error is {100 * info.ece:.1f}{spread} points."
    )


def table(info: ReliabilityInfo) -> list[dict[str, Value | None]]:
    """A row per bin."""
    return [
        {
            "confidence_above_percent": in_percent(own.low),
            "confidence_to_percent": in_percent(own.high),
            "predictions": own.predictions,
            "mean_confidence_percent": in_percent(own.confidence),
            "accuracy_percent": in_percent(own.accuracy.value),
            "accuracy_low_percent": in_percent(own.accuracy.low),
            "accuracy_high_percent": in_percent(own.accuracy.high),
        }
        for own in info.bins
    ]


def figure(info: ReliabilityInfo, *, narrow: bool = False) -> go.Figure:
    """Accuracy over confidence beside the diagonal, and below it how many predictions each bin holds."""
    drawn = blank(
        height=420 if narrow else 520,
        narrow=narrow,
        x="confidence in the predicted emotion, %",
        y="accuracy, %",
        xaxis={"anchor": "y2", "range": [0, 101], "nticks": 6},
        yaxis={"domain": [0.3, 1], "range": [-2, 102], "nticks": 6},
        yaxis2={"domain": [0, 0.2], "title": {"text": "share, %"}, "nticks": 3},
        legend={"orientation": "v" if narrow else "h"},
    )
    drawn.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        name="perfect calibration",
        line={"color": MUTED, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    drawn.add_scatter(
        x=[round(100 * own.confidence, 2) for own in info.bins],
        y=[round(100 * own.accuracy.value, 2) for own in info.bins],
        customdata=[[own.predictions, own.accuracy.text(short=False)] for own in info.bins],
        error_y={**error_bars([own.accuracy for own in info.bins]), "color": BLUE},
        mode="lines+markers",
        name="test predictions, 95 % interval over speakers",
        line={"color": BLUE, "width": 2},
        marker={"symbol": "circle", "size": 9, "line": {"color": SURFACE, "width": 1}},
        hovertemplate="confidence %{x:.1f} %<br>accuracy %{customdata[1]} %"
        "<br>%{customdata[0]} predictions<extra></extra>",
    )
    drawn.add_bar(
        x=[round(50 * (own.low + own.high), 3) for own in info.bins],
        y=[round(100 * own.predictions / info.predictions, 2) for own in info.bins],
        width=[round(96 * (own.high - own.low), 3) for own in info.bins],
        customdata=[[own.predictions, f"{100 * own.low:.1f} to {100 * own.high:.1f}"] for own in info.bins],
        yaxis="y2",
        showlegend=False,
        marker={"color": SLATE},
        hovertemplate="confidence %{customdata[1]} %: %{customdata[0]} predictions (%{y:.1f} %)<extra></extra>",
    )
    return drawn
