"""The page of a corpus: what it holds, what is wrong with it, and how a few clips look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly
from plotly.subplots import make_subplots

from search.comparison.comparable import Banner
from search.pages.comparison_head import ComparisonHead
from search.pages.figures._style import BLUE, SCALE, TEMPLATE, blank, plain
from search.pages.html import build_table_page
from search.pages.sections import PageFigure, Section
from search.wording import clip_text, count
from ser_core.corpus_report import CorpusReport

MOST_BINS, MOST_SPEAKERS, MOST_BAD = 60, 400, 200


def corpus_page(report: CorpusReport) -> str:
    """The whole page, as one file."""
    figures = (
        _figure("classes", "Clips of each class", _bars("clips", _clips_of_classes(report)), _class_rows(report)),
        _figure("lengths", "How long the clips are", _lengths(report), _length_rows(report)),
        _figure("speakers", "Clips of each speaker", _bars("clips", _most(report)), _speaker_rows(report)),
        _figure("clips", "One clip of each class", _pictures(report), _picture_rows(report)),
    )
    bad = [{"file": clip_text(path), "reason": reason} for path, reason in report.bad[:MOST_BAD]]
    return build_table_page(_head(report, bad), [Section(name="Distributions", figures=figures)])


def facts(report: CorpusReport) -> list[tuple[str, str]]:
    """What a table of the corpus says, fact by fact."""
    seconds = report.seconds
    lengths = f"{seconds.min():.2f} to {seconds.max():.2f} s, half below {np.median(seconds):.2f} s"
    return [
        ("corpus", report.corpus),
        ("clips", f"{len(seconds):,}"),
        ("speakers", f"{len(report.speakers):,} ({_listed(report.genders)})"),
        ("hours", f"{report.hours:.2f}"),
        ("lengths", lengths),
        ("classes", ", ".join(f"{word} {clips:,}" for word, (clips, _) in report.classes.items())),
        *((name, f"{low:g} to {high:g}, mean {mean:.3g}") for name, (low, mean, high) in report.ratings.items()),
        ("languages", _listed(report.languages) or "not stated"),
        ("sample rates", ", ".join(f"{rate:,} Hz: {files:,}" for rate, files in report.rates_hz.items())),
        ("licence", report.licence or "not stated"),
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'not stated'} {number:,}" for name, number in counts.items())


def _head(report: CorpusReport, bad: Sequence[Mapping[str, str]]) -> ComparisonHead:
    synthetic = "No person speaks in it: the audio is synthetic. " if report.synthetic else ""
    return ComparisonHead(
        run=report.where,
        title=f"{report.corpus}: {count(len(report.seconds), 'clip')} of {count(len(report.speakers), 'speaker')}",
        lead=f"{synthetic}{report.citation or 'A corpus that is not known by name.'}",
        banners=tuple(Banner("Look at this.", finding) for finding in report.findings),
        columns=("fact", "value"),
        rows=(*facts(report), *((f"cannot be used: {row['file']}", row["reason"]) for row in bad)),
        footer="Lengths and rates are those of the files' headers; every file was decoded once.",
        table="What it holds",
    )


def _figure(name: str, title: str, drawn: tuple[go.Figure, go.Figure], rows: Sequence[Mapping[str, Any]]) -> PageFigure:
    wide, narrow = (json.loads(to_json_plotly(each)) for each in drawn)
    columns = list(rows[0]) if rows else []
    drawing = {
        "name": name,
        "title": title,
        "data": wide["data"],
        "layout": wide["layout"],
        "narrow_layout": narrow["layout"],
        "table": {"columns": columns, "rows": [[row[key] for key in columns] for row in rows]},
    }
    return PageFigure(name=name, section="Distributions", title=title, empty="", wide=False, drawing=drawing)


def _clips_of_classes(report: CorpusReport) -> dict[str, int]:
    return {word: clips for word, (clips, _) in report.classes.items()}


def _most(report: CorpusReport) -> dict[str, int]:
    return dict(list(report.speakers.items())[:MOST_SPEAKERS])


def _bars(unit: str, counts: Mapping[str, int]) -> tuple[go.Figure, go.Figure]:
    def draw(height: int, *, narrow: bool) -> go.Figure:
        drawn = blank(height=height, narrow=narrow, y=unit)
        names = [plain(name, 24) for name in counts]
        drawn.add_bar(
            x=names, y=list(counts.values()), marker={"color": BLUE}, hovertemplate="%{x}: %{y:,}<extra></extra>"
        )
        return drawn.update_xaxes(type="category", showticklabels=len(counts) <= 30)

    return draw(420, narrow=False), draw(340, narrow=True)


def _histogram(report: CorpusReport) -> tuple[np.ndarray, np.ndarray]:
    edges = np.histogram_bin_edges(report.seconds, bins="auto")
    if len(edges) > MOST_BINS + 1:
        edges = np.histogram_bin_edges(report.seconds, bins=MOST_BINS)
    return np.histogram(report.seconds, edges)[0], edges


def _lengths(report: CorpusReport) -> tuple[go.Figure, go.Figure]:
    counts, edges = _histogram(report)

    def draw(height: int, *, narrow: bool) -> go.Figure:
        drawn = blank(height=height, narrow=narrow, x="length of the clip, s", y="clips")
        drawn.add_bar(
            x=((edges[:-1] + edges[1:]) / 2).tolist(),
            y=counts.tolist(),
            width=np.diff(edges).tolist(),
            marker={"color": BLUE},
            hovertemplate="about %{x:.2f} s: %{y:,} clips<extra></extra>",
        )
        return drawn.update_layout(bargap=0)

    return draw(420, narrow=False), draw(340, narrow=True)


def _pictures(report: CorpusReport) -> tuple[go.Figure, go.Figure]:
    def draw(columns: int) -> go.Figure:
        rows = -(-len(report.pictures) // columns)
        titles = [plain(picture.emotion, 20) for picture in report.pictures]
        drawn = make_subplots(rows=rows, cols=columns, subplot_titles=titles)
        for index, picture in enumerate(report.pictures):
            drawn.add_heatmap(
                z=np.round(picture.values.T, 2).tolist(),
                x=np.linspace(0, picture.seconds, len(picture.values)).round(3).tolist(),
                colorscale=list(SCALE),
                showscale=False,
                hovertemplate="%{x:.2f} s, mel bin %{y}<extra></extra>",
                row=index // columns + 1,
                col=index % columns + 1,
            )
        drawn.update_layout(template=TEMPLATE, height=60 + 220 * rows, margin={"l": 16, "r": 20, "t": 44, "b": 16})
        return drawn.update_yaxes(showticklabels=False)

    return draw(2), draw(1)


def _class_rows(report: CorpusReport) -> list[dict[str, Any]]:
    return [{"class": word, "clips": clips, "speakers": people} for word, (clips, people) in report.classes.items()]


def _length_rows(report: CorpusReport) -> list[dict[str, Any]]:
    counts, edges = _histogram(report)
    bins = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
    return [{"from_seconds": round(low, 3), "to_seconds": round(high, 3), "clips": own} for low, high, own in bins]


def _speaker_rows(report: CorpusReport) -> list[dict[str, Any]]:
    return [{"speaker": name, "clips": clips} for name, clips in report.speakers.items()]


def _picture_rows(report: CorpusReport) -> list[dict[str, Any]]:
    return [
        {"class": picture.emotion, "clip": clip_text(picture.clip), "seconds": round(picture.seconds, 3)}
        for picture in report.pictures
    ]
