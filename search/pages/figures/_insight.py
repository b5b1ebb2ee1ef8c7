"""What the figures of insight.json share: parts of the corpus, and pictures that are drawn as maps of shades."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.pages.figures._style import BLUE, INK, ORANGE, SCALE, SKY, SURFACE, TEMPLATE, blank, plain

PARTS = ("train", "validation", "test")
PART_COLOURS = {"train": SKY, "validation": BLUE, "test": ORANGE}
PART_TEXT = {"train": INK, "validation": SURFACE, "test": SURFACE}
PART_HATCHES = {"train": "", "validation": "", "test": "/"}
"""So that no reading rests on hue alone: train is pale, test is hatched."""

EMPTY = "Drawn when a run has ended, from insight.json, which this folder does not hold."
Panel = tuple[str, list[go.Heatmap]]
"""A title and traces that lie over one another."""

COLORSCALE = [[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)]


def part_marker(part: str) -> dict[str, Any]:
    """Fill of a part's bars."""
    pattern = {"shape": PART_HATCHES[part], "fgcolor": SURFACE, "size": 7, "solidity": 0.12, "fillmode": "overlay"}
    return {"color": PART_COLOURS[part], "pattern": pattern, "line": {"width": 0}}


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Rows and columns of all pictures of a run.

    Attributes:
        x, y: titles. ticks: row from 0 at the bottom -> text; none where rows have plain numbers.
        step: from one column to the next, in the unit of `x`.
        counted: True where columns are counted, from 0, rather than measured.
    """

    x: str
    y: str
    ticks: tuple[tuple[float, str], ...]
    step: float
    counted: bool
    rows: int
    columns: int

    @classmethod
    def of(cls, pictures: Mapping[str, Any]) -> Axes:
        """Those of insight.json."""
        return cls(
            x=pictures["x"],
            y=pictures["y"],
            ticks=tuple((row, text) for row, text in pictures["ticks"]),
            step=pictures["column_step"],
            counted=pictures["column_step"] == 1,
            rows=pictures["rows"],
            columns=pictures["columns"],
        )

    @property
    def first(self) -> float:
        """Where the middle of the first column lies."""
        return 0 if self.counted else 0.5 * self.step

    @property
    def x_range(self) -> tuple[float, float]:
        """From the left edge of the first column to the right edge of the last."""
        left = self.first - 0.5 * self.step
        return left, left + self.columns * self.step


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipPictures:
    """One validation clip; its pictures are (rows, columns) uint8, the features without their padding.

    Of ratings there is no probability.
    """

    clip_id: str
    speaker: str
    emotion: str
    predicted: str
    probability: float | None
    features: np.ndarray
    augmented: np.ndarray
    map: np.ndarray


def clip_pictures(pictures: Mapping[str, Any], axes: Axes) -> tuple[ClipPictures, ...]:
    """The clips of insight.json."""

    def decoded(text: str) -> np.ndarray:
        return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(axes.rows, axes.columns)

    return tuple(
        ClipPictures(
            **{name: clip[name] for name in ("clip_id", "speaker", "emotion", "predicted", "probability")},
            features=decoded(clip["features"])[:, : clip["real_columns"]],
            augmented=decoded(clip["augmented"])[:, : clip["real_columns"]],
            map=decoded(clip["map"]),
        )
        for clip in pictures["clips"]
    )


def shades(
    picture: np.ndarray, axes: Axes, *, name: str, colorscale: Sequence[Any] = COLORSCALE, zsmooth: str | bool = False
) -> go.Heatmap:
    """A picture of 256 shades; a page holds it as it is stored, a byte each."""
    return go.Heatmap(
        z=np.ascontiguousarray(picture),
        x0=axes.first,
        dx=axes.step,
        zmin=0,
        zmax=255,
        showscale=False,
        name=name,
        hovertemplate=f"{name}<br>{plain(axes.x)}: %{{x:.4~g}}<extra></extra>",
        colorscale=colorscale,
        zsmooth=zsmooth,
    )


def full_rows(panels: int) -> int:
    """Four panels beside one another, or three where four would leave a gap that three do not."""
    return 3 if panels % 4 and panels % 3 == 0 else 4


def grid(panels: Sequence[Panel], axes: Axes, *, columns: int, row_pixels: int, narrow: bool) -> go.Figure:
    """Panels row by row over the same axes."""
    rows = math.ceil(len(panels) / columns)
    height = rows * row_pixels + 90
    drawn = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.025,
        vertical_spacing=30 / height if rows > 1 else 0,
        subplot_titles=[title for title, _ in panels],
        figure=blank(height=height, narrow=narrow),
    )
    for index, (_, traces) in enumerate(panels):
        row, column = divmod(index, columns)
        for trace in traces:
            drawn.add_trace(trace, row=row + 1, col=column + 1)
    drawn.update_annotations(font={"size": 11 if narrow else 13, "color": INK})
    drawn.update_layout(template=TEMPLATE, margin={"t": 36})
    drawn.update_xaxes(showgrid=False, nticks=4, range=axes.x_range, showticklabels=axes.columns > 1)
    drawn.update_xaxes(title_text=plain(axes.x), row=rows)
    drawn.update_yaxes(showgrid=False, range=[-0.5, axes.rows - 0.5])
    if axes.ticks:
        positions, texts = zip(*axes.ticks, strict=True)
        drawn.update_yaxes(tickvals=positions, ticktext=[plain(text) for text in texts])
    drawn.update_yaxes(title_text=plain(axes.y), col=1)
    return drawn
