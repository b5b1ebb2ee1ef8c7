"""How long the clips are, and how much of them the model is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.pages.figures import _insight
from search.pages.figures._insight import PARTS, part_marker
from search.pages.figures._style import INK, above, blank, upright
from search.run_folder.records import Value
from search.run_folder.run_view import RunView
from search.wording import percent

TITLE = "How long the clips are, and what the model takes of them"
SECTION, ORDER, WIDE = "Data and model", 20, False
EMPTY = _insight.EMPTY


@dataclass(frozen=True, kw_only=True)
class DurationsInfo:
    """A histogram of the files' lengths, in seconds.

    Attributes:
        edges: of the bins, one more than bins. clips: part -> clips per bin.
        taken: part of a clip that the model is given, None when its features sum up the whole clip.
        longer: share of the clips that are longer than `taken`.
        trim_db: how far below the peak silence at both ends is cut away first; 0 for not at all.
    """

    edges: tuple[float, ...]
    clips: Mapping[str, tuple[int, ...]]
    shortest: float
    median: float
    longest: float
    taken: float | None
    longer: float
    trim_db: float


def info(run: RunView) -> DurationsInfo | None:
    """The histogram of insight.json."""
    if run.insight is None:
        return None
    found = run.insight["durations"]
    return DurationsInfo(
        edges=tuple(found["edges_seconds"]),
        clips={part: tuple(found["clips"][part]) for part in PARTS},
        shortest=found["shortest_seconds"],
        median=found["median_seconds"],
        longest=found["longest_seconds"],
        taken=None if found["whole_clips"] else found["clip_seconds"],
        longer=found["longer_share"],
        trim_db=found["trim_db"],
    )


def reading(info: DurationsInfo) -> str:
    """Range and median, and how many clips lose something."""
    text = f"Clips last {info.shortest:.1f} to {info.longest:.1f} s, half of them less than {info.median:.1f} s; "
    if info.taken is None:
        return text + "the features sum up each clip as a whole, whatever its length."
    if info.trim_db:
        text += f"silence at both ends is cut away (below {info.trim_db:g} dB of the peak), and then "
    what = f"the model is given {info.taken:g} s of each"
    return text + (f"{what}." if info.trim_db else f"{what}, so {percent(info.longer)} are cut and the rest is padded.")


def table(info: DurationsInfo) -> list[dict[str, Value | None]]:
    """A row per bin."""
    return [
        {
            "from_seconds": round(info.edges[index], 3),
            "to_seconds": round(info.edges[index + 1], 3),
            **{f"{part}_clips": info.clips[part][index] for part in PARTS},
        }
        for index in range(len(info.edges) - 1)
    ]


def figure(info: DurationsInfo, *, narrow: bool = False) -> go.Figure:
    """Stacked bars, and a line where the model's view of a clip ends."""
    taken = [] if info.taken is None else [info.taken]
    drawn = blank(
        height=360 if narrow else 560,
        narrow=narrow,
        x="length of the file, s",
        y="clips",
        xaxis={"rangemode": "tozero"},
        barmode="stack",
        bargap=0,
        legend={"y": 1.06, "traceorder": "normal"},
        shapes=[upright(end, color=INK, width=2, dash="dash") for end in taken],
        annotations=[above(end, f"given: {end:g} s", color=INK, size=12) for end in taken],
    )
    centres = [(low + high) / 2 for low, high in zip(info.edges, info.edges[1:], strict=False)]
    widths = [high - low for low, high in zip(info.edges, info.edges[1:], strict=False)]
    for part in PARTS:
        drawn.add_bar(
            x=centres,
            y=list(info.clips[part]),
            width=widths,
            name=part,
            marker=part_marker(part),
            hovertemplate=f"about %{{x:.2f}} s, {part}: %{{y:,}} clips<extra></extra>",
        )
    return drawn
