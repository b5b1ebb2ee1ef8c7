"""The fall: from the best score of the search over the winner's fresh seeds to the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures._style import BLUE, INK, MUTED, ORANGE, SURFACE, blank
from search.run_folder.records import Value
from search.run_folder.run_score import headline_of, run_score, validation_score
from search.run_folder.run_view import RunView
from ser_core.named_scores import Score

TITLE = "The fall: what selection had flattered"
SECTION, ORDER, WIDE = "Result", 10, False
EMPTY = "The test set has not been read yet."


@dataclass(frozen=True)
class Step:
    """One score, with edges or None; `edges` says what they are."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    edges: str = ""


@dataclass(frozen=True, kw_only=True)
class FallInfo:
    """The three scores in order, all of single models; `ensemble` is the test score of theirs, None without one."""

    steps: tuple[Step, Step, Step]
    score: Score
    ensemble: float | None = None


def info(run: RunView) -> FallInfo | None:
    """The scores of result.json; of a single test speaker there is no interval."""
    if run.result is None:
        return None
    best = run.result["search"]["best"]
    winner = next(f for f in run.result["finalists"] if f["trial"] == run.result["winner"]["trial"])
    score = headline_of(run.result)
    test = run.result["test"][score.name]
    low, high = test.get("interval") or (None, None)
    return FallInfo(
        steps=(
            Step("best search score", validation_score(best, score)),
            _with_spread("winner, mean of seeds", validation_score(winner, score)),
            _with_spread("test", test) if low is None else Step("test", test["mean"], low, high, "95 % interval"),
        ),
        score=score,
        ensemble=None if len(test["seeds"]) == 1 else run_score(run.result["test"], score.name).value,
    )


def _with_spread(name: str, score: dict[str, Any]) -> Step:
    mean, std = score["mean"], score["std"]
    if std is None:
        return Step(name, mean)  # one seed has no spread
    return Step(name, mean, mean - std, mean + std, "± deviation over seeds")


def reading(info: FallInfo) -> str:
    """The two differences."""
    best, winner, test = (step.value for step in info.steps)
    text, where = info.score.text, "below" if test < best else "above"
    return (
        f"The search promised {text(best)}; with fresh seeds the winner reaches {text(winner)} on validation and "
        f"{text(test)} on test, {info.score.distance(test - best)} {where} the promise"
        + (f"; the ensemble of its seeds reaches {text(info.ensemble)}." if info.ensemble is not None else ".")
    )


def table(info: FallInfo) -> list[dict[str, Value | None]]:
    """A row per step."""
    return [
        {
            "score": step.name,
            info.score.column: info.score.cell(step.value),
            f"low{info.score.suffix}": info.score.cell(step.low),
            f"high{info.score.suffix}": info.score.cell(step.high),
            "edges": step.edges or None,
        }
        for step in info.steps
    ]


def figure(info: FallInfo, *, narrow: bool = False) -> go.Figure:
    """Three steps from left to right with their intervals and values."""
    score = info.score
    names = [step.name for step in info.steps]
    drawn = blank(
        height=320 if narrow else 360,
        narrow=narrow,
        y=score.axis,
        xaxis={
            "range": [-0.45, 2.85 if narrow else 2.6],
            "tickvals": names,
            "ticktext": [_label(step) for step in info.steps],
            "showgrid": False,
            "tickangle": 0,
        },
        showlegend=False,
        margin={"t": 16},
    )
    values = [score.cell(step.value) for step in info.steps]
    drawn.add_scatter(
        x=names,
        y=values,
        mode="lines",
        line={"color": MUTED, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    for step, colour, symbol in zip(info.steps, (MUTED, BLUE, ORANGE), ("square", "circle", "diamond"), strict=True):
        low, high = (step.value if edge is None else edge for edge in (step.low, step.high))
        drawn.add_scatter(
            x=[step.name],
            y=[score.cell(step.value)],
            mode="markers+text",
            name=step.name,
            marker={"color": colour, "symbol": symbol, "size": 15, "line": {"color": SURFACE, "width": 1}},
            error_y={
                "array": [score.scaled(high - step.value)],
                "arrayminus": [score.scaled(step.value - low)],
                "thickness": 2,
                "width": 8,
            },
            text=[f"<b>{score.text(step.value)}</b>"],
            textposition="middle right",
            textfont={"size": 14, "color": INK},
            hovertemplate=f"{step.name}: {score.text(step.value)}"
            + (f"<br>{score.text(low)} to {score.text(high)} ({step.edges})" if step.edges else "")
            + "<extra></extra>",
        )
    return drawn


def _label(step: Step) -> str:
    """The name of a step, and small below it what its edges are, in lines that fit a phone."""
    name = step.name.replace("search ", "search<br>").replace("mean ", "mean<br>")
    return f"{name}<br><span style='font-size:11px'>{step.edges.replace(' over', '<br>over')}</span>"
