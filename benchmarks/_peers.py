"""Searches by others, driven by the simulated cluster as their own programs would drive them.

Each is the library's own object with its defaults; only the workers and the time are simulated.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from search.jobs import Chunk, Job, Outcome
from search.study.samplers import suggest
from spaces.knobs import Choice, Float, Knob, Space, Value

VALUE, EPOCH = "val_uar", "training_iteration"


class Peer(Protocol):
    """Proposes configurations and decides after every epoch."""

    def propose(self, name: str) -> Mapping[str, Value]:
        """The configuration of the next trial, whose name is given."""

    def goes_on(self, name: str, epoch: int, value: float) -> bool:
        """Take note of an epoch; False when the trial ends with it, early or at the full budget."""

    def failed(self, name: str) -> None:
        """Take note that training broke off."""


class PeerSource:
    """Runs a peer on the simulated cluster (a `JobSource`).

    Args:
        peer: proposes and judges.
        max_epochs: full budget of a trial.
    """

    def __init__(self, peer: Peer, max_epochs: int) -> None:
        self._peer, self._max_epochs, self._trials = peer, max_epochs, 0

    def next_job(self) -> Job:
        name = f"trial-{self._trials:05d}"
        self._trials += 1
        return Job(name=name, params=self._peer.propose(name), folds="search", last_epoch=self._max_epochs)

    def report(self, chunk: Chunk) -> bool:
        for report in chunk.reports:
            if not self._peer.goes_on(chunk.job, report.epoch, report.score("uar")):
                return False
        if chunk.outcome is Outcome.FAILED:
            self._peer.failed(chunk.job)
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        self._peer.failed(job)

    def tick(self) -> bool:
        return False


class RayTune:
    """Ray Tune's OptunaSearch and ASHAScheduler, called as `TuneController` of Ray 2.60 calls them.

    The controller has one trial waiting while others run, so a proposal does not know the result of the trial after
    which it starts. A result on which the scheduler stops the trial goes to the searcher as the trial's final result
    alone; the searcher takes it for a complete trial's value.

    Args:
        space, max_epochs, seed: of the search.
        scheduler: options of ASHAScheduler other than its defaults.
    """

    def __init__(self, space: Space, max_epochs: int, seed: int, **scheduler: Any) -> None:
        from ray.tune.experiment import Trial
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        distributions = {name: _ray_domain(knob) for name, knob in space.knobs.items()}
        self._searcher = OptunaSearch(
            OptunaSearch.convert_search_space(distributions), metric=VALUE, mode="max", seed=seed
        )
        self._scheduler = ASHAScheduler(time_attr=EPOCH, metric=VALUE, mode="max", max_t=max_epochs, **scheduler)
        self._new_trial = lambda: Trial("simulated", stub=True)
        self._trials: dict[str, Any] = {}  # by the simulation's name
        self._waiting = self._suggest()

    def propose(self, name: str) -> Mapping[str, Value]:
        trial, params = self._waiting
        self._trials[name] = trial
        self._waiting = self._suggest()
        return params

    def _suggest(self) -> tuple[Any, dict[str, Value]]:
        trial = self._new_trial()
        params = self._searcher.suggest(trial.trial_id)
        self._scheduler.on_trial_add(None, trial)
        return trial, params

    def goes_on(self, name: str, epoch: int, value: float) -> bool:
        trial, result = self._trials[name], {EPOCH: epoch, VALUE: value}
        if self._scheduler.on_trial_result(None, trial, result) != self._scheduler.STOP:
            self._searcher.on_trial_result(trial.trial_id, result)
            return True
        self._scheduler.on_trial_complete(None, trial, result)
        self._searcher.on_trial_complete(trial.trial_id, result)
        del self._trials[name]
        return False

    def failed(self, name: str) -> None:
        trial = self._trials.pop(name)
        self._scheduler.on_trial_error(None, trial)
        self._searcher.on_trial_complete(trial.trial_id, error=True)


class OptunaAlone:
    """Optuna's default sampler and a pruner, through ask, report, should_prune and tell.

    A complete trial's value is its best epoch's, as in our search.
    """

    def __init__(self, space: Space, max_epochs: int, seed: int, pruner: BasePruner) -> None:
        # Hyperband draws a trial's bracket from the study's name, which would otherwise be a random one.
        self._study = optuna.create_study(
            direction="maximize", sampler=TPESampler(seed=seed), pruner=pruner, study_name=f"seed {seed}"
        )
        self._space, self._max_epochs = space, max_epochs
        self._trials: dict[str, optuna.Trial] = {}
        self._best: dict[str, float] = {}

    def propose(self, name: str) -> Mapping[str, Value]:
        self._trials[name], self._best[name] = self._study.ask(), -np.inf
        return suggest(self._trials[name], self._space)

    def goes_on(self, name: str, epoch: int, value: float) -> bool:
        trial = self._trials[name]
        self._best[name] = max(self._best[name], value)
        trial.report(value, step=epoch)
        if epoch >= self._max_epochs:
            self._study.tell(self._trials.pop(name), self._best[name])
            return False
        if trial.should_prune():
            self._study.tell(self._trials.pop(name), state=TrialState.PRUNED)
            return False
        return True

    def failed(self, name: str) -> None:
        self._study.tell(self._trials.pop(name), state=TrialState.FAIL)


class SyneTune:
    """A scheduler of Syne Tune's baselines ("ASHA", "BOHB"), called as its `Tuner` calls it.

    Args:
        space, max_epochs, seed: of the search.
        baseline: name in `syne_tune.optimizer.baselines`.
        options: of the baseline other than its defaults.
    """

    def __init__(self, space: Space, max_epochs: int, seed: int, baseline: str, **options: Any) -> None:
        from syne_tune.optimizer import baselines

        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        np.random.seed(seed)  # noqa: NPY002 - its searchers draw from the global generator, whatever their own seed
        self._scheduler = getattr(baselines, baseline)(
            {name: _syne_domain(knob) for name, knob in space.knobs.items()},
            metric=VALUE,
            time_attr=EPOCH,
            max_t=max_epochs,
            do_minimize=False,
            random_seed=seed,
            **options,
        )
        self._trials: dict[str, Any] = {}

    def propose(self, name: str) -> Mapping[str, Value]:
        from syne_tune.backend.trial_status import Trial

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries that it uses, at every proposal
            suggestion = self._scheduler.suggest()
        trial = Trial(trial_id=int(name.removeprefix("trial-")), config=suggestion.config, creation_time=datetime.now())
        self._scheduler.on_trial_add(trial)
        self._trials[name] = trial
        return trial.config

    def goes_on(self, name: str, epoch: int, value: float) -> bool:
        trial = self._trials[name]
        if self._scheduler.on_trial_result(trial, {EPOCH: epoch, VALUE: value}) != "STOP":
            return True
        self._scheduler.on_trial_remove(self._trials.pop(name))
        return False

    def failed(self, name: str) -> None:
        self._scheduler.on_trial_error(self._trials.pop(name))


def _ray_domain(knob: Knob) -> Any:
    from ray import tune

    if isinstance(knob, Choice):
        return tune.choice(list(knob.values))
    if isinstance(knob, Float):
        return (tune.loguniform if knob.log else tune.uniform)(knob.low, knob.high)
    if knob.log:
        return tune.lograndint(knob.low, knob.high + 1)
    return tune.randint(knob.low, knob.high + 1) if knob.step == 1 else tune.qrandint(knob.low, knob.high, knob.step)


def _syne_domain(knob: Knob) -> Any:
    from syne_tune import config_space

    if isinstance(knob, Choice):
        return config_space.choice(list(knob.values))
    if isinstance(knob, Float):
        return (config_space.loguniform if knob.log else config_space.uniform)(knob.low, knob.high)
    if knob.log:
        return config_space.lograndint(knob.low, knob.high)
    size = (knob.high - knob.low) // knob.step + 1
    return config_space.finrange(knob.low, knob.high, size, cast_int=True)
