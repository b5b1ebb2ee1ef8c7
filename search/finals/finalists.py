"""Who reaches the finals and who wins them, and the training runs of one of their phases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from search.finals.lead import Lead
from search.finals.spreads import Spread
from search.jobs import Chunk, Job, Outcome, derived_seed, new_reports
from search.run_folder.architectures import configuration_of
from search.run_folder.finals_rule import finalists_of, folds_of_seed
from search.run_folder.paths import model_folder, validation_file
from search.run_folder.plan import SearchPlan
from search.run_folder.records import FinalRun, Phase, RunRecords, TrialRecord
from search.run_folder.records_writer import RecordWriter
from search.wording import count
from ser_core.architectures import default_config
from ser_core.config import OptimConfig
from ser_core.errors import UserError
from ser_core.metrics.scores import seed_interval
from spaces.several import chosen_settings, for_choice

NOT_WANTED = "discarded: it was begun while the finals went on, and another configuration won them"
"""Why a refit ended that was begun ahead."""


class FinalsError(UserError, RuntimeError):
    """The finals cannot end with a number; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class FinalChoice:
    """What the finals chose.

    Attributes:
        finalists: see `search.run_folder.finals_rule.finalists_of`.
        scores: trial number -> validation score over seeds, of every finalist that finished one.
        recipe: number of the recipe's trial; None where it is no finalist.
        challenger: the best of the others, None without any that finished as many seeds as any finalist.
        lead: of the challenger over the recipe on what they predict; None where there are not both.
        winner: one of the two.
    """

    finalists: Sequence[TrialRecord]
    scores: Mapping[int, Spread]
    recipe: int | None
    challenger: int | None
    lead: Lead | None
    winner: int


def choose_finalists(plan: SearchPlan, records: RunRecords) -> list[TrialRecord]:
    """The finalists of a search that has ended.

    Raises:
        FinalsError: no trial has a score.
    """
    finalists = finalists_of(plan, records)
    if not finalists:
        reasons = sorted({t.reason for t in records.trials.values() if t.reason})
        raise FinalsError(
            f"{count(len(records.trials), 'trial')} ended without a validation score, so there is nothing to repeat; "
            f"reasons: {'; '.join(reasons) or 'none given'}. Mend the cause and resume with more --trials"
        )
    return finalists


def finalist_scores(records: RunRecords, trials: Sequence[int]) -> dict[int, Spread]:
    """Trial number -> validation score over its finished seeds; a trial none of whose seeds finished is left out."""
    scores = {}
    for trial in trials:
        runs = [f for f in records.finals if f.phase is Phase.FINALIST and f.trial == trial and _finished(f)]
        values = [run.value for run in sorted(runs, key=lambda run: run.seed) if math.isfinite(run.value)]
        if values:
            scores[trial] = Spread(tuple(values), seed_interval(values))
    return scores


def comparable(scores: Mapping[int, Spread]) -> dict[int, Spread]:
    """Those over as many seeds as any: where each seed has speakers of its own, fewer seeds are other speakers."""
    most = max((len(spread.seeds) for spread in scores.values()), default=0)
    return {trial: spread for trial, spread in scores.items() if len(spread.seeds) == most}


def best_of(scores: Mapping[int, Spread]) -> int | None:
    """The trial with the best mean validation score over seeds; of equals the earliest; None without any."""
    return min(scores, key=lambda trial: (-scores[trial].mean, trial), default=None)


def choose_winner(recipe: int | None, challenger: int | None, *, leads: bool) -> int:
    """The challenger if it leads the recipe, else the recipe; one of them where the other has no score to compare.

    Raises:
        FinalsError: neither has a score.
    """
    if challenger is not None and (leads or recipe is None):
        return challenger
    if recipe is None:
        raise FinalsError("every run of every finalist failed; see errors/ in the run folder, then resume")
    return recipe


def median_best_epoch(records: RunRecords, winner: int) -> int:
    """The median of the best epochs of the winner's runs in the finals, rounded up."""
    runs = [f for f in records.finals if f.phase is Phase.FINALIST and f.trial == winner and _finished(f)]
    return math.ceil(median(run.best_epoch for run in runs if run.best_epoch))


def refit_epochs(plan: SearchPlan, records: RunRecords, winner: int) -> int:
    """Epochs after which a refit of the winner is done: all of its schedule, unless its finals have to tell."""
    if ends_by_median(plan, records.trials[winner]):
        return median_best_epoch(records, winner)
    return _optim(plan, records.trials[winner]).epochs


