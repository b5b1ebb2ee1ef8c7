"""Timeline: what every worker did when, so that idle time is seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from search.pages.figures._style import FATES, GRID, MUTED, SURFACE, blank, plain
from search.run_folder.records import TrialRecord, TrialState, Value
from search.run_folder.run_view import RunView
from search.wording import count, duration

TITLE = "Timeline: what the workers did"
SECTION, ORDER, WIDE = "Workers", 10, True
EMPTY = "No worker has reported yet."
MOST_WORKERS = 40


@dataclass(frozen=True)
class Span:
    """One trial on one worker; seconds since the run's first trial."""

    number: int
    worker: int
    state: TrialState
    start: float
    end: float
    epochs: int


@dataclass(frozen=True, kw_only=True)
class TimelineInfo:
    """Spans by start; `workers` are node and process in order of appearance.

    Attributes:
        busy_seconds: that each worker spent on training epochs.
        worker_seconds: that all of them had: between the first trial's start and the last one's end, the length of each
            session of the search times the workers at work in it, of which as many work at once as the plan allows.
        pauses: (start, end) between two sessions, when no search was running, in seconds since the first trial.
    """

    workers: tuple[str, ...]
    spans: tuple[Span, ...]
    busy_seconds: tuple[float, ...]
    worker_seconds: float
    pauses: tuple[tuple[float, float], ...] = ()

    @property
    def seconds(self) -> float:
        """From the first trial's start to the last one's end."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def utilisation(self) -> float:
        """Time spent on training epochs as a share of all workers' time, in [0, 1]."""
        return min(1.0, sum(self.busy_seconds) / max(1e-9, self.worker_seconds))


def info(run: RunView) -> TimelineInfo | None:
    """Trials that a worker has reported on. A running one ends where its reports end.

    A trial that was resumed is drawn with the session that ended it, on the worker that did.
    """
    reported = [trial for trial in run.records.trials.values() if trial.worker]
    trials = sorted(reported, key=lambda trial: (trial.started, trial.number))
    if not trials:
        return None
    zero = trials[0].started
    last = max(_end(trial) for trial in trials)
    sessions = [(s.started - zero, min(s.last, last) - zero) for s in run.records.sessions if s.started < last]
    sessions = sessions or [(0.0, last - zero)]  # records that name no session were written in one
    rows: dict[str, int] = {}
    spans, present = [], [set[int]() for _ in sessions]  # workers of each session
    for trial in trials:
        row = rows.setdefault(trial.worker, len(rows))
        start, end = trial.started - zero, _end(trial) - zero
        session = max(0, sum(begin <= end for begin, _ in sessions) - 1)
        present[session].add(row)
        start = max(start, sessions[session][0])
        spans.append(Span(trial.number, row, trial.state, start, end, len(trial.epochs)))
    busy = [0.0] * len(rows)
    for trial in trials:
        busy[rows[trial.worker]] += trial.train_seconds
    most = run.plan.limits.concurrency or len(rows)
    lengths = [end - max(0.0, begin) for begin, end in sessions]
    return TimelineInfo(
        workers=tuple(rows),
        spans=tuple(spans),
        busy_seconds=tuple(busy),
        worker_seconds=sum(length * min(len(own), most) for length, own in zip(lengths, present, strict=True)),
        pauses=tuple((max(0.0, end), begin) for (_, end), (begin, _) in pairwise(sessions) if begin > max(0.0, end)),
    )


def _end(trial: TrialRecord) -> float:
    return trial.ended if trial.ended is not None else trial.started + trial.setup_seconds + trial.train_seconds


def reading(info: TimelineInfo) -> str:
    """Utilisation and its base."""
    text = (
        f"{count(len(info.workers), 'worker')} spent {100 * info.utilisation:.0f} % of {duration(info.worker_seconds)} "
        f"of their time on training epochs; gaps are waiting, set-up and the search itself."
    )
    if info.pauses:
        paused = duration(sum(end - start for start, end in info.pauses))
        text += f" The search stood still for {paused}, which does not count."
    return text + (f" Shown are the first {MOST_WORKERS} workers." if len(info.workers) > MOST_WORKERS else "")


def table(info: TimelineInfo) -> list[dict[str, Value | None]]:
    """A row per trial."""
    return [
        {
            "trial": span.number,
            "worker": info.workers[span.worker],
            "state": span.state.value,
            "start_seconds": round(span.start, 2),
            "end_seconds": round(span.end, 2),
            "epochs": span.epochs,
        }
        for span in info.spans
    ]


def figure(info: TimelineInfo, *, narrow: bool = False) -> go.Figure:
    """A row per worker, a bar per trial, coloured by fate."""
    unit, scale = next(((u, s) for u, s in (("h", 3600), ("min", 60)) if info.seconds > 2 * s), ("s", 1))
    shown = min(len(info.workers), MOST_WORKERS)
    height = 130 + (38 if shown <= 12 else 18) * shown
    drawn = blank(
        height=height,
        narrow=narrow,
        x=f"time since the first trial, {unit}",
        xaxis={"rangemode": "tozero"},
        yaxis={
            "autorange": "reversed",
            "tickvals": list(range(shown)),
            "ticktext": [f"worker {row + 1}" for row in range(shown)],
            "showgrid": False,
        },
        barmode="overlay",
        bargap=0.35,
    )
    outline = 1 if len(info.spans) <= 60 * shown else 0  # parts trials that follow at once; hides those of few pixels
    for state, fate in FATES.items():
        spans = [span for span in info.spans if span.state is state and span.worker < shown]
        if spans:
            drawn.add_bar(
                x=[round((span.end - span.start) / scale, 4) for span in spans],
                base=[round(span.start / scale, 4) for span in spans],
                y=[span.worker for span in spans],
                customdata=[(s.number, s.epochs, plain(info.workers[s.worker])) for s in spans],
                orientation="h",
                name=fate.label,
                marker={"color": fate.colour, "line": {"width": outline, "color": SURFACE}},
                hovertemplate=f"trial %{{customdata[0]}}, {fate.label}, epochs: %{{customdata[1]}}<br>"
                f"%{{x:.2f}} {unit} on %{{customdata[2]}}<extra></extra>",
            )
    for start, end in info.pauses:
        drawn.add_vrect(
            x0=round(start / scale, 4),
            x1=round(end / scale, 4),
            line_width=0,
            fillcolor=GRID,
            layer="below",
            annotation={"text": "no search", "font": {"color": MUTED, "size": 11}},
            annotation_position="top left",
        )
    return drawn
