"""What train, validation and test hold: clips of every emotion, speakers of every gender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.pages.figures import _insight
from search.pages.figures._insight import PART_TEXT, PARTS, part_marker
from search.pages.figures._style import TEMPLATE, blank, plain
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import count, percent

TITLE = "Train, validation and test: clips and speakers"
SECTION, ORDER, WIDE = "Data and model", 10, False
EMPTY = _insight.EMPTY


@dataclass(frozen=True, kw_only=True)
class PartsInfo:
    """Emotion -> clips, and gender -> speakers, each of train, validation and test.

    Attributes:
        apart: True when no speaker stands in two parts.
    """

    clips: Mapping[str, tuple[int, ...]]
    speakers: Mapping[str, tuple[int, ...]]
    apart: bool


def info(run: RunView) -> PartsInfo | None:
    """The counts of insight.json."""
    if run.insight is None:
        return None
    parts = [run.insight["parts"][part] for part in PARTS]
    genders = sorted({gender for part in parts for gender in part["speakers"]})
    return PartsInfo(
        clips={word: tuple(part["classes"][word] for part in parts) for word in parts[0]["classes"]},
        speakers={gender: tuple(part["speakers"].get(gender, 0) for part in parts) for gender in genders},
        apart=run.plan.speaker_independent,
    )


def reading(info: PartsInfo) -> str:
    """Sizes, whether the speakers are kept apart, and the rarest emotion in training."""
    sizes = [sum(row[part] for row in info.clips.values()) for part in range(len(PARTS))]
    heads = [sum(row[part] for row in info.speakers.values()) for part in range(len(PARTS))]
    kept_apart = "no speaker in two parts" if info.apart else "speakers in several parts"
    text = (
        f"{count(sizes[0], 'clip')} of {count(heads[0], 'speaker')} to train on, {sizes[1]:,} of {heads[1]:,} to "
        f"validate, {sizes[2]:,} of {heads[2]:,} to test, {kept_apart}"
    )
    if len(info.clips) == 1:
        return f"{text}."
    rarest = min(info.clips, key=lambda word: info.clips[word][0])
    share, even = info.clips[rarest][0] / max(1, sizes[0]), 1 / len(info.clips)
    return (
        f"{text}; the rarest emotion in training, {rarest}, has {percent(share)} of its clips, where an even share is "
        f"{percent(even)}."
    )


def table(info: PartsInfo) -> list[dict[str, Value | None]]:
    """A row per emotion, then one per gender."""
    groups = (("clips", info.clips), ("speakers", info.speakers))
    return [
        {"counted": counted, "group": name, **dict(zip(PARTS, numbers, strict=True))}
        for counted, rows in groups
        for name, numbers in rows.items()
    ]


def figure(info: PartsInfo, *, narrow: bool = False) -> go.Figure:
    """Stacked bars: emotions above, genders below, each on a scale of its own."""
    bars = len(info.clips) + len(info.speakers)
    height = max(560, 170 + 34 * bars)
    drawn = make_subplots(
        rows=2,
        cols=1,
        row_heights=[len(info.clips) + 0.5, len(info.speakers) + 0.5],
        vertical_spacing=70 / height,
        figure=blank(height=height, narrow=narrow),
    )
    for row, (word, groups) in enumerate((("clip", info.clips), ("speaker", info.speakers)), start=1):
        for index, part in enumerate(PARTS):
            numbers = [numbers[index] for numbers in groups.values()]
            drawn.add_trace(_bar(part, [plain(name, 14) for name in groups], numbers, word), row=row, col=1)
    drawn.update_layout(template=TEMPLATE, barmode="stack", bargap=0.25, legend={"traceorder": "normal"})
    drawn.update_xaxes(title_text="clips", row=1, col=1)
    drawn.update_xaxes(title_text="speakers" if info.apart else "speakers, counted in each part", row=2, col=1)
    drawn.update_yaxes(autorange="reversed", showgrid=False)
    return drawn


def _bar(part: str, names: list[str], numbers: list[int], word: str) -> go.Bar:
    return go.Bar(
        x=numbers,
        y=names,
        orientation="h",
        name=part,
        legendgroup=part,
        showlegend=word == "clip",
        marker=part_marker(part),
        text=[f"{number:,}" if number else "" for number in numbers],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": PART_TEXT[part], "size": 12},
        hovertemplate=f"%{{y}}, {part}: %{{x:,}} {word}s<extra></extra>",
    )
