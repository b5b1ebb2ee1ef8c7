"""The search itself: proposes trials and judges them. No Ray here."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence

import optuna

from search.jobs import Chunk, Job, Outcome, derived_seed, inner_fold, new_reports
from search.run_folder.prospect import ENOUGH_TRIALS, Prospect, prospect
from search.run_folder.records import GraceChoice, TrialRecord, TrialState, epochs_trained, failure_kind
from search.run_folder.records_writer import RecordWriter
from search.run_folder.rungs import GRACE_TRIALS, find_grace_epochs
from search.run_folder.verdict import prospect_sentence
from search.study.allocation import Allocation, Luck
from search.study.asha import Asha, verdict
from search.study.open_trials import OpenTrials
from search.study.recovery import recover
from search.wording import placement_sentence
from ser_core.errors import UserError
from ser_core.features.placement import Where
from ser_core.named_scores import SCORES
from spaces.knobs import Space, Value
from spaces.several import architectures_in, chosen_settings, for_choice

STORM_WINDOW = 20
"""Finished trials among which failures of one kind are counted …"""
STORM_FAILURES = 7
"""… and the number of them, more than a third, that ends the search."""


class SearchStopped(UserError, RuntimeError):
    """The search ended itself, since going on would waste the machines; the message says why."""


class Search:
    """Hands out trials as jobs and decides after every epoch whether they go on (a `JobSource`).

    Args:
        study: an Optuna study that maximises; it may hold trials of an earlier session of this run.
        space: the knobs, and the configurations to try first.
        warm: configurations to try after those, taken from an earlier study.
        writer: the run's records, which are the source of truth.
        asha: empty rungs; they are filled from the records. Without a first rung, it is found from the first
            `GRACE_TRIALS` trials that were trained to their end, or to that of their first fold. Where trials choose an
            architecture, rungs for each, all with a first one.
        sampler: name in `search.study.samplers.SAMPLERS`.
        seed: of the run.
        fixed: settings that every trial shares, by dotted name.
        luck: of a score, by which an architecture is given up; given where trials choose one.
        trials: number of trials to start, failed ones included.
        all_trials: start them all, also when there is nothing to gain, see `search.run_folder.prospect`.
        epochs_total: epochs over all trials after which no trial starts and none goes on; None for no limit.
        time_left: seconds until the search must end; called at every decision.
        flush: called after the study changed, to bring it to disk.
        interrupted: True as soon as the search is to stop where it is.
        log: for what had to be mended of an earlier session, and why a search ends early.

    Raises:
        ConfigError: a study whose trials differ from the records.
    """

    def __init__(
        self,
        *,
        study: optuna.Study,
        space: Space,
        writer: RecordWriter,
        asha: Asha | Mapping[str, Asha],
        sampler: str,
        seed: int,
        fixed: Mapping[str, Value],
        trials: int,
        warm: Sequence[Mapping[str, Value]] = (),
        luck: Luck | None = None,
        all_trials: bool = False,
        epochs_total: int | None = None,
        time_left: Callable[[], float] = lambda: math.inf,
        flush: Callable[[], None] = lambda: None,
        interrupted: Callable[[], bool] = lambda: False,
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._writer, self._asha = writer, asha
        self._seed, self._fixed = seed, fixed
        self._trials, self._epochs_total, self._time_left = trials, epochs_total, time_left
        self._all_trials, self._log, self._given_up = all_trials, log, set[str]()
        self._interrupted, self._placed = interrupted, set[Where]()
        self._first = [*((params, "first") for params in space.first), *((params, "warm") for params in warm)]
        self._allocation: Allocation | None = None
        if luck is not None:
            self._allocation = Allocation(architectures_in(space), self._first, self._records, luck, log)
        self._recent: deque[TrialRecord] = deque(maxlen=STORM_WINDOW)  # ended in this session
        if isinstance(asha, Asha) and asha.grace_epochs is None and writer.records.grace is not None:
            asha.place_rungs(writer.records.grace.epochs)
        self._open = OpenTrials(study, space, writer, sampler=sampler, seed=seed, flush=flush)
        self._unfinished = recover(self._open, asha, log)
        self._epochs = epochs_trained(self._records)
        self._find_grace()

    @property
    def _records(self) -> dict[int, TrialRecord]:
        return self._writer.records.trials

    # -- handing out -------------------------------------------------------------------------------------------------

    def next_job(self) -> Job | None:
        """A trial that an earlier session left unfinished, else a new one; None when the budget is used up.

        Raises:
            SearchStopped: more than a third of the last 20 trials failed for one reason.
        """
        self._check_storm()
        if self._unfinished:
            return self._job(self._records[self._unfinished.pop(0)])
        if len(self._records) >= self._trials or self._budget_end():
            return None
        hopeless = self._hopeless()
        if self._gives_up(hopeless):
            return None
        return self._job(self._propose(hopeless))

    def _propose(self, hopeless: Collection[str]) -> TrialRecord:
        number = len(self._records)
        if self._allocation is not None:
            return self._open.propose(*self._allocation.next(self._trials, hopeless=hopeless))
        wanted, origin = self._first[number] if number < len(self._first) else ({}, "sampler")
        return self._open.propose(wanted, origin)

    def _job(self, record: TrialRecord) -> Job:
        seed = derived_seed(self._seed, 0, record.number)
        asha = for_choice(self._asha, record.params)
        first, *later = [inner_fold(number) for number in range(1, asha.folds + 1)]
        return Job(
            name=trial_name(record.number),
            params={**chosen_settings({**self._fixed, **record.params}), "seed": seed},
            folds=first if later else "search",
            later_folds=tuple(later),
            last_epoch=asha.last_epoch,
            pauses=tuple(asha.rungs),
        )

    @property
    def all_begun(self) -> bool:
        """True when no more trials can come, whatever those at work bring."""
        return len(self._records) >= self._trials or self._epochs_are_used()

    # -- judging -----------------------------------------------------------------------------------------------------

    def report(self, chunk: Chunk) -> bool:
        """Record a chunk and report it to Optuna; True when the trial is to go on.

        Every epoch becomes an intermediate value, the stopping rung's too.
        """
        number = trial_number(chunk.job)
        record = self._records[number]
        known = len(record.epochs)
        if reports := new_reports(chunk, known):
            self._writer.epochs(
                number,
                reports,
                worker=chunk.worker,
                setup_seconds=chunk.setup_seconds,
                precision_note=chunk.precision_note,
                placement=chunk.placement,
            )
        self._tell_placement(chunk)
        self._epochs += len(record.epochs) - known
        stopped = self._judge(record)
        self._open.report_epochs(record)
        if chunk.outcome is Outcome.FAILED:
            self._open.end(record, TrialState.FAIL, chunk.reason)
        elif chunk.outcome is Outcome.DONE:
            self._open.end_trained(record)
        elif stopped:
            self._open.end(record, TrialState.PRUNED, f"rung {stopped}")
        elif self._budget_end():
            self._open.end(record, TrialState.PRUNED, "budget used up")
        self._find_grace()
        self._open.flush()
        if record.state is TrialState.RUNNING:
            return True
        self._recent.append(record)
        return False

    def _tell_placement(self, chunk: Chunk) -> None:
        """Say where clips come from as soon as it is known, and when it is another place."""
        if chunk.placement is not None and chunk.placement.where not in self._placed:
            self._placed.add(chunk.placement.where)
            self._log(placement_sentence(chunk.placement))

    def lost(self, job: str, reason: str) -> None:
        """A trial whose worker died too often has failed."""
        record = self._records[trial_number(job)]
        self._open.end(record, TrialState.FAIL, reason)
        self._open.flush()
        self._recent.append(record)

    def tick(self) -> bool:
        return self._interrupted()

    def _judge(self, record: TrialRecord) -> int:
        """Put a trial on the rungs that it has reached -> the rung that ends it, 0 for none."""
        return verdict(self._asha, self._writer.records, record, record.epochs)

    def _find_grace(self) -> None:
        """Place the first rungs once enough trials were trained to their end, and put all trials so far on them.

        Trials that are at work are judged at the rungs that they have not passed yet.
        """
        asha = self._asha
        if not isinstance(asha, Asha) or asha.grace_epochs is not None:
            return
        whole = [trial for trial in self._records.values() if trial.state is TrialState.COMPLETE or trial.folds]
        whole = [trial for trial in whole if trial.state is not TrialState.FAIL]
        if len(whole) < GRACE_TRIALS:
            return
        budget = asha.max_epochs
        curves = [[trial.scoring.value(report) for report in trial.epochs[:budget]] for trial in whole]
        epochs, agreement = find_grace_epochs(curves, budget, whole[0].scoring.score)
        self._writer.grace_found(GraceChoice(epochs, agreement, tuple(trial.number for trial in whole)))
        asha.place_rungs(epochs)
        for record in sorted(self._records.values(), key=lambda trial: (trial.ended is None, trial.number)):
            self._judge(record)

    # -- limits ------------------------------------------------------------------------------------------------------

    def _budget_end(self) -> bool:
        if self._time_left() <= 0:
            return True
        return self._epochs_are_used()

    def _epochs_are_used(self) -> bool:
        return self._epochs_total is not None and self._epochs >= self._epochs_total

    def _gives_up(self, hopeless: Mapping[str, Prospect]) -> bool:
        """True while nothing is to be gained in any architecture that can still win.

        Trials at work may still prove it wrong; so it is told, once, when there are none.
        """
        if not hopeless or len(hopeless) < len(self._contenders()):
            return False
        if not self._writer.records.gave_up and not any(found.running for found in hopeless.values()):
            score = SCORES[next(iter(self._records.values())).scoring.objective]
            reason = prospect_sentence(hopeless, len(self._records), self._trials, score)
            self._writer.gave_up(reason)
            self._log(reason)
        return True

    def _contenders(self) -> Sequence[str]:
        """Architectures that can still win, or "" where trials choose none."""
        return ("",) if self._allocation is None else self._allocation.contenders()

    def _hopeless(self) -> dict[str, Prospect]:
        """The contenders none of whose trials leads the recipe by more than luck, with what says so."""
        if self._all_trials or len(self._records) <= ENOUGH_TRIALS:
            return {}
        found = {name: prospect(self._writer.records, name) for name in self._contenders()}
        hopeless = {name: own for name, own in found.items() if own is not None and own.nothing_to_gain}
        ended = {name for name, own in hopeless.items() if name and not own.running}
        for name in sorted(ended - self._given_up):
            self._log(f"No more trials of {name}: none leads its recipe by more than luck explains")
        self._given_up |= ended
        return hopeless

    def _check_storm(self) -> None:
        failed = [trial for trial in self._recent if trial.state is TrialState.FAIL]
        for kind, count in Counter(failure_kind(trial.reason) for trial in failed).most_common(1):
            if count >= STORM_FAILURES:
                example = next(trial for trial in reversed(failed) if failure_kind(trial.reason) == kind)
                raise SearchStopped(
                    f"{count} of the last {len(self._recent)} trials failed for one reason, {kind!r}; the search stops "
                    f"before it wastes more. Trial {example.number}: {example.reason}. Mend the cause and resume."
                )


def trial_name(number: int) -> str:
    return f"trial-{number:05d}"


def trial_number(job: str) -> int:
    return int(job.removeprefix("trial-"))
