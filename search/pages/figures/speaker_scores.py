"""How well each test speaker is recognised, by every seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import plotly.graph_objects as go

from search.pages.figures._intervals import number, value_column
from search.pages.figures._style import BLUE, GREEN, INK, MUTED, ORANGE, SURFACE, above, blank, plain, upright
from search.run_folder.records import Value
from search.run_folder.run_score import headline_of
from search.run_folder.run_view import RunView
from search.wording import count
from ser_core.named_scores import Score

TITLE = "Test speakers: who is recognised, and who is not"
SECTION, ORDER, WIDE = "Result", 26, False
EMPTY = "The test set has not been read yet, or by a version that kept no scores of speakers."
MOST_SPEAKERS = 30
"""Rows that are drawn; of more speakers, an even sample of the ranking with its first and last."""
GENDERS: Mapping[str, tuple[str, str]] = {
    "female": (BLUE, "circle"),
    "male": (ORANGE, "diamond"),
    "": (GREEN, "square"),
}


@dataclass(frozen=True)
class Speaker:
    """One test speaker: the score of each seed, and the gender or ""."""

    name: str
    gender: str
    clips: int
    seeds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean([value for value in self.seeds if math.isfinite(value)] or [math.nan])

    @property
    def range(self) -> float:
        """From the worst seed to the best."""
        return max(self.seeds) - min(self.seeds)


@dataclass(frozen=True, kw_only=True)
class SpeakersInfo:
    """Speakers that are drawn, the best recognised first, out of `speakers`; the score of all and of each gender."""

    drawn: tuple[Speaker, ...]
    speakers: int
    score: Score
    value: float
    genders: tuple[tuple[str, float], ...]


def info(run: RunView) -> SpeakersInfo | None:
    """The scores of speakers in result.json."""
    if run.result is None or "per_speaker" not in run.result["test"]:
        return None
    test, score = run.result["test"], headline_of(run.result)
    ranked = [
        Speaker(name, own["gender"] or "", own["clips"], tuple(number(seed) for seed in own[score.name]["seeds"]))
        for name, own in test["per_speaker"].items()
    ]
    ranked = [speaker for speaker in ranked if math.isfinite(speaker.mean)]  # ratings of one clip have no CCC
    if not ranked:
        return None
    ranked.sort(key=lambda speaker: -speaker.mean)
    rows = min(len(ranked), MOST_SPEAKERS)
    kept = {round(index * (len(ranked) - 1) / max(1, rows - 1)) for index in range(rows)}
    return SpeakersInfo(
        drawn=tuple(ranked[index] for index in sorted(kept)),
        speakers=len(ranked),
        score=score,
        value=test[score.name]["mean"],
        genders=tuple((gender, own[score.name]["mean"]) for gender, own in test["per_gender"].items()),
    )


def reading(info: SpeakersInfo) -> str:
    """Best and worst speaker, what a seed moves beside it, and the genders."""
    best, worst, score = info.drawn[0], info.drawn[-1], info.score
    if info.speakers == 1:
        return f"The only test speaker, {best.name}, is recognised with a {score.label} of {score.text(best.mean)}."
    text = f"From {score.text(worst.mean)} for speaker {worst.name} to {score.text(best.mean)} for speaker {best.name}"
    if len(best.seeds) > 1:
        text += f", where a seed moves a speaker by up to {score.distance(max(s.range for s in info.drawn))}"
    if len(info.genders) > 1:
        text += "; " + ", ".join(f"{gender} speakers reach {score.text(value)}" for gender, value in info.genders)
    if info.speakers > len(info.drawn):
        text += f"; drawn are {len(info.drawn)} of {count(info.speakers, 'speaker')}, evenly from the ranking"
    return text + "."


def table(info: SpeakersInfo) -> list[dict[str, Value | None]]:
    """A row per speaker and seed."""
    return [
        {
            "speaker": speaker.name,
            "gender": speaker.gender or None,
            "clips": speaker.clips,
            "seed": seed,
            info.score.column: info.score.cell(value),
            f"mean_{info.score.column}": info.score.cell(speaker.mean),
        }
        for speaker in info.drawn
        for seed, value in enumerate(speaker.seeds, start=1)
    ]


def figure(info: SpeakersInfo, *, narrow: bool = False) -> go.Figure:
    """A strip per speaker: small marks are seeds, the large one is their mean, its shape the gender."""
    height = max(110 + 22 * len(info.drawn), 0 if narrow else 360)
    score = info.score
    title = f"{score.label} on the speaker's test clips{',' * score.percent}{score.unit}"
    seeds = [value for speaker in info.drawn for value in speaker.seeds if math.isfinite(value)]
    values, right = value_column({place: score.digits(s.mean) for place, s in enumerate(info.drawn)}, narrow=True)
    every = score.scaled(info.value)
    drawn = blank(
        height=height,
        narrow=narrow,
        x=title,
        xaxis={"range": [score.scaled(min(seeds) - 0.03), score.scaled(max(seeds) + 0.03)]},
        yaxis={
            "tickvals": list(range(len(info.drawn))),
            "ticktext": [plain(speaker.name, 12 if narrow else 20) for speaker in info.drawn],
            "title": {"text": "test speaker"},
            "range": [len(info.drawn) - 0.3, -0.7],
            "showgrid": False,
        },
        margin={"t": 62, "r": right},
        legend={"y": 1, "yref": "container", "yanchor": "top"},
        shapes=[upright(every, color=MUTED, width=1.5, dash="dash")],
        annotations=[above(every, f"all: {score.digits(info.value)}", color=INK, size=12), *values],
    )
    shown = f"%{{x:{score.hover}}}{score.unit}<extra></extra>"
    for gender, (colour, symbol) in GENDERS.items():
        rows = [(place, speaker) for place, speaker in enumerate(info.drawn) if _marked_as(speaker) == gender]
        if not rows:
            continue
        marker = {"color": colour, "symbol": symbol}
        drawn.add_scatter(
            x=[score.cell(value) for _, speaker in rows for value in speaker.seeds],
            y=[place for place, speaker in rows for _ in speaker.seeds],
            customdata=[
                [plain(speaker.name), seed] for _, speaker in rows for seed in range(1, len(speaker.seeds) + 1)
            ],
            mode="markers",
            showlegend=False,
            marker={**marker, "size": 7, "opacity": 0.5},
            hovertemplate=f"speaker %{{customdata[0]}}, seed %{{customdata[1]}}: {shown}",
        )
        drawn.add_scatter(
            x=[score.cell(speaker.mean) for _, speaker in rows],
            y=[place for place, _ in rows],
            customdata=[[plain(speaker.name), speaker.clips] for _, speaker in rows],
            mode="markers",
            name=gender or "gender unknown",
            marker={**marker, "size": 13, "line": {"color": SURFACE, "width": 1}},
            hovertemplate=f"speaker %{{customdata[0]}}, %{{customdata[1]}} clips: mean {shown}",
        )
    return drawn


def _marked_as(speaker: Speaker) -> str:
    return speaker.gender if speaker.gender in GENDERS else ""
