"""Lets a sampler propose for one architecture as if that had a study of its own.

In one study of several architectures the best trials are soon all of one, and a model of the best has nothing to say of
the others. So the sampler that proposes for an architecture sees the trials of that one alone, with its knobs alone.
What it proposes stands in the one study, like everything else.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from copy import copy
from copy import deepcopy as deeply
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from spaces.several import ARCHITECTURE


def chosen_in_study(frozen: FrozenTrial) -> str:
    """The architecture of a trial in the study, also of one that was only asked for; "" where there is no choice."""
    given: Mapping[str, Any] = frozen.system_attrs.get("fixed_params", {})
    return str(given.get(ARCHITECTURE, frozen.params.get(ARCHITECTURE, "")))


class OwnTrials(Study):
    """A study as one architecture sees it: its own trials, numbered from 0, with its own knobs.

    Which trials are its own is looked up once for each, and one that has ended, which never changes, is copied once.
    """

    def __init__(self, study: Study, architecture: str) -> None:
        self.__dict__.update(vars(study))  # storage and identity are the study's; only what it holds looks otherwise
        self._architecture, self._looked_at = architecture, 0
        self._places: dict[int, int] = {}  # number in the study -> number here
        self._ended: dict[int, FrozenTrial] = {}  # by number in the study

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=False, use_cache=use_cache)
        for trial in trials[self._looked_at :]:
            if chosen_in_study(trial) == self._architecture:
                self._places[trial.number] = len(self._places)
        self._looked_at = max(self._looked_at, len(trials))
        own = [self.seen(trials[number]) for number in self._places if number < len(trials)]
        kept = [trial for trial in own if states is None or trial.state in states]
        return deeply(kept) if deepcopy else kept

    def seen(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial of this architecture as its sampler sees it."""
        if trial.number in self._ended:
            return self._ended[trial.number]
        own = copy(trial)
        own.number = self._places[trial.number]
        own.params = {name: value for name, value in trial.params.items() if name != ARCHITECTURE}
        own.distributions = {name: trial.distributions[name] for name in own.params}
        if trial.state.is_finished():
            self._ended[trial.number] = own
        return own


class OneArchitectureSampler(BaseSampler):
    """Lets `sampler` propose for the architecture whose trials `own` holds."""

    def __init__(self, sampler: BaseSampler, own: OwnTrials) -> None:
        self._sampler, self._own = sampler, own

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._own, self._seen(trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(self._own, self._seen(trial), search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(self._own, self._seen(trial), param_name, param_distribution)

    def _seen(self, trial: FrozenTrial) -> FrozenTrial:
        self._own.get_trials(deepcopy=False)  # so that the trial has its place among them
        return self._own.seen(trial)
