"""Brings the Optuna study, the rungs and the records of a run together after its driver ended, at whatever moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from optuna.trial import FrozenTrial

from search.run_folder.records import RunRecords, TrialRecord, TrialState
from search.study.asha import Asha, verdict
from search.study.open_trials import OpenTrials, origin_of
from search.study.rebuild import rebuild
from search.wording import count
from ser_core.config import ConfigError
from ser_core.training.report import EpochReport
from spaces.several import for_choice


def recover(trials: OpenTrials, asha: Asha | Mapping[str, Asha], log: Callable[[str], None]) -> list[int]:
    """Bring Optuna and the rungs up to what the records say, and adopt what Optuna alone knows.

    Args:
        trials: none of which is open yet.
        asha: with empty rungs, or without any while the first one is to be found; or those of each architecture.
        log: what the study had lost.

    Returns:
        Numbers of the trials that are to go on, in the order in which they began.

    Raises:
        ConfigError: a study whose trials differ from the records.
    """
    if rebuilt := rebuild(trials.study, trials.space, trials.records):
        log(f"The Optuna study had lost {count(len(rebuilt), 'trial')}, or part of them: rebuilt from the records")
    frozen = {trial.number: trial for trial in trials.study.get_trials(deepcopy=False)}
    _check_same(trials.records, frozen)
    for number, trial in frozen.items():
        known = trials.records.get(number)
        if trial.state.is_finished() and (known is None or known.state is TrialState.RUNNING):
            _write_down(trials, trial)
    verdicts = _fill_rungs(trials.writer.records, asha)
    unfinished = [
        number
        for number, record in trials.records.items()
        if not frozen[number].state.is_finished()
        and not _ended(trials, for_choice(asha, record.params), record, frozen[number], stopped=verdicts.get(number, 0))
    ]
    for number, trial in frozen.items():
        if number not in trials.records and not trial.state.is_finished():
            unfinished.append(trials.adopt(trial).number)
    trials.flush()
    return unfinished


def _check_same(records: dict[int, TrialRecord], frozen: dict[int, FrozenTrial]) -> None:
    for number, record in records.items():
        if number not in frozen or frozen[number].params != dict(record.params):
            raise ConfigError(
                f"trial {number} has other values in the Optuna study than in the records; give the --storage that the "
                f"run was started with. If the study is damaged, move it away: resuming rebuilds it from the records"
            )


def _write_down(trials: OpenTrials, frozen: FrozenTrial) -> None:
    """Write what Optuna knows of an ended trial into records that lost their last lines.

    Losses are not known, nor the clips of each class.
    """
    number, writer = frozen.number, trials.writer
    if number not in trials.records:
        writer.trial_started(number, frozen.params, origin_of(frozen))
    record = trials.records[number]
    values = sorted(frozen.intermediate_values.items())[len(record.epochs) :]
    if values:
        objective = record.scoring.objective
        reports = [EpochReport.of_score(epoch, value, objective=objective) for epoch, value in values]
        writer.epochs(number, reports, worker=record.worker, setup_seconds=0.0)
    writer.trial_ended(number, TrialState(frozen.state.name), frozen.user_attrs.get("reason", ""))


def _fill_rungs(records: RunRecords, asha: Asha | Mapping[str, Asha]) -> dict[int, int]:
    """Fill the rungs in the order in which trials reached them -> the rung that ends each trial, 0 for none.

    Only the verdict on the last epochs counts: what came after an earlier one was the verdict on that.
    """
    verdicts: dict[int, int] = {}
    for number, epochs in records.arrivals:
        trial = records.trials[number]
        verdicts[number] = verdict(asha, records, trial, trial.epochs[:epochs])
    return verdicts


def _ended(trials: OpenTrials, asha: Asha, record: TrialRecord, frozen: FrozenTrial, *, stopped: int) -> bool:
    """Bring a trial that is at work in the study up to its record; True when that ended it."""
    trials.reopen(frozen)
    trials.report_epochs(record)
    if record.state is not TrialState.RUNNING:
        trials.end_in_study(record)
    elif stopped:  # the driver died between the rung's epoch and the verdict
        trials.end(record, TrialState.PRUNED, f"rung {stopped}")
    elif record.epochs and record.epochs[-1].epoch >= asha.last_epoch:
        trials.end_trained(record)
    else:
        return False
    return True
