"""Confusion matrix of the test: which emotion is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._style import INK, MUTED, SCALE, SURFACE, blank, plain
from search.pages.figures._targets import predicts_classes
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import in_percent

TITLE = "Confusion: what the test clips are taken for"
SECTION, ORDER, WIDE = "Result", 30, False
EMPTY = "The test set has not been read yet."
DARK_CELL = 0.6
"""Share of the scale above which a cell is so dark that its text must be light."""

BUTTON, BUTTON_INK = "#c9d1dd", "#10141c"
"""The same on a dark page: plotly draws the active button almost white, whatever the page."""


@dataclass(frozen=True, kw_only=True)
class ConfusionInfo:
    """Clips by true class (row) and predicted class (column), summed over the refits when there are several."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Each row divided by its sum; zeros for a class without clips."""
        return tuple(tuple(cell / max(1, sum(row)) for cell in row) for row in self.counts)


concerns = predicts_classes


def info(run: RunView) -> ConfusionInfo | None:
    """The matrix of result.json."""
    if run.result is None or not concerns(run):
        return None
    return ConfusionInfo(
        classes=tuple(run.result["corpus"]["classes"]),
        counts=tuple(tuple(int(cell) for cell in row) for row in run.result["test"]["confusion"]),
    )


def reading(info: ConfusionInfo) -> str:
    """The class that is recognised best, and the most frequent mistake."""
    if len(info.classes) == 1:
        return f"{info.classes[0]} is the only class, so no clip can be mistaken."
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
    """Two pictures of the same cells, exchanged by buttons: coloured by share of the true class, or by clips."""
    names = [plain(name, 10 if narrow else 16) for name in info.classes]
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    sizes = (11, 9) if narrow or len(names) > 10 else (15, 11)
    by_share, by_clips = (_cell_texts(info, clips, *sizes) for clips in (False, True))
    drawn = blank(
        height=440 if narrow else 600,
        narrow=narrow,
        x="predicted emotion",
        y="true emotion",
        xaxis={**ticks, "tickangle": -45 if narrow else 0},
        yaxis={**ticks, "autorange": "reversed"},
        margin={"t": 52},
        annotations=by_share,
        updatemenus=[_buttons([("share of the true emotion, %", by_share), ("clips", by_clips)])],
    )
    shares = [[round(100 * share, 1) for share in row] for row in info.shares]
    for name, values, most in (("share", shares, 100), ("clips", info.counts, max(map(max, info.counts)))):
        drawn.add_heatmap(
            name=name,
            x=list(range(len(names))),
            y=list(range(len(names))),
            z=values,
            customdata=info.counts if name == "share" else shares,
            zmin=0,
            zmax=max(1, most),
            colorscale=[[index / (len(SCALE) - 1), colour] for index, colour in enumerate(SCALE)],
            showscale=False,
            xgap=2,
            ygap=2,
            visible=name == "share",
            hovertemplate="true %{y}, predicted %{x}<br>"
            + ("%{z:.1f} % of the true class, %{customdata}" if name == "share" else "%{z}")
            + f" clips{'' if name == 'share' else ', %{customdata:.1f} % of the true class'}<extra></extra>",
        )
    return drawn


def _buttons(choices: Sequence[tuple[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """A row of buttons, each of which shows one trace with its texts."""
    return {
        "type": "buttons",
        "direction": "right",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 8},
        "bgcolor": BUTTON,
        "bordercolor": MUTED,
        "font": {"color": BUTTON_INK, "size": 12},
        "active": 0,
        "buttons": [
            {
                "label": label,
                "method": "update",
                "args": [{"visible": [shown is texts for _, shown in choices]}, {"annotations": texts}],
            }
            for label, texts in choices
        ],
    }


def _cell_texts(info: ConfusionInfo, clips: bool, large: int, small: int) -> list[dict[str, Any]]:
    """The coloured value large and the other one small in every cell that is not empty; sizes in pixels."""
    most = max(1, max(map(max, info.counts)))
    texts = []
    for row, shares in enumerate(info.shares):
        for column, share in enumerate(shares):
            if not share:
                continue
            count = info.counts[row][column]
            first, second = (f"{count}", f"{100 * share:.0f} %") if clips else (f"{100 * share:.0f}", f"{count}")
            dark = (count / most if clips else share) > DARK_CELL
            texts.append(
                {
                    "x": column,
                    "y": row,
                    "text": f"{first}<br><span style='font-size:{small}px'>{second}</span>",
                    "showarrow": False,
                    "font": {"size": large, "color": SURFACE if dark else INK},
                }
            )
    return texts
