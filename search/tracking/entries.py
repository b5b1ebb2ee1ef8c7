"""What a tracker shows of a run: the run itself as the parent, its trials and the training runs of its finals below it.

All of it follows from the run folder, times included, so that whatever is sent twice is the same both times.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from pathlib import Path
from typing import Any

from search.run_folder.architectures import model_text
from search.run_folder.caveat_facts import facts_of_run
from search.run_folder.paths import BATCH_FILE
from search.run_folder.records import FinalRun, Phase, TrialRecord, TrialState, Value
from search.run_folder.run_score import run_score
from search.run_folder.run_view import RunView
from search.run_folder.standing import standing_order
from search.wording import caveats, is_number

OVERVIEW = "run"
"""Key and kind of the parent."""


class EntryState(StrEnum):
    """How an entry stands. A trial's words are Optuna's; STOPPED is a run whose driver has ended before its result."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"
    STOPPED = "STOPPED"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Values at one step of an entry, an epoch or a trial; `time` in seconds since 1970."""

    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a tracker has as a run of its own.

    Attributes:
        key: within the run; the same for good.
        kind: "run" for the parent, else "trial", "finalist" or "refit".
        name: as the tracker lists it.
        params: what was chosen before it began, and never changes.
        facts: what else is worth a line, by name; may grow.
        text: a description in Markdown; "" for none.
        state, reason: how it stands; why it failed or was ended early.
        started, ended: seconds since 1970; `ended` is None while it runs.
        points: in order, only ever appended to.
        scores: what it came to, by name; none before its end.
    """

    key: str
    kind: str
    name: str
    params: Mapping[str, Value]
    facts: Mapping[str, str]
    state: EntryState
    started: float
    ended: float | None
    reason: str = ""
    text: str = ""
    points: Sequence[Point] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def standing(self) -> dict[str, str]:
        """How it stands, in words by name: state, reason, text and facts."""
        return {"state": self.state.value, "reason": self.reason, "text": self.text, **self.facts}

    @property
    def settled_at(self) -> float:
        """The time of what is said at its end, or at its beginning while it has none."""
        return self.started if self.ended is None else self.ended


def run_key(run: RunView) -> str:
    """What tells a run from all others, wherever its folder lies: the moment of its beginning, and its command.

    Raises:
        ValueError: a run that has not begun.
    """
    if not run.records.sessions:
        raise ValueError(f"{run.name} has not begun: its records hold no session")
    text = f"{run.records.sessions[0].started!r} {run.plan.command}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def batch_of(folder: Path) -> str:
    """The name of the batch that the run in `folder` belongs to; "" for a run by itself."""
    above = folder.resolve().parent
    return above.name if (above / BATCH_FILE).exists() else ""


def overview(run: RunView, batch: str, *, working: bool) -> Entry:
    """The parent.

    Args:
        batch: see `batch_of`.
        working: the run has a driver, which may still change what is written.
    """
    sessions, result = run.records.sessions, None if working else run.result
    ended = EntryState.STOPPED if result is None else EntryState.COMPLETE
    return Entry(
        key=OVERVIEW,
        kind=OVERVIEW,
        name=f"{batch}/{run.name}" if batch else run.name,
        params=_plan_params(run),
        facts={**_facts(run), **({"batch": batch} if batch else {})},
        state=EntryState.RUNNING if working else ended,
        started=sessions[0].started,
        ended=None if working else sessions[-1].last,
        text=_description(run),
        points=_best_so_far(run),
        scores={} if result is None else _result_scores(result),
    )


def trial_entry(trial: TrialRecord) -> Entry:
    """A trial of the search."""
    ended = trial.state is not TrialState.RUNNING
    return Entry(
        key=trial_key(trial.number),
        kind="trial",
        name=f"trial {trial.number}",
        params=trial.params,
        facts=_said({"origin": trial.origin, "worker": trial.worker, "precision": trial.precision_note}),
        state=EntryState(trial.state.value),
        reason=trial.reason,
        started=trial.started,
        ended=trial.ended if ended else None,
        points=_epoch_points(trial, trial.started),
        scores=_training_scores(trial) if ended else {},
    )


def trial_key(number: int) -> str:
    """The key of a trial's entry."""
    return f"trial-{number:05d}"


def final_entries(run: RunView) -> Iterator[Entry]:
    """The training runs of the finals, as far as they have begun."""
    for final in run.records.finals:
        state = EntryState.COMPLETE if not final.reason else EntryState.FAIL
        yield Entry(
            key=f"{final.phase}-{final.trial:05d}-seed-{final.seed}",
            kind=final.phase.value,
            name=f"{final.phase} trial {final.trial} seed {final.seed}",
            params=run.records.trials[final.trial].params,
            facts=_said({"of trial": str(final.trial), "seed": str(final.seed), "precision": final.precision_note}),
            state=EntryState.RUNNING if final.ended is None else state,
            reason=final.reason,
            started=final.started,
            ended=final.ended,
            points=_epoch_points(final, final.started),
            scores={} if final.ended is None else {**_training_scores(final), **_seed_scores(final, run.result)},
        )


