"""Gives an Optuna study back what it lost and the run's records hold: after a power cut, or with a new storage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from search.run_folder.records import TrialRecord, TrialState
from search.study.distributions import distribution
from spaces.knobs import Space


def rebuild(study: optuna.Study, space: Space, records: Mapping[int, TrialRecord]) -> list[int]:
    """Add the trials and the values that the study lacks -> their numbers.

    What the records do not hold is not made up: the attributes in which CMA-ES keeps its state. It begins anew.

    Args:
        study: holds the first trials of the records, the last of them perhaps in part.
        space: of the run.
        records: trials by number.
    """
    known = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    rebuilt = []
    for number, record in sorted(records.items()):
        if number not in known:
            study._storage.create_new_trial(study._study_id, template_trial=_frozen(record, space))
            rebuilt.append(number)
        elif _completed(study, known[number], record, space):
            rebuilt.append(number)
    return rebuilt


def _frozen(record: TrialRecord, space: Space) -> FrozenTrial:
    """A trial as Optuna would have kept it: the value of a pruned one is that of its last epoch."""
    values = record.scoring.reported(record.epochs)
    last = values[-1] if values else math.nan
    value = {TrialState.COMPLETE: record.value, TrialState.PRUNED: last}.get(record.state, math.nan)
    attributes = {"origin": record.origin} if record.origin != "sampler" else {}
    if record.reason:
        attributes["reason"] = record.reason
    return FrozenTrial(
        number=record.number,
        trial_id=-1,  # the storage gives it one
        state=OptunaState[record.state.name],
        value=None if math.isnan(value) else value,
        datetime_start=datetime.fromtimestamp(record.started),
        datetime_complete=None if record.ended is None else datetime.fromtimestamp(record.ended),
        params=dict(record.params),
        distributions={name: distribution(space.knobs[name]) for name in record.params},
        user_attrs=attributes,
        system_attrs={},
        intermediate_values={report.epoch: value for report, value in zip(record.epochs, values, strict=True)},
    )


def _completed(study: optuna.Study, frozen: FrozenTrial, record: TrialRecord, space: Space) -> bool:
    """Bring a trial that was cut off as it was proposed to where its record begins; True when it was."""
    lost = {name: value for name, value in record.params.items() if name not in frozen.params}
    if frozen.state.is_finished() or not (lost or frozen.state is OptunaState.WAITING):
        return False
    if frozen.state is OptunaState.WAITING:
        study._storage.set_trial_state_values(frozen._trial_id, state=OptunaState.RUNNING)
    for name, value in lost.items():
        own = distribution(space.knobs[name])
        study._storage.set_trial_param(frozen._trial_id, name, own.to_internal_repr(value), own)
    return True