def ends_by_median(plan: SearchPlan, trial: TrialRecord) -> bool:
    """True where the median best epoch of a configuration's finals ends its refits.

    A refit has no validation to end it. So that is where its finals were under early stopping, since nobody has
    validated the end of their schedule; and in a run of the first rule.
    """
    return plan.finals_rule == 1 or bool(_optim(plan, trial).early_stop_epochs)


def _optim(plan: SearchPlan, trial: TrialRecord) -> OptimConfig:
    return default_config(*configuration_of(plan, trial.params)).optim


class FinalJobs:
    """Hands out the runs of one phase of the finals (a `JobSource`); runs that a session has finished are not repeated.

    Args:
        phase: finalists train on the train part with validation, refits on both together without.
        plan: of the run. A seed of a finalist trains on a fold of its own, see `folds_of_seed`; with the run's seed
            it gives what the training draws from.
        interrupted: True as soon as all is to stop.
    """

    def __init__(
        self, *, phase: Phase, plan: SearchPlan, writer: RecordWriter, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self._phase, self._plan, self._writer, self._interrupted = phase, plan, writer, interrupted
        self._last_epochs: dict[int, int] = {}  # of every trial that is trained here
        self._open: list[tuple[int, int]] = []
        self._running: dict[str, tuple[int, int]] = {}

    @property
    def trials(self) -> set[int]:
        """Numbers of those that are trained."""
        return {*self._last_epochs}

    def add(self, trial: TrialRecord, last_epoch: int | Mapping[str, int]) -> None:
        """Train a configuration with every seed; one that was added before stays as it was.

        Args:
            last_epoch: where a run ends, or one of each architecture.
        """
        if trial.number in self._last_epochs:
            return
        self._last_epochs[trial.number] = for_choice(last_epoch, trial.params)
        self._open += [
            (trial.number, seed)
            for seed in range(1, self._plan.seeds + 1)
            if not _finished(self._writer.records.final(self._phase, trial.number, seed))
        ]

    def drop(self, trial: int) -> None:
        """Train a configuration no further: what of it is at work ends with its next report."""
        self._last_epochs.pop(trial, None)
        self._open = [(number, seed) for number, seed in self._open if number != trial]

    def next_job(self) -> Job | None:
        if not self._open:
            return None
        number, seed = self._open.pop(0)
        trial = self._writer.records.trials[number]
        name = f"{self._phase}-{number:05d}-seed-{seed}"
        self._running[name] = (number, seed)
        self._writer.final_started(self._phase, number, seed)
        own_seed = derived_seed(self._plan.seed, 1, seed)
        refit = self._phase is Phase.REFIT
        return Job(
            name=name,
            params={**chosen_settings({**self._plan.settings, **trial.params}), "seed": own_seed},
            folds="refit" if refit else folds_of_seed(self._plan, seed),
            last_epoch=self._last_epochs[number],
            model_folder=model_folder(number, seed) if refit else "",
            predictions_file="" if refit else validation_file(number, seed),
        )

    def report(self, chunk: Chunk) -> bool:
        trial, seed = self._running[chunk.job]
        final = self._writer.records.final(self._phase, trial, seed)
        if reports := new_reports(chunk, known=len(final.epochs) if final is not None else 0):
            self._writer.final_epochs(
                self._phase,
                trial,
                seed,
                reports,
                worker=chunk.worker,
                setup_seconds=chunk.setup_seconds,
                precision_note=chunk.precision_note,
                placement=chunk.placement,
            )
        if chunk.outcome is not Outcome.GOING:
            self._end(chunk.job, chunk.reason)
        elif trial not in self._last_epochs:
            self._end(chunk.job, NOT_WANTED)
        return chunk.job in self._running

    def lost(self, job: str, reason: str) -> None:
        self._end(job, reason)

    def tick(self) -> bool:
        return self._interrupted()

    def _end(self, job: str, reason: str) -> None:
        trial, seed = self._running.pop(job)
        self._writer.final_ended(self._phase, trial, seed, reason)


def check_refits(records: RunRecords, winner: int, seeds: int) -> None:
    """Every refit must have finished before the test set may be read.

    Raises:
        FinalsError: one that failed, with its reason.
    """
    for seed in range(1, seeds + 1):
        run = records.final(Phase.REFIT, winner, seed)
        if not _finished(run):
            reason = run.reason if run else "it never started"
            raise FinalsError(
                f"the refit of trial {winner} with seed {seed} failed: {reason}. The test set was not read; mend the "
                f"cause and resume"
            )


def _finished(run: FinalRun | None) -> bool:
    return run is not None and run.ended is not None and not run.reason
