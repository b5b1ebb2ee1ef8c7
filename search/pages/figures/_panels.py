"""Panels in rows and columns over axes of their own.

`plotly.subplots` makes the same layout, but validates and copies all of it for each axis that it adds: a grid of 16
panels takes ten times as long as its traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a panel is drawn.

    Attributes:
        row, column: from 0, at the top left.
        number: of its axes, as plotly counts them: "", "2", "3".
        x_axis, y_axis: of the layout.
    """

    row: int
    column: int
    number: str
    x_axis: dict[str, Any]
    y_axis: dict[str, Any]

    @property
    def refs(self) -> dict[str, str]:
        """What a trace in the panel names as its axes."""
        return {"xaxis": f"x{self.number}", "yaxis": f"y{self.number}"}

    def axes(self, *, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
        """Its part of the layout, with what else the axes have."""
        return {f"xaxis{self.number}": {**self.x_axis, **x}, f"yaxis{self.number}": {**self.y_axis, **y}}

    def heading(self, text: str, **font: Any) -> dict[str, Any]:
        """A text above the panel, as one of the layout's `annotations`."""
        x, y = sum(self.x_axis["domain"]) / 2, self.y_axis["domain"][1]
        place = {"x": x, "xref": "paper", "xanchor": "center", "y": y, "yref": "paper", "yanchor": "bottom"}
        return {**place, "text": text, "showarrow": False, "font": font}


def places(
    rows: int,
    columns: int,
    *,
    across: float,
    between: float,
    heights: Sequence[float] = (),
    shared_x: bool = False,
    shared_y: bool = False,
) -> list[Place]:
    """The places of a grid row by row; the last ones may stay empty.

    Args:
        across: the gap between columns. between: that between rows. Both as shares of the plot.
        heights: of the rows, in any unit; all the same by default.
        shared_x, shared_y: all panels have the same scale, labelled at the lowest row or the first column alone.
    """
    shares = heights or [1.0] * rows
    width = (1 - across * (columns - 1)) / columns
    tall = [(1 - between * (rows - 1)) * share / sum(shares) for share in shares]
    found = []
    for index, (row, column) in enumerate(product(range(rows), range(columns))):
        number = f"{index + 1}" if index else ""
        left, low = column * (width + across), sum(tall[row + 1 :]) + (rows - 1 - row) * between
        x_axis: dict[str, Any] = {"anchor": f"y{number}", "domain": [left, min(1.0, left + width)]}
        y_axis: dict[str, Any] = {"anchor": f"x{number}", "domain": [low, min(1.0, low + tall[row])]}
        lead = (rows - 1) * columns  # the panel at the lower left, whose scales are those of all
        shown = f"{lead + 1}" if lead else ""
        if shared_x and index != lead:
            x_axis |= {"matches": f"x{shown}"} | ({} if row == rows - 1 else {"showticklabels": False})
        if shared_y and index != lead:
            y_axis |= {"matches": f"y{shown}"} | ({} if column == 0 else {"showticklabels": False})
        found.append(Place(row=row, column=column, number=number, x_axis=x_axis, y_axis=y_axis))
    return found
