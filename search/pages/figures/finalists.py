"""Finalists: every seed of every finalist, their means, and the score that brought them here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

import plotly.graph_objects as go

from search.pages.figures._style import BLUE, MUTED, ORANGE, SURFACE, blank
from search.run_folder.finals_rule import recipe_trial
from search.run_folder.records import Phase, Value
from search.run_folder.run_view import RunView
from search.run_folder.verdict import tuning_note, tuning_sentence
from search.wording import count
from ser_core.named_scores import Score
from spaces.several import choice_of

TITLE = "Finalists: the same configurations with fresh seeds"
SECTION, ORDER, WIDE = "Result", 20, False
EMPTY = "The finals have not begun."


@dataclass(frozen=True)
class Finalist:
    """One configuration: its search score, and the score of each finished seed on validation.

    `architecture` is the one that it chose, "" where there was no choice.
    """

    trial: int
    recipe: bool
    searched: float
    seeds: tuple[tuple[int, float], ...]
    architecture: str = ""

    @property
    def mean(self) -> float:
        return fmean(value for _, value in self.seeds)

    @property
    def range(self) -> float:
        """From the worst seed to the best."""
        scores = [value for _, value in self.seeds]
        return max(scores) - min(scores)


@dataclass(frozen=True, kw_only=True)
class FinalistsInfo:
    """The best mean first.

    Attributes:
        winner: None until the finals have decided.
        across: every seed trained on a fold of its own.
        score: what the run is judged by.
        worth: what tuning was worth, in words; "" before the end, and for a run that does not say.
    """

    finalists: tuple[Finalist, ...]
    winner: int | None
    score: Score
    across: bool = False
    worth: str = ""


def info(run: RunView) -> FinalistsInfo | None:
    """Finalists with at least one finished seed."""
    seeds: dict[int, list[tuple[int, float]]] = {}
    for final in run.records.finals:
        if final.phase is Phase.FINALIST and final.ended is not None and math.isfinite(final.value):
            seeds.setdefault(final.trial, []).append((final.seed, final.value))
    if not seeds:
        return None
    trials = run.records.trials
    recipes = [recipe_trial(run.records, choice) for choice in {choice_of(trials[number].params) for number in seeds}]
    recipe_numbers = {recipe.number for recipe in recipes if recipe is not None}
    finalists = [
        Finalist(number, number in recipe_numbers, trials[number].value, tuple(own), choice_of(trials[number].params))
        for number, own in seeds.items()
    ]
    return FinalistsInfo(
        finalists=tuple(sorted(finalists, key=lambda finalist: (-finalist.mean, finalist.trial))),
        winner=run.result["winner"]["trial"] if run.result else None,
        score=run.plan.headline,
        across=len(run.plan.final_folds) > 1,
        worth=f"{tuning_sentence(run.result)} {tuning_note(run.result)}".strip() if run.result else "",
    )


def reading(info: FinalistsInfo) -> str:
    """Who leads, and how far seeds alone move a score."""
    leader = next((f for f in info.finalists if f.trial == info.winner), info.finalists[0])
    verb = "wins" if info.winner is not None else "leads"
    text = f"Trial {leader.trial} {verb} with a mean of {info.score.text(leader.mean)} over "
    text += count(len(leader.seeds), "seed")
    spreads = [finalist.range for finalist in info.finalists if len(finalist.seeds) > 1]
    if spreads:
        what = "the seed, with the speakers of its fold," if info.across else "the seed alone"
        text += f"; {what} moves a finalist by up to {info.score.distance(max(spreads))}"
    return f"{text}. {info.worth}".rstrip()


def table(info: FinalistsInfo) -> list[dict[str, Value | None]]:
    """A row per finalist and seed."""
    return [
        {
            "trial": finalist.trial,
            **({"architecture": finalist.architecture} if finalist.architecture else {}),
            "recipe": finalist.recipe,
            "seed": seed,
            f"val_{info.score.column}": info.score.cell(value),
            f"mean_val_{info.score.column}": info.score.cell(finalist.mean),
            f"search_val_{info.score.column}": info.score.cell(finalist.searched),
            "winner": finalist.trial == info.winner,
        }
        for finalist in info.finalists
        for seed, value in finalist.seeds
    ]


def _label(finalist: Finalist, *, won: bool) -> str:
    what = " ".join(filter(None, (finalist.architecture, "recipe" if finalist.recipe else "")))
    return f"{what + ', ' if what else ''}trial {finalist.trial}{' ★' if won else ''}"


def figure(info: FinalistsInfo, *, narrow: bool = False) -> go.Figure:
    """A row per finalist: small circles are seeds, the diamond their mean, the hollow square the search score."""
    height = max(120 + 46 * len(info.finalists), 0 if narrow else 360)
    drawn = blank(
        height=height,
        narrow=narrow,
        x=f"validation {info.score.axis}",
        yaxis={"autorange": "reversed", "type": "category"},
    )
    rows = [_label(finalist, won=finalist.trial == info.winner) for finalist in info.finalists]
    marks = (
        ("score in the search", MUTED, "square-open", 11, [((0, f.searched),) for f in info.finalists]),
        ("one seed", BLUE, "circle", 9, [f.seeds for f in info.finalists]),
        ("mean of the seeds", ORANGE, "diamond", 14, [((0, f.mean),) for f in info.finalists]),
    )
    for name, colour, symbol, size, values in marks:
        outline = {"color": MUTED, "width": 2} if name == "score in the search" else {"color": SURFACE, "width": 1}
        seed = "<br>seed %{customdata}" if name == "one seed" else ""
        drawn.add_scatter(
            x=[info.score.cell(value) for row in values for _, value in row],
            y=[label for label, row in zip(rows, values, strict=True) for _ in row],
            customdata=[seed for row in values for seed, _ in row],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.9, "line": outline},
            hovertemplate=f"%{{y}}, {name}: %{{x:{info.score.hover}}}{info.score.unit}{seed}<extra></extra>",
        )
    return drawn
