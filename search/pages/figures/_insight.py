"""What the figures of insight.json share: parts of the corpus, and pictures that are drawn as maps of shades."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.pages.figures._panels import places
from search.pages.figures._style import BLUE, INK, ORANGE, SCALE, SKY, SURFACE, blank, plain

PARTS = ("train", "validation", "test")
PART_COLOURS = {"train": SKY, "validation": BLUE, "test": ORANGE}
PART_TEXT = {"train": INK, "validation": SURFACE, "test": SURFACE}
PART_HATCHES = {"train": "", "validation": "", "test": "/"}
"""So that no reading rests on hue alone: train is pale, test is hatched."""

EMPTY = "Drawn when a run has ended, from insight.json, which this folder does not hold."
Panel = tuple[str, list[dict[str, Any]]]
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
) -> dict[str, Any]:
    """A picture of 256 shades as a trace; a page holds it as it is stored, a byte each."""
    return {
        "type": "heatmap",
        "z": np.ascontiguousarray(picture),
        "x0": axes.first,
        "dx": axes.step,
        "zmin": 0,
        "zmax": 255,
        "showscale": False,
        "name": name,
        "hovertemplate": f"{name}<br>{plain(axes.x)}: %{{x:.4~g}}<extra></extra>",
        "colorscale": colorscale,
        "zsmooth": zsmooth,
    }


def full_rows(panels: int) -> int:
    """Four panels beside one another, or three where four would leave a gap that three do not."""
    return 3 if panels % 4 and panels % 3 == 0 else 4


def grid(panels: Sequence[Panel], axes: Axes, *, columns: int, row_pixels: int, narrow: bool) -> go.Figure:
    """Panels row by row over the same axes."""
    rows = math.ceil(len(panels) / columns)
    height = rows * row_pixels + 90
    found = places(rows, columns, across=0.025, between=30 / height if rows > 1 else 0, shared_x=True, shared_y=True)
    drawn = list(zip(found, panels, strict=False))
    x_axis: dict[str, Any] = {"showgrid": False, "nticks": 4, "range": axes.x_range}
    if axes.columns == 1:
        x_axis["showticklabels"] = False
    y_axis: dict[str, Any] = {"showgrid": False, "range": [-0.5, axes.rows - 0.5]}
    if axes.ticks:
        positions, texts = zip(*axes.ticks, strict=True)
        y_axis |= {"tickvals": positions, "ticktext": [plain(text) for text in texts]}
    below, beside = {"title": {"text": plain(axes.x)}}, {"title": {"text": plain(axes.y)}}
    layout: dict[str, Any] = {}
    for place in found:
        layout |= place.axes(
            x={**x_axis, **(below if place.row == rows - 1 else {})}, y={**y_axis, **({} if place.column else beside)}
        )
    figure = blank(
        height=height,
        narrow=narrow,
        **layout,
        margin={"t": 36},
        annotations=[place.heading(title, size=11 if narrow else 13, color=INK) for place, (title, _) in drawn],
    )
    return figure.add_traces([{**trace, **place.refs} for place, (_, traces) in drawn for trace in traces])
