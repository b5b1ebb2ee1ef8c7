"""What train, validation and test hold: clips of every emotion, speakers of every gender."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from search.pages.figures import _insight
from search.pages.figures._insight import PART_TEXT, PARTS, part_marker
from search.pages.figures._panels import places
from search.pages.figures._style import blank, plain
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
    heights = [len(info.clips) + 0.5, len(info.speakers) + 0.5]
    above, below = places(2, 1, across=0, between=70 / height, heights=heights)
    people, reverse = "speakers" if info.apart else "speakers, counted in each part", {"autorange": "reversed"}
    drawn = blank(
        height=height,
        narrow=narrow,
        **above.axes(x={"title": {"text": "clips"}}, y={**reverse, "showgrid": False}),
        **below.axes(x={"title": {"text": people}}, y={**reverse, "showgrid": False}),
        barmode="stack",
        bargap=0.25,
        legend={"traceorder": "normal"},
    )
    panels = ((above, "clip", info.clips), (below, "speaker", info.speakers))
    return drawn.add_traces(
        [
            {**_bar(part, [plain(name, 14) for name in groups], [own[index] for own in groups.values()], word), **at}
            for at, word, groups in ((place.refs, word, groups) for place, word, groups in panels)
            for index, part in enumerate(PARTS)
        ]
    )


def _bar(part: str, names: list[str], numbers: list[int], word: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": numbers,
        "y": names,
        "orientation": "h",
        "name": part,
        "legendgroup": part,
        "showlegend": word == "clip",
        "marker": part_marker(part),
        "text": [f"{number:,}" if number else "" for number in numbers],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": PART_TEXT[part], "size": 12},
        "hovertemplate": f"%{{y}}, {part}: %{{x:,}} {word}s<extra></extra>",
    }
