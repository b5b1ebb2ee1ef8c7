"""Trials that are at work, in the run's records and in the Optuna study.

Everything is written to the records first and reported to Optuna second, so that after a crash at any moment the
records can bring the study up to date; only a trial's number and values come from Optuna first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from search.run_folder.records import DIVERGED, TrialRecord, TrialState
from search.run_folder.records_writer import RecordWriter
from search.study.one_architecture import OneArchitectureSampler, OwnTrials, chosen_in_study
from search.study.samplers import make_sampler, suggest
from ser_core.named_scores import SCORES
from spaces.knobs import Space, Value
from spaces.several import ARCHITECTURE, architectures_in, choice_of


class OpenTrials:
    """Proposes trials, reports their epochs to Optuna, and ends them.

    Args:
        study: an Optuna study that maximises.
        space: the knobs that Optuna proposes values for.
        writer: the run's records.
        sampler: name in `search.study.samplers.SAMPLERS`.
        seed: of the run.
        flush: brings changes of the study to disk.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        writer: RecordWriter,
        *,
        sampler: str,
        seed: int,
        flush: Callable[[], None],
    ) -> None:
        self.study, self.writer, self.flush = study, writer, flush
        self.space, self._sampler, self._seed = space, sampler, seed
        self._own_trials = {name: OwnTrials(study, name) for name in architectures_in(space)}
        self._live: dict[int, optuna.Trial] = {}
        self._reported: dict[int, int] = {}  # last epoch of each live trial that Optuna knows

    @property
    def records(self) -> dict[int, TrialRecord]:
        return self.writer.records.trials

    def propose(self, wanted: Mapping[str, Value], origin: str) -> TrialRecord:
        """A new trial: the values that are `wanted`, its architecture among them where there are several, and the
        sampler's for the other knobs.
        """
        number = len(self.records)
        self.study.sampler = self._sampler_for(number, choice_of(wanted))
        if wanted:
            self.study.enqueue_trial(dict(wanted), user_attrs={"origin": origin})
        return self._started(self._ask(), origin)

    def report_epochs(self, record: TrialRecord) -> None:
        """Make an intermediate value of every epoch that Optuna does not know yet."""
        trial, reported = self._live[record.number], self._reported.get(record.number, 0)
        for report, value in zip(record.epochs, record.scoring.reported(record.epochs), strict=True):
            if report.epoch > reported:
                trial.report(value, step=report.epoch)
        self._reported[record.number] = max(reported, len(record.epochs))

    def end(self, record: TrialRecord, state: TrialState, reason: str) -> None:
        """A trial has ended, in the records and in the study."""
        self.writer.trial_ended(record.number, state, reason)
        self.end_in_study(record)

    def end_trained(self, record: TrialRecord) -> None:
        """A trial was trained to its end: it is complete if it has a score."""
        if math.isnan(record.value):
            label = SCORES[record.scoring.objective].label
            self.end(record, TrialState.FAIL, f"{DIVERGED}: no epoch had a validation {label} that is a number")
        else:
            self.end(record, TrialState.COMPLETE, "")

    def end_in_study(self, record: TrialRecord) -> None:
        """Report the end that the records hold to Optuna."""
        trial = self._live.pop(record.number)
        self._reported.pop(record.number, None)
        if record.reason:
            trial.set_user_attr("reason", record.reason)
        value = record.value if record.state is TrialState.COMPLETE else None
        self.study.tell(trial, value, state=OptunaState[record.state.name])

    # -- trials of an earlier session --------------------------------------------------------------------------------

    def reopen(self, frozen: FrozenTrial) -> None:
        """Go on with a trial that is at work in the study."""
        self._live[frozen.number] = optuna.Trial(self.study, frozen._trial_id)
        self._reported[frozen.number] = max(frozen.intermediate_values, default=0)

    def adopt(self, frozen: FrozenTrial) -> TrialRecord:
        """Start a trial that was asked for, or about to be, when the driver died: the study alone knows it."""
        self.study.sampler = self._sampler_for(frozen.number, chosen_in_study(frozen))
        waiting = frozen.state is OptunaState.WAITING
        trial = self._ask() if waiting else optuna.Trial(self.study, frozen._trial_id)
        self._draw_again(trial, frozen)
        return self._started(trial, origin_of(frozen))

    def _draw_again(self, trial: optuna.Trial, frozen: FrozenTrial) -> None:
        """Draw what a database kept of a proposal once more, so that the sampler goes on as if it had not died."""
        given = {*trial.relative_params, *frozen.system_attrs.get("fixed_params", ())}
        for name in self.space.knobs:
            if name in frozen.params and name not in given and not frozen.distributions[name].single():
                self.study.sampler.sample_independent(self.study, frozen, name, frozen.distributions[name])

    def _sampler_for(self, number: int, architecture: str) -> BaseSampler:
        """The sampler of a proposal; for one of several architectures it sees that one's trials and knobs alone."""
        fold_epochs = self.writer.scoring_of({ARCHITECTURE: architecture}).fold_epochs
        if not architecture:
            return make_sampler(self._sampler, self._seed, number, self.space, fold_epochs)
        own = self.space.fixed({ARCHITECTURE: architecture})
        sampler = make_sampler(self._sampler, self._seed, number, own, fold_epochs)
        return OneArchitectureSampler(sampler, self._own_trials[architecture])

    def _ask(self) -> optuna.Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self.study.ask()

    def _started(self, trial: optuna.Trial, origin: str) -> TrialRecord:
        params = suggest(trial, self.space)
        self.flush()
        self._live[trial.number] = trial
        self.writer.trial_started(trial.number, params, origin)
        return self.records[trial.number]


def origin_of(frozen: FrozenTrial) -> str:
    """Where the values of a trial in the study come from, as in `TrialRecord`."""
    origin: str = frozen.user_attrs.get("origin", "sampler")
    return origin
