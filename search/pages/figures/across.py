"""Across groups: what models that were trained on some corpora, languages or sessions score on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate
from search.pages.figures._style import INK, SCALE, SURFACE, blank, plain
from search.run_folder.records import Value
from search.run_folder.run_score import headline_of
from search.wording import count
from ser_core.named_scores import Score
from ser_core.protocol_names import LOGO, PAIRS

TITLE = "Across groups: trained on some, tested on others"
SECTION, ORDER, WIDE = "Result", 24, True
EMPTY = (
    "This needs a protocol that trains or tests one group of a column at a time: --split pairs:COLUMN or logo:COLUMN."
)
DARK_CELL = 0.6


@dataclass(frozen=True)
class Cell:
    """The score of the default model of a fold, on a group that it tests."""

    trained_on: str
    tested_on: str
    speakers: int
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class AcrossInfo:
    """A cell for every group that a fold tests; `chance` is what guessing would score."""

    column: str
    cells: tuple[Cell, ...]
    score: Score
    chance: float


def info_of_folds(models: Mapping[str, Mapping[str, Any]]) -> AcrossInfo | None:
    """The cells of a protocol.

    Args:
        models: architecture -> its numbers in protocol.json.
    """
    cells, column, score = [], "", headline_of(next(iter(models.values()), {}))
    for model, numbers in models.items():
        folds = [fold for fold in numbers["folds"] if fold["split"].partition(":")[0] in (LOGO, PAIRS)]
        names = [fold["split"].split(":", 2)[2] for fold in folds]
        for fold, name in zip(folds, names, strict=True):
            column = fold["split"].split(":", 2)[1]
            trained, tested = _left_out(fold, name, names) if "tested" not in fold else (name, fold["tested"])
            label = trained if len(models) == 1 else f"{model}: {trained}"
            cells += [
                Cell(label, group, own["speakers"], Estimate.of(own[score.name], "value"))
                for group, own in tested.items()
            ]
    if not cells:
        return None
    classes = len(next(iter(models.values()))["corpus"]["classes"])
    chance = 1 / classes if score.percent else 0.0  # of a constant prediction the CCC is 0
    return AcrossInfo(column=column, cells=tuple(cells), score=score, chance=chance)


def _left_out(fold: Mapping[str, Any], name: str, names: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """What a fold of `logo` was trained on, and the scores of the one group that it tests."""
    others = [other for other in names if other != name]
    trained = others[0] if len(others) == 1 else f"all but {name}"
    return trained, {name: {"speakers": len(fold["test_speakers"]), **fold["score"]}}


def reading(info: AcrossInfo) -> str:
    """The best and the worst cell."""
    best, worst = (choose(info.cells, key=lambda cell: cell.estimate.value) for choose in (max, min))
    text = info.score.text
    return (
        f"Best is {best.tested_on} by models of {best.trained_on} ({text(best.estimate.value)} {info.score.label}), "
        f"worst {worst.tested_on} by models of {worst.trained_on} ({text(worst.estimate.value)}); guessing would have "
        f"{text(info.chance)}."
    )


def table(info: AcrossInfo) -> list[dict[str, Value | None]]:
    """A row per cell."""
    return [
        {
            "trained_on": cell.trained_on,
            "tested_on": cell.tested_on,
            "speakers": cell.speakers,
            info.score.column: info.score.cell(cell.estimate.value),
            f"low{info.score.suffix}": info.score.cell(cell.estimate.low),
            f"high{info.score.suffix}": info.score.cell(cell.estimate.high),
        }
        for cell in info.cells
    ]


def figure(info: AcrossInfo, *, narrow: bool = False) -> go.Figure:
    """A heat map, a row for what was trained on and a column for what was tested; what no fold has done is empty."""
    rows = list(dict.fromkeys(cell.trained_on for cell in info.cells))
    columns = sorted({cell.tested_on for cell in info.cells})
    score = info.score
    values = [[math.nan] * len(columns) for _ in rows]
    hover = [[""] * len(columns) for _ in rows]
    texts = []
    for cell in info.cells:
        row, column = rows.index(cell.trained_on), columns.index(cell.tested_on)
        values[row][column] = round(score.scaled(cell.estimate.value), 1 if score.percent else 3)
        hover[row][column] = (
            f"{cell.estimate.text(short=False, score=score)}{score.unit}, {count(cell.speakers, 'speaker')}"
        )
        texts.append(_text(cell, score, row, column, narrow=narrow))
    height = max(220, 130 + 64 * len(rows))
    ticks: list[dict[str, Any]] = [
        {
            "tickvals": list(range(len(names))),
            "ticktext": [plain(name, 10 if narrow else 24) for name in names],
            "showgrid": False,
        }
        for names in (columns, rows)
    ]
    drawn = blank(
        height=height,
        narrow=narrow,
        x=f"tested on {plain(info.column, 20)}",
        y="trained on",
        xaxis=ticks[0],
        yaxis={**ticks[1], "autorange": "reversed"},
        annotations=texts,
    )
    drawn.add_heatmap(
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        z=values,
        customdata=hover,
        zmin=0,
        zmax=score.scaled(1),
        colorscale=[[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{customdata}<extra></extra>",
    )
    return drawn


def _text(cell: Cell, score: Score, row: int, column: int, *, narrow: bool) -> dict[str, Any]:
    """A cell's score, and below it the interval where there is room."""
    own, value = cell.estimate, score.digits(cell.estimate.value)
    low, high = (f"{score.scaled(edge):.{0 if score.percent else 2}f}" for edge in (own.low, own.high))
    bounds = f"{low} to {high}" if own.has_interval else "no interval"
    return {
        "x": column,
        "y": row,
        "text": value if narrow else f"{value}<br><span style='font-size:11px'>{bounds}</span>",
        "showarrow": False,
        "font": {"size": 15, "color": SURFACE if own.value > DARK_CELL else INK},
    }