def _epoch_points(run: TrialRecord | FinalRun, begun: float) -> list[Point]:
    """A point for each epoch, at the time at which it would have ended if nothing but training had taken time."""
    times = accumulate((report.seconds for report in run.epochs), initial=begun)
    next(times)
    points = []
    for report, time in zip(run.epochs, times, strict=True):
        values = {name: value for name, value in report.as_json().items() if name != "epoch"}
        points.append(Point(step=report.epoch, time=time, values=_numbers(values)))
    return points


def _best_so_far(run: RunView) -> list[Point]:
    """After each trial that has ended, in the order of their ends: how many there are, and the best score of them."""
    ended = [trial for trial in run.records.trials.values() if trial.ended is not None]
    ended.sort(key=lambda trial: (trial.ended, trial.number))
    best: TrialRecord | None = None
    points = []
    for step, trial in enumerate(ended, 1):
        if trial.state is not TrialState.FAIL and math.isfinite(trial.value):
            best = trial if best is None else min(best, trial, key=standing_order)
        values = _numbers(
            {"best_score": math.nan if best is None else best.value, "score": trial.value, "trials_ended": step}
        )
        points.append(Point(step=step, time=trial.ended or 0.0, values=values))
    return points


def _training_scores(run: TrialRecord | FinalRun) -> dict[str, float]:
    best = {"score": run.value, "best_epoch": run.best_epoch or math.nan}
    return _numbers({**best, "epochs": len(run.epochs), "train_seconds": run.train_seconds})


def _seed_scores(final: FinalRun, result: Mapping[str, Any] | None) -> dict[str, float]:
    """Test scores of one refit with their intervals; none of other runs, and before the test set was read."""
    if result is None or final.phase is not Phase.REFIT or final.trial != result["winner"]["trial"]:
        return {}
    found: dict[str, float] = {}
    for name, score in _test_scores(result["test"]).items():
        if 1 <= final.seed <= len(score["seeds"]):
            bounds = (score.get("seed_intervals") or [])[final.seed - 1 : final.seed]
            found |= _with_bounds(f"test_{name}", score["seeds"][final.seed - 1], *bounds)
    return found


def _result_scores(result: Mapping[str, Any]) -> dict[str, float]:
    """The test scores of the run's default model with intervals, and what the search took."""
    found: dict[str, float] = {}
    for name, score in _test_scores(result["test"]).items():
        own = run_score(result["test"], name)
        found |= _with_bounds(f"test_{name}", own.value, own.interval)
        found |= _numbers({f"test_{name}_seeds_mean": score["mean"], f"test_{name}_seeds_std": score["std"]})
    counts = {f"trials_{state}": number for state, number in result["search"].get("trials", {}).items()}
    cost = {"wall_seconds": result["search"]["wall_seconds"], "test_reads": result["test_reads"]}
    return {**found, **_numbers({**counts, **cost})}


def _test_scores(test: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The scores over all test clips, by name: UAR, WAR and what else there is."""
    return {name: own for name, own in test.items() if isinstance(own, Mapping) and {"mean", "seeds"} <= own.keys()}


def _with_bounds(name: str, value: float | None, bounds: Sequence[float | None] | None = None) -> dict[str, float]:
    low, high = bounds or (None, None)
    return _numbers({name: value, f"{name}_low": low, f"{name}_high": high})


def _plan_params(run: RunView) -> dict[str, Value]:
    """What defines the run. Limits may change when it is resumed, and are left out."""
    plan = run.plan
    own = {
        "model": model_text(plan, None),
        "corpus": plan.corpus.name,
        "classes": ", ".join(plan.corpus.classes),
        **{name: getattr(plan, name) for name in ("split", "folds", "score", "sampler", "max_epochs", "grace_epochs")},
        **{name: getattr(plan, name) for name in ("reduction", "finalists", "seeds", "seed")},
    }
    return {**own, **{f"fixed/{name}": value for name, value in plan.fixed.items()}}


def _facts(run: RunView) -> dict[str, str]:
    corpus, version = run.plan.corpus, run.plan.versions.get("ser-search", "")
    winner = "" if run.result is None else trial_key(run.result["winner"]["trial"])
    facts = {"corpus fingerprint": corpus.fingerprint, "licence": corpus.licence, "version": version, "winner": winner}
    return _said({"command": run.plan.command, **facts})


def _description(run: RunView) -> str:
    """What nobody may overlook first, then the command."""
    warnings = [f"**{caveat.title}** {caveat.long}" for caveat in caveats(facts_of_run(run))]
    return "\n\n".join([*warnings, f"`{run.plan.command}`"])


def _said(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in facts.items() if text}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What is a number and finite; trackers have no place for anything else."""
    return {name: value for name, value in values.items() if isinstance(value, int | float) and is_number(value)}
