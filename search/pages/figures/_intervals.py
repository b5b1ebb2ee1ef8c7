"""What figures of scores with intervals share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.pages.figures._style import MUTED
from ser_core.named_scores import UAR, Score


@dataclass(frozen=True)
class Estimate:
    """A score with the bounds of its interval; NaN where result.json has none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, score: Mapping[str, Any], key: str = "mean") -> Estimate:
        """From a score of result.json, in which null stands for NaN and an earlier version had no interval."""
        low, high = score.get("interval") or (None, None)
        return cls(number(score[key]), number(low), number(high))

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def overlaps(self, other: Estimate) -> bool:
        """False as well where one of the two has no interval."""
        return self.low <= other.high and other.low <= self.high

    def text(self, *, short: bool, score: Score = UAR) -> str:
        """ "52.3 [43.1, 61.0]" without a unit; the value alone if `short` or when there is no interval.

        Args:
            score: what it is a value of; by default a share, in per cent.
        """
        if not math.isfinite(self.value):
            return "none"
        value, low, high = map(score.digits, (self.value, self.low, self.high))
        return value if short or not self.has_interval else f"{value} [{low}, {high}]"


def number(value: float | None) -> float:
    """JSON has no NaN: result.json holds null."""
    return math.nan if value is None else float(value)


def error_bars(estimates: Sequence[Estimate], score: Score = UAR) -> dict[str, Any]:
    """Plotly's error bars, as values of `score` are drawn; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [score.scaled(e.high - e.value) if e.has_interval else None for e in estimates],
        "arrayminus": [score.scaled(e.value - e.low) if e.has_interval else None for e in estimates],
        "thickness": 1.8,
        "width": 5,
    }


def value_column(texts: Mapping[float, str], *, narrow: bool) -> tuple[list[dict[str, Any]], int]:
    """Texts in a column to the right of the plot, each at its y: annotations, and the margin that they need there."""
    column = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 8, "showarrow": False}
    font = {"size": 12, "color": MUTED}
    annotations = [{**column, "y": y, "text": text, "font": font} for y, text in texts.items()]
    longest = max(map(len, texts.values()), default=0)
    return annotations, 46 if narrow else max(136, 16 + round(6.6 * longest))
