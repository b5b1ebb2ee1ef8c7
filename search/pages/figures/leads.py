"""Leads: how far each trial lies from the recipe on the folds that both trained, against what luck makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures._style import BLUE, MUTED, SLATE, blank
from search.run_folder.prospect import LUCK, FoldLead, fold_leads
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import count
from ser_core.named_scores import Score

TITLE = "Leads: trials against the recipe, fold by fold"
SECTION, ORDER, WIDE = "Search", 15, True
EMPTY = "The recipe has not completed its folds yet, or too few trials share two of them with it."
MOST = 60


@dataclass(frozen=True)
class LeadsInfo:
    """Trials with a complete fold, the largest lead first."""

    leads: tuple[FoldLead, ...]
    score: Score


def concerns(run: RunView) -> bool:
    """Only folds one after another are pairs; and where trials choose an architecture, recipes are several."""
    return run.plan.folds_in_turn > 1 and bool(run.plan.first)


def info(run: RunView) -> LeadsInfo | None:
    """The leads that decide whether the search goes on."""
    leads = fold_leads(run.records)
    ordered = tuple(sorted(leads, key=lambda lead: (-lead.lead, lead.trial)))
    return LeadsInfo(ordered, run.plan.headline) if leads else None


def reading(info: LeadsInfo) -> str:
    """Whether anything leads beyond luck."""
    beyond = [lead for lead in info.leads if lead.beyond_luck]
    best = max(beyond or info.leads, key=lambda lead: lead.against_luck)
    distance = (
        f"trial {best.trial}, {info.score.signed(best.lead)} {info.score.points} over {count(best.folds, 'fold')}"
    )
    luck = f"luck alone makes up to {info.score.digits(LUCK * best.luck)}"
    tried = f"{count(len(info.leads), 'trial')} that trained a whole fold"
    if not beyond:
        return f"Of {tried}, none leads the recipe by more than luck explains. Closest is {distance}; {luck}."
    verb = "leads" if len(beyond) == 1 else "lead"
    return (
        f"Of {tried}, {len(beyond)} {verb} the recipe by more than luck explains; clearest is {distance}, where {luck}."
        f" The more trials there are, the more of them do so by luck: the finals tell."
    )


def table(info: LeadsInfo) -> list[dict[str, Value | None]]:
    """A row per trial."""
    points = "_points" if info.score.percent else ""
    return [
        {
            "trial": lead.trial,
            "folds": lead.folds,
            f"lead{points}": info.score.cell(lead.lead),
            f"luck{points}": info.score.cell(LUCK * lead.luck),
            "beyond_luck": lead.beyond_luck,
        }
        for lead in info.leads
    ]


def figure(info: LeadsInfo, *, narrow: bool = False) -> go.Figure:
    """A point a trial with the bars of luck, beside the line of the recipe."""
    shown = info.leads[:MOST]
    places = range(1, len(shown) + 1, 1 + len(shown) // (12 if narrow else 30))
    drawn = blank(
        height=320 if narrow else 340,
        narrow=narrow,
        x="trial, the best first",
        y=info.score.points,
        xaxis={
            "range": [0.3, len(shown) + 0.7],
            "tickvals": list(places),
            "ticktext": [str(shown[place - 1].trial) for place in places],
            "tickangle": 0,
        },
    )
    for beyond, color, name in ((True, BLUE, "beyond luck"), (False, SLATE, "within luck, or behind")):
        own = [(place, lead) for place, lead in enumerate(shown, 1) if lead.beyond_luck is beyond]
        if own:
            drawn.add_scatter(
                x=[place for place, _ in own],
                y=[info.score.scaled(lead.lead) for _, lead in own],
                mode="markers",
                name=name,
                marker={"color": color, "size": 8},
                error_y={"type": "data", "array": [_luck(lead, info.score) for _, lead in own], "thickness": 1.2},
                customdata=[(lead.trial, lead.folds) for _, lead in own],
                hovertemplate=f"trial %{{customdata[0]}}: %{{y:+{info.score.hover}}} {info.score.points} over "
                "%{customdata[1]} folds<extra></extra>",
            )
    drawn.add_hline(y=0, line={"color": MUTED, "width": 1.5}, annotation_text="the recipe", annotation_font_size=12)
    return drawn


def _luck(lead: FoldLead, score: Score) -> float:
    return score.scaled(LUCK * lead.luck)
