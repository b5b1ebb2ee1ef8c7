"""Every score by its name: what it is called, how its numbers are written, and within which bounds they lie.

What a run is judged by, its objective, is one of `OBJECTIVES`; whoever speaks of its numbers, in a table, a figure or a
sentence, asks here for the words. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NONE = "–"
"""Stands for a number that is not defined."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score, and how it is written.

    Attributes:
        name: key in plans, records and results.
        label: in tables and on axes. meaning: spelt out.
        percent: it is a share, which is written in per cent, and differences in points.
        least, most: bounds.
        rises: larger is better.
    """

    name: str
    label: str
    meaning: str
    percent: bool = True
    least: float = 0.0
    most: float = 1.0
    rises: bool = True

    # -- in sentences and tables --------------------------------------------------------------------------------------

    @property
    def both_names(self) -> str:
        """The label; accuracy goes by both of its names."""
        return "accuracy (WAR)" if self.name == "war" else self.label

    @property
    def unit(self) -> str:
        """What follows a number: " %", or nothing."""
        return " %" if self.percent else ""

    @property
    def points(self) -> str:
        """What a difference is of: "points UAR", "CCC"."""
        return f"points {self.label}" if self.percent else self.label

    def digits(self, value: float | None) -> str:
        """0.6834 -> "68.3", or "0.683"; `NONE` where there is no number."""
        if value is None or not math.isfinite(value):
            return NONE
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"

    def text(self, value: float | None) -> str:
        """0.6834 -> "68.3 %", or "0.683"; `NONE` where there is no number."""
        digits = self.digits(value)
        return digits if digits == NONE else f"{digits}{self.unit}"

    def signed(self, difference: float | None) -> str:
        """0.021 -> "+2.1", or "+0.021"; `NONE` where there is no number."""
        if difference is None or not math.isfinite(difference):
            return NONE
        return f"{100 * difference:+.1f}" if self.percent else f"{difference:+.3f}"

    def distance(self, difference: float) -> str:
        """0.021 or -0.021 -> "2.1 points", or "0.021"."""
        return f"{self.digits(abs(difference))}{' points' if self.percent else ''}"

    # -- in figures and their tables ----------------------------------------------------------------------------------

    @property
    def axis(self) -> str:
        """ "UAR, %", or "CCC"."""
        return f"{self.label}, %" if self.percent else self.label

    @property
    def gap_axis(self) -> str:
        """Of differences: "difference in UAR, points", or "difference in CCC"."""
        return f"difference in {self.label}{', points' if self.percent else ''}"

    @property
    def hover(self) -> str:
        """Format of a drawn value, as plotly and Python have it."""
        return ".1f" if self.percent else ".3f"

    @property
    def column(self) -> str:
        """Of a table: "uar_percent", or "ccc"."""
        return f"{self.name}_percent" if self.percent else self.name

    @property
    def suffix(self) -> str:
        """Of other columns with the same numbers: "_percent", or nothing."""
        return "_percent" if self.percent else ""

    def scaled(self, value: float) -> float:
        """As it is drawn: 0.6834 -> 68.34, or 0.6834."""
        return 100 * value if self.percent else value

    def cell(self, value: float | None) -> float | None:
        """As a table and a figure have it: 0.68341 -> 68.34, or 0.6834; None where there is no number."""
        if value is None or not math.isfinite(value):
            return None
        return round(100 * value, 2) if self.percent else round(value, 4)


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        score.name: score
        for score in (
            Score(name="uar", label="UAR", meaning="unweighted average recall"),
            Score(name="war", label="WAR", meaning="weighted average recall, accuracy"),
            Score(name="macro_f1", label="macro F1", meaning="mean F1 of the classes"),
            Score(name="ccc", label="CCC", meaning="concordance correlation coefficient", percent=False, least=-1.0),
            Score(name="pearson", label="Pearson's r", meaning="correlation coefficient", percent=False, least=-1.0),
            Score(
                name="rmse", label="RMSE", meaning="root mean square error", percent=False, most=math.inf, rises=False
            ),
            Score(
                name="js_divergence",
                label="JS divergence",
                meaning="Jensen-Shannon divergence, bits",
                percent=False,
                rises=False,
            ),
        )
    }
)
"""By name."""

UAR = SCORES["uar"]

CLASS_SCORES = ("uar", "war", "macro_f1")
"""Of predicted classes."""
DIMENSION_SCORES = ("ccc", "pearson", "rmse")
"""Of predicted ratings."""
VOTE_SCORES = (*CLASS_SCORES, "js_divergence")
"""Of predicted votes: of the class with the most of them, and of the whole distribution."""

CLASS_OBJECTIVES = CLASS_SCORES
"""What a search may maximise of predicted classes and votes, the usual one first."""
RATING_OBJECTIVES = ("ccc",)
"""Of predicted ratings."""
OBJECTIVES = (*CLASS_OBJECTIVES, *RATING_OBJECTIVES)
"""Of anything."""
EARLIER_OBJECTIVE = "uar"
"""Of runs whose plan names none: early versions knew no other."""
