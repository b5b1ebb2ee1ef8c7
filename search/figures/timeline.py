"""Timeline: what every worker did when, so that idle time is seen."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from search.figures._style import FATES, blank, count, plain
from search.records import TrialState, Value
from search.view import RunView

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
    """Spans by start; `workers` are node and process in order of appearance."""

    workers: tuple[str, ...]
    spans: tuple[Span, ...]
    training_seconds: float

    @property
    def seconds(self) -> float:
        """From the first trial's start to the last one's end."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def utilisation(self) -> float:
        """Time spent on training epochs as a share of all workers' time, in [0, 1]."""
        return min(1.0, self.training_seconds / max(1e-9, self.seconds * len(self.workers)))


def info(run: RunView) -> TimelineInfo | None:
    """Trials that a worker has reported on. A running one ends where its reports end."""
    reported = [trial for trial in run.records.trials.values() if trial.worker]
    trials = sorted(reported, key=lambda trial: (trial.started, trial.number))
    if not trials:
        return None
    zero = trials[0].started
    rows: dict[str, int] = {}
    spans = []
    for trial in trials:
        end = trial.ended if trial.ended is not None else trial.started + trial.setup_seconds + trial.train_seconds
        row = rows.setdefault(trial.worker, len(rows))
        spans.append(Span(trial.number, row, trial.state, trial.started - zero, end - zero, len(trial.epochs)))
    training_seconds = sum(trial.train_seconds for trial in trials)
    return TimelineInfo(workers=tuple(rows), spans=tuple(spans), training_seconds=training_seconds)


def reading(info: TimelineInfo) -> str:
    """Utilisation and its base."""
    text = (
        f"{count(len(info.workers), 'worker')} spent {100 * info.utilisation:.0f} % of {duration(info.seconds)} "
        f"on training epochs; gaps are waiting, set-up and the search itself."
    )
    return text + (f" Shown are the first {MOST_WORKERS} workers." if len(info.workers) > MOST_WORKERS else "")


def duration(seconds: float) -> str:
    """42 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


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
    drawn = blank(height=height, narrow=narrow, x=f"time since the first trial, {unit}")
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
                marker={"color": fate.colour, "line": {"width": 0}},
                hovertemplate=f"trial %{{customdata[0]}}, {fate.label}, epochs: %{{customdata[1]}}<br>"
                f"%{{x:.2f}} {unit} on %{{customdata[2]}}<extra></extra>",
            )
    drawn.update_layout(barmode="overlay", bargap=0.35)
    labels = [f"worker {row + 1}" for row in range(shown)]
    drawn.update_yaxes(autorange="reversed", tickvals=list(range(shown)), ticktext=labels, showgrid=False)
    drawn.update_xaxes(rangemode="tozero")
    return drawn
