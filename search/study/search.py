"""The search itself: proposes trials, judges them, and tells Optuna and the records what really happened.

No Ray here. Everything is written to the records first and told to Optuna second, so that after a crash at any
moment the records can bring the study up to date; only a trial's number and values come from Optuna first.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState as OptunaState

from search.jobs import Chunk, Job, Outcome, chunk_event, derived_seed
from search.run_folder.records import RecordWriter, TrialRecord, TrialState, epochs_trained, failure_kind, report_fields
from search.run_folder.rungs import GRACE_TRIALS, find_grace_epochs
from search.study.asha import Asha
from search.study.samplers import make_sampler, suggest
from ser_core.config import ConfigError
from ser_core.errors import UserError
from ser_core.training.report import EpochReport
from spaces.knobs import Space, Value

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
        asha: empty rungs; they are filled from the records. Without rungs, the first one is found from the first
            `GRACE_TRIALS` complete trials.
        sampler: name in `search.study.samplers.SAMPLERS`.
        seed: of the run.
        fixed: settings that every trial shares, by dotted name.
        trials: number of trials to start, failed ones included.
        epochs_total: epochs over all trials after which no trial starts and none goes on; None for no limit.
        time_left: seconds until the search must end; called at every decision.
        flush: called after the study changed, to bring it to disk.
        interrupted: True as soon as the search is to stop where it is.

    Raises:
        ConfigError: a study whose trials differ from the records.
    """

    def __init__(
        self,
        *,
        study: optuna.Study,
        space: Space,
        writer: RecordWriter,
        asha: Asha,
        sampler: str,
        seed: int,
        fixed: Mapping[str, Value],
        trials: int,
        warm: Sequence[Mapping[str, Value]] = (),
        epochs_total: int | None = None,
        time_left: Callable[[], float] = lambda: math.inf,
        flush: Callable[[], None] = lambda: None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._study, self._space, self._writer, self._asha = study, space, writer, asha
        self._sampler, self._seed, self._fixed = sampler, seed, fixed
        self._trials, self._epochs_total, self._time_left = trials, epochs_total, time_left
        self._flush, self._interrupted = flush, interrupted
        self._first = [*((params, "first") for params in space.first), *((params, "warm") for params in warm)]
        self._live: dict[int, optuna.Trial] = {}
        self._told: dict[int, int] = {}  # last epoch of each live trial that Optuna knows
        self._unfinished: list[int] = []
        self._recent: deque[TrialRecord] = deque(maxlen=STORM_WINDOW)  # ended in this session
        self._epochs = epochs_trained(self._records)
        if asha.grace_epochs is None and writer.records.grace is not None:
            asha.place_rungs(writer.records.grace.epochs)
        self._catch_up()
        self._find_grace()

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
        return self._job(self._propose())

    def _propose(self) -> TrialRecord:
        number = len(self._records)
        self._study.sampler = make_sampler(self._sampler, self._seed, number)
        origin = "sampler"
        if number < len(self._first):
            wanted, origin = self._first[number]
            self._study.enqueue_trial(dict(wanted), user_attrs={"origin": origin})
        trial = self._ask()
        params = suggest(trial, self._space)
        self._flush()
        self._live[trial.number] = trial
        self._writer.write("trial_start", trial=trial.number, params=params, origin=origin)
        return self._records[trial.number]

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._study.ask()

    def _job(self, record: TrialRecord) -> Job:
        seed = derived_seed(self._seed, 0, record.number)
        return Job(
            name=trial_name(record.number),
            params={**self._fixed, **record.params, "seed": seed},
            folds="search",
            last_epoch=self._asha.max_epochs,
            pauses=tuple(self._asha.rungs),
        )

    # -- judging -----------------------------------------------------------------------------------------------------

    def report(self, chunk: Chunk) -> bool:
        """Record a chunk and tell Optuna; True when the trial is to go on.

        Every epoch becomes an intermediate value, the stopping rung's too.
        """
        number = trial_number(chunk.job)
        record = self._records[number]
        known = len(record.epochs)
        event = chunk_event(chunk, known)
        if event is not None:
            self._writer.write("epochs", trial=number, **event)
        self._epochs += len(record.epochs) - known
        stopped = self._tell_epochs(record)
        if chunk.outcome is Outcome.FAILED:
            self._end(record, TrialState.FAIL, chunk.reason)
        elif chunk.outcome is Outcome.DONE:
            self._end_done(record)
            self._find_grace()
        elif stopped:
            self._end(record, TrialState.PRUNED, f"rung {stopped}")
        elif self._budget_end():
            self._end(record, TrialState.PRUNED, "budget used up")
        self._flush()
        return record.state is TrialState.RUNNING

    def lost(self, job: str, reason: str) -> None:
        """A trial whose worker died too often has failed."""
        self._end(self._records[trial_number(job)], TrialState.FAIL, reason)
        self._flush()

    def tick(self) -> bool:
        return self._interrupted()

    def _end_done(self, record: TrialRecord) -> None:
        if math.isnan(record.value):
            self._end(record, TrialState.FAIL, "diverged: no epoch had a validation UAR that is a number")
        else:
            self._end(record, TrialState.COMPLETE, "")

    def _end(self, record: TrialRecord, state: TrialState, reason: str) -> None:
        self._writer.write("trial_end", trial=record.number, state=state, reason=reason)
        self._tell_end(record)

    def _tell_epochs(self, record: TrialRecord) -> int:
        """Bring the rungs and Optuna up to the record; the rung at which ASHA ends the trial, 0 when it goes on.

        The verdict of an earlier rung is not asked again: that the trial trained beyond it was the verdict. Several new
        epochs come at once where a rung was placed while the trial was at work.
        """
        trial, told = self._live[record.number], self._told.get(record.number, 0)
        best, stopped = math.nan, 0
        for report in record.epochs:
            best = _best_of(best, report.val_uar)
            if self._asha.stops(record.number, report.epoch, best):
                stopped = stopped or report.epoch
            if report.epoch > told:
                trial.report(report.val_uar, step=report.epoch)
        self._told[record.number] = max(told, len(record.epochs))
        return stopped

    def _tell_end(self, record: TrialRecord) -> None:
        trial = self._live.pop(record.number)
        self._told.pop(record.number, None)
        self._recent.append(record)
        if record.reason:
            trial.set_user_attr("reason", record.reason)
        value = record.value if record.state is TrialState.COMPLETE else None
        self._study.tell(trial, value, state=OptunaState[record.state.name])

    def _find_grace(self) -> None:
        """Place the rungs once enough trials were trained to their end, and put all trials so far on them.

        Trials that are at work are judged at the rungs that they have not passed yet.
        """
        if self._asha.grace_epochs is not None:
            return
        complete = [trial for trial in self._records.values() if trial.state is TrialState.COMPLETE]
        if len(complete) < GRACE_TRIALS:
            return
        curves = [[report.val_uar for report in trial.epochs] for trial in complete]
        epochs, agreement = find_grace_epochs(curves, self._asha.max_epochs)
        numbers = [trial.number for trial in complete]
        self._writer.write("grace", epochs=epochs, spearman=agreement, trials=numbers)
        self._asha.place_rungs(epochs)
        for record in sorted(self._records.values(), key=lambda trial: (trial.ended is None, trial.number)):
            self._fill_rungs(record)

    def _fill_rungs(self, record: TrialRecord) -> None:
        best = math.nan
        for report in record.epochs:
            best = _best_of(best, report.val_uar)
            self._asha.stops(record.number, report.epoch, best)

    # -- limits ------------------------------------------------------------------------------------------------------

    def _budget_end(self) -> bool:
        if self._time_left() <= 0:
            return True
        return self._epochs_total is not None and self._epochs >= self._epochs_total

    def _check_storm(self) -> None:
        failed = [trial for trial in self._recent if trial.state is TrialState.FAIL]
        for kind, count in Counter(failure_kind(trial.reason) for trial in failed).most_common(1):
            if count >= STORM_FAILURES:
                example = next(trial for trial in reversed(failed) if failure_kind(trial.reason) == kind)
                raise SearchStopped(
                    f"{count} of the last {len(self._recent)} trials failed for one reason, {kind!r}; the search stops "
                    f"before it wastes more. Trial {example.number}: {example.reason}. Mend the cause and resume."
                )

    # -- resuming ----------------------------------------------------------------------------------------------------

    @property
    def _records(self) -> dict[int, TrialRecord]:
        return self._writer.records.trials

    def _catch_up(self) -> None:
        """Bring Optuna and the rungs up to what the records say, and adopt what Optuna alone knows."""
        frozen = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
        missing = [number for number in self._records if number not in frozen]
        if missing:
            raise ConfigError(
                f"the Optuna study holds no trials {missing}, which the records have; give the --storage that the run "
                f"was started with, and do not delete the study"
            )
        for record in self._records.values():
            if frozen[record.number].params != dict(record.params):
                raise ConfigError(f"trial {record.number} has other values in the Optuna study than in the records")
        for number, trial in frozen.items():
            known = self._records.get(number)
            if trial.state.is_finished() and (known is None or known.state is TrialState.RUNNING):
                self._recover(trial)
        verdicts = self._replay()
        for number, record in self._records.items():
            self._restore(record, frozen[number], stopped=verdicts.get(number, 0))
        for number, trial in frozen.items():
            if number not in self._records and not trial.state.is_finished():
                self._adopt(trial)  # asked for, or about to be, when the driver died
        self._recent.clear()  # failures of earlier sessions do not count: their cause may be mended
        self._flush()

    def _recover(self, frozen: optuna.trial.FrozenTrial) -> None:
        """Write what Optuna knows of an ended trial into records that lost their last lines; losses are not known."""
        number = frozen.number
        if number not in self._records:
            origin = frozen.user_attrs.get("origin", "sampler")
            self._writer.write("trial_start", trial=number, params=frozen.params, origin=origin)
        known = len(self._records[number].epochs)
        values = sorted(frozen.intermediate_values.items())[known:]
        reports = [report_fields(EpochReport.of_uar(epoch, value)) for epoch, value in values]
        if reports:
            worker = self._records[number].worker
            self._writer.write("epochs", trial=number, worker=worker, setup_seconds=0.0, reports=reports)
        reason = frozen.user_attrs.get("reason", "")
        self._writer.write("trial_end", trial=number, state=TrialState(frozen.state.name), reason=reason)

    def _replay(self) -> dict[int, int]:
        """Fill the rungs in the order in which trials reached them -> the rung that ends each trial, 0 for none.

        Only the verdict on the last epochs counts: what came after an earlier one was the verdict on that.
        """
        best: dict[int, float] = {}
        judged: dict[int, int] = {}
        verdicts: dict[int, int] = {}
        for number, epochs in self._writer.records.arrivals:
            verdicts[number] = 0
            for report in self._records[number].epochs[judged.get(number, 0) : epochs]:
                best[number] = _best_of(best.get(number, math.nan), report.val_uar)
                if self._asha.stops(number, report.epoch, best[number]):
                    verdicts[number] = verdicts[number] or report.epoch
            judged[number] = epochs
        return verdicts

    def _restore(self, record: TrialRecord, frozen: optuna.trial.FrozenTrial, *, stopped: int) -> None:
        if frozen.state.is_finished():
            return
        self._live[record.number] = optuna.Trial(self._study, frozen._trial_id)
        self._told[record.number] = max(frozen.intermediate_values, default=0)
        self._tell_epochs(record)
        if record.state is not TrialState.RUNNING:
            self._tell_end(record)
        elif stopped:  # the driver died between the rung's epoch and the verdict
            self._end(record, TrialState.PRUNED, f"rung {stopped}")
        elif record.epochs and record.epochs[-1].epoch >= self._asha.max_epochs:
            self._end_done(record)
        else:
            self._unfinished.append(record.number)

    def _adopt(self, frozen: optuna.trial.FrozenTrial) -> None:
        self._study.sampler = make_sampler(self._sampler, self._seed, frozen.number)
        waiting = frozen.state is OptunaState.WAITING
        trial = self._ask() if waiting else optuna.Trial(self._study, frozen._trial_id)
        self._draw_again(trial, frozen)
        origin = frozen.user_attrs.get("origin", "sampler")
        self._writer.write("trial_start", trial=trial.number, params=suggest(trial, self._space), origin=origin)
        self._live[trial.number] = trial
        self._unfinished.append(trial.number)

    def _draw_again(self, trial: optuna.Trial, frozen: optuna.trial.FrozenTrial) -> None:
        """Draw what a database kept of a proposal once more, so that the sampler goes on as if it had not died."""
        given = {*trial.relative_params, *frozen.system_attrs.get("fixed_params", ())}
        for name in self._space.knobs:
            if name in frozen.params and name not in given and not frozen.distributions[name].single():
                self._study.sampler.sample_independent(self._study, frozen, name, frozen.distributions[name])


def _best_of(best: float, value: float) -> float:
    """The larger one, NaN counting as nothing."""
    return value if math.isnan(best) or value > best else best


def trial_name(number: int) -> str:
    return f"trial-{number:05d}"


def trial_number(job: str) -> int:
    return int(job.removeprefix("trial-"))
