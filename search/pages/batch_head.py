"""The live page of a batch as plain text: a line for each run, and the numbers of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.pages.run_head import Tile
from search.run_folder.architectures import trial_epochs
from search.run_folder.run_score import run_score
from search.run_folder.run_view import RunView
from search.run_folder.standing import Standing, Tally, recorded_stage, search_seconds_left
from search.wording import NONE, count, duration

NOT_BEGUN, DONE = "not begun", "done"


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run of a batch.

    Attributes:
        name: of its folder. stage: what it is doing, or `NOT_BEGUN` or `DONE`.
        trials, best, test, left: as the table has them.
        last: when its newest record was written, in seconds since 1970, while it is under way; None otherwise.
        stopping: somebody asked it to stop, and its driver has not noticed yet.
        counted: its trials; None before it has begun.
        of: trials that it may have.
    """

    name: str
    stage: str
    trials: str = NONE
    best: str = NONE
    test: str = NONE
    left: str = NONE
    last: float | None = None
    stopping: bool = False
    counted: Tally | None = None
    of: int = 0

    @property
    def begun(self) -> bool:
        """True when it has a page of its own."""
        return self.stage != NOT_BEGUN

    @property
    def done(self) -> bool:
        return self.stage == DONE


@dataclass(frozen=True, kw_only=True)
class BatchHead:
    """All text of the page; nothing in it is escaped yet.

    Attributes:
        pages: (address, name) of what the runs say together so far.
        last: when the newest record of any run was written; None before the first.
    """

    run: str
    title: str
    lead: str
    finished: bool
    status: str
    tiles: tuple[Tile, ...]
    lines: tuple[RunLine, ...]
    pages: tuple[tuple[str, str], ...]
    last: float | None


def run_line(name: str, run: RunView | None, *, stopping: bool) -> RunLine:
    """The line of one run; `run` is None before it has a plan."""
    if run is None:
        return RunLine(name=name, stage=NOT_BEGUN)
    plan, records = run.plan, run.records
    standing, score, done = Standing(records), plan.headline, run.result is not None
    counted = standing.tally(trial_epochs(plan))
    stage = str(recorded_stage(records))
    left = None
    if not done and stage == "search":
        left = search_seconds_left(plan, standing, epochs=counted.epochs_trained, seconds=records.seconds)
    return RunLine(
        name=name,
        stage=DONE if done else stage,
        trials=f"{counted.ended:,} of {plan.limits.trials:,}",
        best=NONE if standing.best is None else score.text(standing.best.value),
        test=NONE if run.result is None else score.text(run_score(run.result["test"], score.name).value),
        left=NONE if left is None else duration(left),
        last=records.sessions[-1].last if records.sessions and not done else None,
        stopping=stopping,
        counted=counted,
        of=plan.limits.trials,
    )


def batch_head(
    name: str,
    models: Sequence[str],
    protocol: str,
    lines: Sequence[RunLine],
    pages: Sequence[tuple[str, str]],
    newest: float | None,
    seconds: float,
) -> BatchHead:
    """The head of a batch at any moment of it.

    Args:
        models: of its runs. protocol: of which each run is a fold, "" for none.
        pages, newest: see `BatchHead`, `last`.
        seconds: from the first record of any run to the newest.
    """
    ended, begun = sum(line.done for line in lines), sum(line.begun for line in lines)
    finished = ended == len(lines)
    counted = [line.counted for line in lines if line.counted is not None]
    trials, epochs = (sum(each) for each in ((c.ended for c in counted), (c.epochs_trained for c in counted)))
    saved = sum(each.epochs_saved for each in counted)
    what = f"every fold of {protocol}" if protocol else count(len(models), "model")
    return BatchHead(
        run=name,
        title=f"{', '.join(models)}: {what}" if protocol else ", ".join(models),
        lead=f"{count(len(lines), 'run')} side by side on the same workers. Each has a page of its own while it goes "
        f"and afterwards.",
        finished=finished,
        status="finished" if finished else "not finished",
        tiles=(
            Tile("Runs ended", f"{ended:,} of {len(lines):,}", f"{count(begun - ended, 'run')} under way or stopped"),
            Tile("Trials ended", f"{trials:,} of {sum(line.of for line in lines):,}", "in the runs that have begun"),
            Tile("Epochs trained", f"{epochs:,}", f"{saved:,} saved by ASHA"),
            Tile("Time so far", duration(seconds), "from the first record to the newest"),
        ),
        lines=tuple(lines),
        pages=tuple(pages),
        last=newest,
    )
