"""How well each test speaker is recognised, by every seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import plotly.graph_objects as go

from search.pages.figures._intervals import number, value_column
from search.pages.figures._style import BLUE, GREEN, INK, MUTED, ORANGE, SURFACE, blank, plain
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import count, in_percent, percent

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
    """One test speaker: UAR of each seed in [0, 1], and the gender or ""."""

    name: str
    gender: str
    clips: int
    seeds: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.seeds)

    @property
    def range(self) -> float:
        """From the worst seed to the best."""
        return max(self.seeds) - min(self.seeds)


@dataclass(frozen=True, kw_only=True)
class SpeakersInfo:
    """Speakers that are drawn, the best recognised first, out of `speakers`; UAR of all and of each gender."""

    drawn: tuple[Speaker, ...]
    speakers: int
    uar: float
    genders: tuple[tuple[str, float], ...]


def info(run: RunView) -> SpeakersInfo | None:
    """The scores of speakers in result.json."""
    if run.result is None or "per_speaker" not in run.result["test"]:
        return None
    test = run.result["test"]
    ranked = [
        Speaker(name, own["gender"] or "", own["clips"], tuple(number(seed) for seed in own["uar"]["seeds"]))
        for name, own in test["per_speaker"].items()
    ]
    ranked.sort(key=lambda speaker: -speaker.mean)
    rows = min(len(ranked), MOST_SPEAKERS)
    kept = {round(index * (len(ranked) - 1) / max(1, rows - 1)) for index in range(rows)}
    return SpeakersInfo(
        drawn=tuple(ranked[index] for index in sorted(kept)),
        speakers=len(ranked),
        uar=test["uar"]["mean"],
        genders=tuple((gender, own["uar"]["mean"]) for gender, own in test["per_gender"].items()),
    )


def reading(info: SpeakersInfo) -> str:
    """Best and worst speaker, what a seed moves beside it, and the genders."""
    best, worst = info.drawn[0], info.drawn[-1]
    if info.speakers == 1:
        return f"The only test speaker, {best.name}, is recognised with a UAR of {percent(best.mean)}."
    text = f"From {percent(worst.mean)} for speaker {worst.name} to {percent(best.mean)} for speaker {best.name}"
    if len(best.seeds) > 1:
        text += f", where a seed moves a speaker by up to {100 * max(s.range for s in info.drawn):.1f} points"
    if len(info.genders) > 1:
        text += "; " + ", ".join(f"{gender} speakers reach {percent(uar)}" for gender, uar in info.genders)
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
            "uar_percent": in_percent(uar),
            "mean_uar_percent": in_percent(speaker.mean),
        }
        for speaker in info.drawn
        for seed, uar in enumerate(speaker.seeds, start=1)
    ]


def figure(info: SpeakersInfo, *, narrow: bool = False) -> go.Figure:
    """A strip per speaker: small marks are seeds, the large one is their mean, its shape the gender."""
    height = max(110 + 22 * len(info.drawn), 0 if narrow else 360)
    drawn = blank(height=height, narrow=narrow, x="UAR on the speaker's test clips, %")
    for gender, (colour, symbol) in GENDERS.items():
        rows = [(place, speaker) for place, speaker in enumerate(info.drawn) if _marked_as(speaker) == gender]
        if not rows:
            continue
        marker = {"color": colour, "symbol": symbol}
        drawn.add_scatter(
            x=[round(100 * uar, 2) for _, speaker in rows for uar in speaker.seeds],
            y=[place for place, speaker in rows for _ in speaker.seeds],
            customdata=[
                [plain(speaker.name), seed] for _, speaker in rows for seed in range(1, len(speaker.seeds) + 1)
            ],
            mode="markers",
            showlegend=False,
            marker={**marker, "size": 7, "opacity": 0.5},
            hovertemplate="speaker %{customdata[0]}, seed %{customdata[1]}: %{x:.1f} %<extra></extra>",
        )
        drawn.add_scatter(
            x=[round(100 * speaker.mean, 2) for _, speaker in rows],
            y=[place for place, _ in rows],
            customdata=[[plain(speaker.name), speaker.clips] for _, speaker in rows],
            mode="markers",
            name=gender or "gender unknown",
            marker={**marker, "size": 13, "line": {"color": SURFACE, "width": 1}},
            hovertemplate="speaker %{customdata[0]}, %{customdata[1]} clips: mean %{x:.1f} %<extra></extra>",
        )
    drawn.add_vline(
        x=100 * info.uar,
        line={"color": MUTED, "width": 1.5, "dash": "dash"},
        annotation={"text": f"all: {100 * info.uar:.1f}", "font": {"color": INK, "size": 12}, "yshift": 4},
        annotation_position="top",
    )
    value_column(drawn, {place: f"{100 * s.mean:.1f}" for place, s in enumerate(info.drawn)}, narrow=True)
    drawn.update_yaxes(
        tickvals=list(range(len(info.drawn))),
        ticktext=[plain(speaker.name, 12 if narrow else 20) for speaker in info.drawn],
        title={"text": "test speaker"},
        range=[len(info.drawn) - 0.3, -0.7],
        showgrid=False,
    )
    drawn.update_layout(margin={"t": 62}, legend={"y": 1, "yref": "container", "yanchor": "top"})
    low, high = (pick(uar for speaker in info.drawn for uar in speaker.seeds) for pick in (min, max))
    drawn.update_xaxes(range=[100 * low - 3, 100 * high + 3])
    return drawn


def _marked_as(speaker: Speaker) -> str:
    return speaker.gender if speaker.gender in GENDERS else ""
