"""Differences: how far each run lies above another on the same test clips, and whether chance explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._intervals import Estimate, error_bars, value_column
from search.pages.figures._style import INK, ORANGE, SLATE, SURFACE, blank, plain, upright
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import count
from ser_core.metrics.paired import Comparison, verdict
from ser_core.named_scores import Score

TITLE = "Differences: which run is better on the same test clips"
SECTION, ORDER, WIDE = "Result", 25, True
EMPTY = (
    "This needs two finished runs of one corpus, split and set of classes that keep what they predicted for the same "
    "test clips."
)
ROW_PIXELS = 34
MOST_PAIRS = 45
"""All pairs of ten runs."""
MARKS = {True: ("shown", ORANGE, "diamond", 13), False: ("not shown", SLATE, "circle", 10)}


@dataclass(frozen=True, kw_only=True)
class DifferencesInfo:
    """Every pair, those with the best run first."""

    pairs: tuple[Comparison, ...]

    @property
    def score(self) -> Score:
        """What is compared."""
        return self.pairs[0].score

    @property
    def drawn(self) -> tuple[Comparison, ...]:
        return self.pairs[:MOST_PAIRS]


def info_of(runs: Sequence[RunView]) -> DifferencesInfo | None:
    """All differences between the runs."""
    ranked = sorted(runs, key=lambda run: -len(run.beats))  # the best beats all others
    pairs = tuple(each for run in ranked for each in run.beats)
    return DifferencesInfo(pairs=pairs) if pairs else None


def reading(info: DifferencesInfo) -> str:
    """How many differences are more than chance, and the leader's."""
    if not info.pairs[0].tested:
        return f"One test speaker tells nothing about others: {'; '.join(verdict(pair) for pair in info.pairs[:3])}."
    shown = sum(pair.shown for pair in info.pairs)
    text = (
        f"{shown or 'None'} of {count(len(info.pairs), 'difference')} in {info.score.label} "
        f"{'is' if shown < 2 else 'are'} shown "
        f"(p < 0.05 over speakers, by Holm's correction): {'; '.join(verdict(pair) for pair in info.pairs[:3])}"
    )
    if len(info.pairs) > MOST_PAIRS:
        text += f"; drawn are the first {MOST_PAIRS}"
    return text + "."


def table(info: DifferencesInfo) -> list[dict[str, Value | None]]:
    """A row per pair."""
    score, points = info.score, "_points" if info.score.percent else ""
    return [
        {
            "first": pair.first,
            "second": pair.second,
            f"{score.name}{points}": score.cell(pair.difference.value),
            f"low{points}": score.cell(pair.difference.interval.low),
            f"high{points}": score.cell(pair.difference.interval.high),
            "p": pair.difference.p_value if pair.tested else None,
            "p_holm": pair.p_holm if pair.tested else None,
            "shown": pair.shown,
            **_mcnemar(pair),
        }
        for pair in info.pairs
    ]


def _mcnemar(pair: Comparison) -> dict[str, Value | None]:
    """Nothing where no clip is right or wrong."""
    if pair.mcnemar is None:
        return {}
    return {
        "only_first_right_clips": pair.mcnemar.only_first,
        "only_second_right_clips": pair.mcnemar.only_second,
        "mcnemar_p_holm": pair.mcnemar_p_holm,
    }


def figure(info: DifferencesInfo, *, narrow: bool = False) -> go.Figure:
    """A line per pair, with its interval, beside the line of no difference."""
    score, found = info.score, [pair.difference for pair in info.drawn]
    estimates = [Estimate(own.value, own.interval.low, own.interval.high) for own in found]
    height = max(110 + ROW_PIXELS * len(estimates), 200)
    texts: dict[float, str] = {row: each.text(short=narrow, score=score) for row, each in enumerate(estimates)}
    values, right = value_column(texts, narrow=narrow)
    drawn = blank(
        height=height,
        narrow=narrow,
        x=score.gap_axis,
        xaxis={"range": _range(estimates, score)},
        yaxis={
            "tickvals": list(range(len(estimates))),
            "ticktext": [_label(pair, 9 if narrow else 28) for pair in info.drawn],
            "range": [len(estimates) - 0.4, -0.6],
            "showgrid": False,
        },
        showlegend=True,
        margin={"r": right},
        shapes=[upright(0, color=INK, width=1, dash="dot")],
        annotations=values,
    )
    for shown, (name, colour, symbol, size) in MARKS.items():
        rows = [row for row, pair in enumerate(info.drawn) if pair.shown is shown]
        drawn.add_scatter(
            x=[score.cell(estimates[row].value) for row in rows],
            y=rows,
            customdata=[plain(verdict(info.drawn[row]), 200) for row in rows],
            error_x={**error_bars([estimates[row] for row in rows], score), "color": colour},
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size, "line": {"color": SURFACE, "width": 1}},
            hovertemplate="%{customdata}<extra></extra>",
        )
    return drawn


def _label(pair: Comparison, longest: int) -> str:
    return f"{plain(pair.first, longest)} − {plain(pair.second, longest)}"


def _range(estimates: Sequence[Estimate], score: Score) -> list[float]:
    """Zero, all differences and, but for what lies more than 30 points (0.3) from them, all intervals."""
    values = [0.0, *(each.value for each in estimates)]
    edges = [edge for each in estimates for edge in (each.low, each.high) if math.isfinite(edge)]
    low, high = max(min([*values, *edges]), min(values) - 0.3), min(max([*values, *edges]), max(values) + 0.3)
    return [score.scaled(low - 0.02), score.scaled(high + 0.02)]
