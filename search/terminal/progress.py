"""The live view of a run in the terminal: one table redrawn in place, or plain lines without a terminal.

Reads the run's records and draws; decides nothing. Standard library and rich only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.run_folder.architectures import model_text, trial_epochs
from search.run_folder.caveat_facts import facts_of_plan
from search.run_folder.finals_rule import finalists_of
from search.run_folder.plan import SearchPlan
from search.run_folder.records import Phase, RunRecords, TrialRecord
from search.run_folder.standing import Stage as Stage
from search.run_folder.standing import Standing, Tally, search_seconds_left
from search.wording import NONE, count, printable, tags, value_text
from ser_core.named_scores import Score
from spaces.several import for_choice

FRAME_SECONDS = 0.25
FRAME_SHARE = 0.02
"""A terminal is redrawn at most this often, and for at most this share of the driver's time, which trials wait for."""
LINE_SECONDS = 10.0
MOST_RUNNING = 8


class Progress:
    """Shows a run while its block lasts; `update` may be called at any rate.

    Args:
        plan: what the run is to do.
        records: the run's records, read anew at every update.
        console: where to draw; one that is no terminal gets a plain line at most every 10 s and at each new stage.
        clock: seconds, the same clock as the records'.
    """

    def __init__(
        self, plan: SearchPlan, records: RunRecords, console: Console, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._plan, self._records, self._console, self._clock = plan, records, console, clock
        self._stage, self._detail = Stage.FEATURES, ""
        self._begun = clock()
        self._standing = Standing(records)
        self._epochs_before = self._standing.tally(trial_epochs(plan)).epochs_trained
        self._search_begun = self._begun
        self._due = -math.inf
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()
        if self._live is not None:
            self._live.stop()

    def phase(self, stage: Stage) -> None:
        """The run enters another stage; drawn at once."""
        self._stage, self._detail = stage, ""
        if self._stage is Stage.SEARCH:
            self._search_begun = self._clock()
        self._draw()

    def features(self, done: int, clips: int) -> None:
        """So many clips have their features."""
        self._detail = f"{done:,} of {count(clips, 'clip')}"
        self.update()

    def update(self) -> None:
        """Draw what the records say now, four times a second at most."""
        if self._clock() >= self._due:
            self._draw()

    def message(self, text: str) -> None:
        """A line that stays, above the table."""
        self._console.print(Text(printable(text)))

    def _draw(self) -> None:
        began = self._clock()
        self._standing.update()
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)
            pause = min(max(FRAME_SECONDS, (self._clock() - began) / FRAME_SHARE), LINE_SECONDS)
        else:
            self._console.print(Text(self._line()), soft_wrap=True)
            pause = LINE_SECONDS
        self._due = began + pause

    # -- what is shown ---------------------------------------------------------------------------------------------

    def _panel(self) -> Panel:
        counted = self._standing.tally(trial_epochs(self._plan))
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        facts.add_row("trials", _states(counted, self._plan.limits.trials))
        facts.add_row("epochs", Text(_epochs(counted)))
        facts.add_row("best", self._best())
        facts.add_row("time", Text(self._times(counted)))
        facts.add_row("stage", self._stages())
        parts: list[Table | ProgressBar] = [facts]
        if self._stage is Stage.SEARCH:
            done = min(counted.ended, self._plan.limits.trials)
            parts += [ProgressBar(total=self._plan.limits.trials, completed=done), self._running()]
        title = Text(_title(self._plan), style="bold")
        return Panel(Group(*parts), title=title, title_align="left", border_style="dim")

    def _line(self) -> str:
        counted = self._standing.tally(trial_epochs(self._plan))
        best = self._standing.best
        detail = self._finals() if self._stage in (Stage.FINALS, Stage.REFIT) else self._detail
        parts = [f"[{self._stage}] {detail}".rstrip()]
        if self._records.trials:
            parts += [_states(counted, self._plan.limits.trials).plain, _epochs(counted)]
        if best is not None:
            parts.append(f"best {self._plan.headline.text(best.value)} (trial {best.number}, epoch {best.best_epoch})")
        return " | ".join([*parts, self._times(counted)])

    def _best(self) -> Text:
        best = self._standing.best
        if best is None:
            return Text("no epoch has ended yet", style="dim")
        head = f"{self._plan.headline.text(best.value)} {self._plan.headline.label}"
        text = Text.assemble((head, "bold green"), f"  trial {best.number}, epoch {best.best_epoch}")
        values = "  ".join(f"{name}={value_text(value)}" for name, value in best.params.items())
        return text.append(f"\n{values}", style="dim")

    def _stages(self) -> Text:
        text = Text()
        for stage in Stage:
            style = "bold reverse" if stage is self._stage else "dim"
            text.append(f" {stage} ", style=style).append(" ")
        return text.append(self._finals() if self._stage in (Stage.FINALS, Stage.REFIT) else self._detail)

    def _finals(self) -> str:
        """Of the present finalists and winner: a run that was extended keeps the finals of its earlier choice."""
        finals, seeds = self._records.finals, self._plan.seeds
        finalists = {trial.number for trial in finalists_of(self._plan, self._records)}
        repeats = sum(f.ended is not None for f in finals if f.phase is Phase.FINALIST and f.trial in finalists)
        winner = next((f.trial for f in reversed(finals) if f.phase is Phase.REFIT), None)
        refits = sum(f.ended is not None for f in finals if f.phase is Phase.REFIT and f.trial == winner)
        refits = refits if self._stage is Stage.REFIT else 0
        return f"{repeats} of {len(finalists) * seeds} repeats, {refits} of {seeds} refits"

    def _running(self) -> Table:
        running = self._standing.running
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        label = self._plan.headline.label
        for heading in ("running", "epoch", f"last {label}", f"best {label}"):
            table.add_column(heading, justify="left" if heading == "running" else "right")
        for trial in running[:MOST_RUNNING]:
            table.add_row(f"trial {trial.number}", self._epochs_of(trial), *_scores(trial, self._plan.headline))
        if len(running) > MOST_RUNNING:
            table.add_row(f"and {len(running) - MOST_RUNNING} more")
        return table

    def _epochs_of(self, trial: TrialRecord) -> str:
        """How far a trial is, and in which of the folds that it trains one after another."""
        whole, folds = for_choice(trial_epochs(self._plan), trial.params), self._plan.folds_in_turn
        epochs = f"{len(trial.epochs)}/{whole}"
        return epochs if folds == 1 else f"{epochs}, fold {min(trial.folds + 1, folds)}"

    def _times(self, counted: Tally) -> str:
        text = f"{clock_text(self._clock() - self._begun)} elapsed"
        left = self._seconds_left(counted)
        return text if left is None else f"{text}, about {clock_text(left)} of search left"

    def _seconds_left(self, counted: Tally) -> float | None:
        """Time for the epochs still to be trained, at the pace of this session; None while it cannot be estimated."""
        if self._stage is not Stage.SEARCH:
            return None
        left = search_seconds_left(
            self._plan,
            self._standing,
            epochs=counted.epochs_trained - self._epochs_before,
            seconds=self._clock() - self._search_begun,
        )
        if left is not None and self._plan.limits.hours is not None:
            left = min(left, max(0.0, 3600 * self._plan.limits.hours - self._records.seconds))
        return left


