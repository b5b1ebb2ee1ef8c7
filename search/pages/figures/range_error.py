"""Error over the range: where on its scale a dimension is predicted too low or too high."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate
from search.pages.figures._style import BLUE, GREEN, INK, ORANGE, PURPLE, SLATE, SURFACE, blank, level, plain
from search.pages.figures._targets import predicts_ratings
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import count

TITLE = "Error over the range: where predictions lie too low or too high"
SECTION, ORDER, WIDE = "Result", 40, True
EMPTY = "The test set has not been read yet."
MARKS = (
    (BLUE, "circle", "solid"), (ORANGE, "diamond", "dash"), (GREEN, "square", "dot"),
    (PURPLE, "triangle-up", "dashdot"), (SLATE, "x", "longdash"),
)  # fmt: skip
"""Colour, marker and dash of each dimension, so that none rests on hue alone; then from the start again."""
concerns = predicts_ratings


@dataclass(frozen=True)
class Part:
    """Clips of one dimension whose rating lies in [low, high): predicted less rated, mean and root mean square."""

    dimension: str
    low: float
    high: float
    clips: int
    bias: Estimate
    rmse: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True, kw_only=True)
class RangeErrorInfo:
    """Parts of the range of every dimension, from low to high."""

    dimensions: tuple[str, ...]
    parts: tuple[Part, ...]

    def of(self, dimension: str) -> list[Part]:
        return [part for part in self.parts if part.dimension == dimension]


def info(run: RunView) -> RangeErrorInfo | None:
    """The errors of result.json."""
    if run.result is None or not concerns(run):
        return None
    names, found = run.result["target"]["names"], run.result["test"]["per_dimension"]
    return RangeErrorInfo(
        dimensions=tuple(names),
        parts=tuple(
            Part(name, own["low"], own["high"], own["clips"], Estimate.of(own, "bias"), own["rmse"])
            for name in names
            for own in found[name]["error_by_rating"]
        ),
    )


def reading(info: RangeErrorInfo) -> str:
    """The part that is missed by most, in each dimension."""
    worst = [max(_well_filled(info.of(name)), key=lambda part: abs(part.bias.value)) for name in info.dimensions]
    parts = [
        f"{part.dimension} rated {part.low:.2g} to {part.high:.2g} is predicted {abs(part.bias.value):.2f} too "
        f"{'high' if part.bias.value > 0 else 'low'} on average ({count(part.clips, 'clip')})"
        for part in worst
    ]
    return f"Furthest off: {'; '.join(parts)}."


def _well_filled(parts: list[Part]) -> list[Part]:
    """Those with a fifth of the clips of the fullest, or more: a single clip says little."""
    most = max(part.clips for part in parts)
    return [part for part in parts if 5 * part.clips >= most]


def table(info: RangeErrorInfo) -> list[dict[str, Value | None]]:
    """A row per part."""
    return [
        {
            "dimension": part.dimension,
            "rated_from": round(part.low, 4),
            "rated_to": round(part.high, 4),
            "clips": part.clips,
            "bias": _rounded(part.bias.value),
            "bias_low": _rounded(part.bias.low),
            "bias_high": _rounded(part.bias.high),
            "rmse": round(part.rmse, 4),
        }
        for part in info.parts
    ]


def _rounded(value: float) -> float | None:
    return None if value != value else round(value, 4)


def figure(info: RangeErrorInfo, *, narrow: bool = False) -> go.Figure:
    """A line per dimension with intervals over speakers, beside the line of no error."""
    drawn = blank(
        height=380 if narrow else 420,
        narrow=narrow,
        x="rating",
        y="predicted less rated",
        showlegend=True,
        shapes=[level(0, color=INK, width=1, dash="dot")],
    )
    for index, name in enumerate(info.dimensions):
        colour, symbol, dash = MARKS[index % len(MARKS)]
        parts = info.of(name)
        known = [part.bias.has_interval for part in parts]
        above, below = (
            [abs(edge - part.bias.value) if has else None for part, has, edge in zip(parts, known, edges, strict=True)]
            for edges in ([part.bias.high for part in parts], [part.bias.low for part in parts])
        )
        drawn.add_scatter(
            x=[round(part.middle, 4) for part in parts],
            y=[round(part.bias.value, 4) for part in parts],
            customdata=[[part.clips, round(part.rmse, 3)] for part in parts],
            error_y={"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5},
            mode="lines+markers",
            name=plain(name, 24),
            line={"color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 9, "line": {"color": SURFACE, "width": 1}},
            hovertemplate=f"{plain(name, 24)}, rated about %{{x:.2f}}: %{{y:+.2f}}, RMSE %{{customdata[1]}}, "
            "%{customdata[0]} clips<extra></extra>",
        )
    return drawn
