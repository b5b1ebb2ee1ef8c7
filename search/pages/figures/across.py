"""Across groups: what models that were trained on some corpora, languages or sessions score on another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate
from search.pages.figures._style import INK, SCALE, SURFACE, blank, plain
from search.run_folder.records import Value
from search.wording import count, in_percent, percent

TITLE = "Across groups: trained on some, tested on another"
SECTION, ORDER, WIDE = "Result", 24, True
EMPTY = "This needs a protocol that leaves one group of a column out at a time: --split logo:COLUMN."
LEAVES_OUT = "logo:"
"""What the names of such splits begin with: logo:COLUMN:VALUE."""
DARK_CELL = 0.6


@dataclass(frozen=True)
class Cell:
    """UAR of the default model of a fold in [0, 1]."""

    trained_on: str
    tested_on: str
    speakers: int
    uar: Estimate


@dataclass(frozen=True, kw_only=True)
class AcrossInfo:
    """A cell for every fold; `classes` tells what guessing would score."""

    column: str
    cells: tuple[Cell, ...]
    classes: int


def info_of_folds(models: Mapping[str, Mapping[str, Any]]) -> AcrossInfo | None:
    """The cells of a protocol.

    Args:
        models: architecture -> its numbers in protocol.json.
    """
    cells, column = [], ""
    for model, numbers in models.items():
        folds = [fold for fold in numbers["folds"] if fold["split"].startswith(LEAVES_OUT)]
        names = [fold["split"].split(":", 2)[2] for fold in folds]
        for fold, tested in zip(folds, names, strict=True):
            column = fold["split"].split(":", 2)[1]
            others = [name for name in names if name != tested]
            trained = others[0] if len(others) == 1 else f"all but {tested}"
            label = trained if len(models) == 1 else f"{model}: {trained}"
            cells.append(Cell(label, tested, len(fold["test_speakers"]), Estimate.of(fold["score"]["uar"], "value")))
    if not cells:
        return None
    classes = len(next(iter(models.values()))["corpus"]["classes"])
    return AcrossInfo(column=column, cells=tuple(cells), classes=classes)


def reading(info: AcrossInfo) -> str:
    """The best and the worst cell."""
    best, worst = (choose(info.cells, key=lambda cell: cell.uar.value) for choose in (max, min))
    return (
        f"Best is {best.tested_on} by models of {best.trained_on} ({percent(best.uar.value)} UAR), worst "
        f"{worst.tested_on} by models of {worst.trained_on} ({percent(worst.uar.value)}); guessing would have "
        f"{percent(1 / info.classes)}."
    )


def table(info: AcrossInfo) -> list[dict[str, Value | None]]:
    """A row per cell."""
    return [
        {
            "trained_on": cell.trained_on,
            "tested_on": cell.tested_on,
            "speakers": cell.speakers,
            "uar_percent": in_percent(cell.uar.value),
            "low_percent": in_percent(cell.uar.low),
            "high_percent": in_percent(cell.uar.high),
        }
        for cell in info.cells
    ]


def figure(info: AcrossInfo, *, narrow: bool = False) -> go.Figure:
    """A heat map, a row for what was trained on and a column for what was tested; what no fold has done is empty."""
    rows = list(dict.fromkeys(cell.trained_on for cell in info.cells))
    columns = sorted({cell.tested_on for cell in info.cells})
    values = [[math.nan] * len(columns) for _ in rows]
    hover = [[""] * len(columns) for _ in rows]
    texts = []
    for cell in info.cells:
        row, column = rows.index(cell.trained_on), columns.index(cell.tested_on)
        values[row][column] = round(100 * cell.uar.value, 1)
        hover[row][column] = f"{cell.uar.text(short=False)} %, {count(cell.speakers, 'speaker')}"
        texts.append(_text(cell, row, column, narrow=narrow))
    height = max(220, 130 + 64 * len(rows))
    drawn = blank(height=height, narrow=narrow, x=f"tested on {plain(info.column, 20)}", y="trained on")
    drawn.add_heatmap(
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        z=values,
        customdata=hover,
        zmin=0,
        zmax=100,
        colorscale=[[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{customdata}<extra></extra>",
    )
    longest = 10 if narrow else 24
    drawn.update_xaxes(
        tickvals=list(range(len(columns))), ticktext=[plain(name, longest) for name in columns], showgrid=False
    )
    drawn.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plain(name, longest) for name in rows],
        showgrid=False,
        autorange="reversed",
    )
    drawn.update_layout(annotations=texts)
    return drawn


def _text(cell: Cell, row: int, column: int, *, narrow: bool) -> dict[str, Any]:
    """A cell's score, and below it the interval where there is room."""
    score = f"{100 * cell.uar.value:.1f}"
    bounds = f"{100 * cell.uar.low:.0f} to {100 * cell.uar.high:.0f}" if cell.uar.has_interval else "no interval"
    return {
        "x": column,
        "y": row,
        "text": score if narrow else f"{score}<br><span style='font-size:11px'>{bounds}</span>",
        "showarrow": False,
        "font": {"size": 15, "color": SURFACE if cell.uar.value > DARK_CELL else INK},
    }