def _title(plan: SearchPlan) -> str:
    return f"{model_text(plan, None)} on {printable(plan.corpus.name)}{tags(facts_of_plan(plan))}"


def clock_text(seconds: float) -> str:
    """Hours, minutes and seconds as 0:42, 12:05 or 3:12:05."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _states(counted: Tally, trials: int) -> Text:
    states = [
        (counted.running, "running", "cyan"),
        (counted.complete, "complete", "green"),
        (counted.pruned, "stopped early", "yellow"),
        (counted.failed, "failed", "red"),
    ]
    text = Text(f"{counted.ended + counted.running} of {trials}: ")
    return text.append_text(Text(", ").join(Text(f"{n} {word}", style=style) for n, word, style in states if n))


def _epochs(counted: Tally) -> str:
    saved = f"{counted.epochs_saved:,} saved by ASHA ({100 * counted.saved_share:.0f} %)"
    return f"{count(counted.epochs_trained, 'epoch')} trained, {saved}"


def _scores(trial: TrialRecord, score: Score) -> tuple[str, str]:
    if not trial.epochs or not math.isfinite(trial.value):
        return NONE, NONE
    last = trial.scoring.value(trial.epochs[-1])
    return (score.text(last) if math.isfinite(last) else "NaN", score.text(trial.value))
