"""Where the winner looks: attention roll-out, Grad-CAM or what else suits its architecture, over validation clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from search.pages.figures import _insight
from search.pages.figures._insight import Axes, ClipPictures, Panel, clip_pictures, full_rows, grid, shades
from search.pages.figures._style import plain
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import clip_text, count, in_percent

TITLE = "Where the model looks (orange), on validation clips"
SECTION, ORDER, WIDE = "Data and model", 40, True
EMPTY = _insight.EMPTY
ROW_PIXELS = 210
OVERLAY = [[0, "rgba(230,100,0,0)"], [0.3, "rgba(230,100,0,0.1)"], [1, "rgba(230,100,0,0.85)"]]
"""Seen on both grounds."""


@dataclass(frozen=True, kw_only=True)
class ExplainedInfo:
    """A clip per emotion with its map.

    Attributes:
        method: name. source: paper. of_class: True when a map belongs to the predicted class.
    """

    method: str
    source: str
    of_class: bool
    axes: Axes
    clips: tuple[ClipPictures, ...]

    @property
    def blank(self) -> int:
        """Clips of which the method shows nothing: no part of them speaks for the predicted class."""
        return sum(not clip.map.any() for clip in self.clips)


def info(run: RunView) -> ExplainedInfo | None:
    """The maps of insight.json."""
    if run.insight is None:
        return None
    pictures = run.insight["pictures"]
    axes = Axes.of(pictures)
    method = pictures["method"]
    return ExplainedInfo(
        method=method["name"],
        source=method["source"],
        of_class=method["of_class"],
        axes=axes,
        clips=clip_pictures(pictures, axes),
    )


def reading(info: ExplainedInfo) -> str:
    """The method, what a map belongs to, and what it must not be taken for."""
    what = "what moves the score of what is predicted" if info.of_class else "what the prediction is made of"
    text = f"{info.method} ({info.source}): {what}, strongest where orange is densest"
    if info.blank:
        text += f"; of {count(info.blank, 'clip')} it shows nothing"
    return (
        f"{text}. The refit has trained on these clips, so they show where the model looks, not how often it is right."
    )


def table(info: ExplainedInfo) -> list[dict[str, Value | None]]:
    """A row per clip; the centre of a map is the mean of its columns, weighted with the map."""
    return [
        {
            "truth": clip.emotion,
            "predicted": clip.predicted,
            "probability_percent": in_percent(clip.probability),
            "clip_id": clip.clip_id,
            "speaker": clip.speaker,
            "map_centre": _centre(clip.map, info.axes),
        }
        for clip in info.clips
    ]


def _centre(picture: np.ndarray, axes: Axes) -> float | None:
    weights = picture.sum(axis=0, dtype=np.float64)
    if not weights.any():
        return None
    positions = axes.first + axes.step * np.arange(axes.columns)
    return round(float(np.average(positions, weights=weights)), 3)


def figure(info: ExplainedInfo, *, narrow: bool = False) -> go.Figure:
    """The map laid over the features of each clip."""
    panels: list[Panel] = []
    for clip in info.clips:
        sure = "" if clip.probability is None else f" {100 * clip.probability:.0f} %"
        said = f"{plain(clip.emotion, 20)}: {plain(clip.predicted, 14)}{sure}"
        traces = [
            shades(clip.features, info.axes, name=f"clip {plain(clip_text(clip.clip_id))}"),
            shades(clip.map, info.axes, name=said, colorscale=OVERLAY, zsmooth=not info.axes.counted and "best"),
        ]
        panels.append((said, traces))
    row_pixels = 150 if narrow else ROW_PIXELS
    return grid(
        panels, info.axes, columns=2 if narrow else full_rows(len(panels)), row_pixels=row_pixels, narrow=narrow
    )
