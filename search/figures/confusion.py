"""Confusion matrix of the test: which emotion is taken for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.figures._style import INK, SCALE, SURFACE, blank, in_percent, plain
from search.records import Value
from search.view import RunView

TITLE = "Confusion: what the test clips are taken for"
SECTION, ORDER, WIDE = "Result", 30, False
EMPTY = "The test set has not been read yet."
DARK_CELL = 0.6
"""Share above which a cell is so dark that its text must be light."""


@dataclass(frozen=True, kw_only=True)
class ConfusionInfo:
    """Clips by true class (row) and predicted class (column), summed over the refits when there are several."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Each row divided by its sum; zeros for a class without clips."""
        return tuple(tuple(cell / max(1, sum(row)) for cell in row) for row in self.counts)


def info(run: RunView) -> ConfusionInfo | None:
    """The matrix of result.json."""
    if run.result is None:
        return None
    return ConfusionInfo(
        classes=tuple(run.result["corpus"]["classes"]),
        counts=tuple(tuple(int(cell) for cell in row) for row in run.result["test"]["confusion"]),
    )


def reading(info: ConfusionInfo) -> str:
    """The best told class and the most frequent mistake."""
    shares = info.shares
    size = range(len(info.classes))
    best = max(size, key=lambda row: shares[row][row])
    wrong = [(row, column) for row in size for column in size if row != column]
    true, taken = max(wrong, key=lambda cell: shares[cell[0]][cell[1]])
    text = f"{info.classes[best]} is recognised best ({100 * shares[best][best]:.0f} %)"
    if shares[true][taken] == 0:
        return text + "; no clip is mistaken."
    mistake = f"{100 * shares[true][taken]:.0f} % of {info.classes[true]} clips are taken for {info.classes[taken]}"
    return f"{text}; the most frequent mistake: {mistake}."


def table(info: ConfusionInfo) -> list[dict[str, Value | None]]:
    """A row per cell."""
    return [
        {"true": true, "predicted": predicted, "clips": clips, "share_of_true_percent": in_percent(share)}
        for true, counts, shares in zip(info.classes, info.counts, info.shares, strict=True)
        for predicted, clips, share in zip(info.classes, counts, shares, strict=True)
    ]


def figure(info: ConfusionInfo, *, narrow: bool = False) -> go.Figure:
    """Colour and the large figure are shares of the true class; the small figure counts clips."""
    names = [plain(name, 10 if narrow else 16) for name in info.classes]
    shares = info.shares
    drawn = blank(height=400 if narrow else 560, narrow=narrow, x="predicted emotion", y="true emotion")
    drawn.add_heatmap(
        x=list(range(len(names))),
        y=list(range(len(names))),
        z=[[round(100 * share, 1) for share in row] for row in shares],
        customdata=info.counts,
        zmin=0,
        zmax=100,
        colorscale=[[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="true %{y}, predicted %{x}<br>%{z:.1f} % of the true class, %{customdata} clips<extra></extra>",
    )
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    drawn.update_xaxes(**ticks, tickangle=-45 if narrow else 0)
    drawn.update_yaxes(**ticks, autorange="reversed")
    sizes = (11, 9) if narrow or len(names) > 10 else (15, 11)
    drawn.update_layout(margin={"t": 10}, annotations=_cell_texts(info, *sizes))
    return drawn


def _cell_texts(info: ConfusionInfo, large: int, small: int) -> list[dict[str, Any]]:
    """Share and count in every cell that is not empty; sizes in pixels."""
    return [
        {
            "x": column,
            "y": row,
            "text": f"{100 * share:.0f}<br><span style='font-size:{small}px'>{info.counts[row][column]}</span>",
            "showarrow": False,
            "font": {"size": large, "color": SURFACE if share > DARK_CELL else INK},
        }
        for row, shares in enumerate(info.shares)
        for column, share in enumerate(shares)
        if share
    ]
