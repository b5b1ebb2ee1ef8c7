"""The trials of a study as numbers: places, last epochs and scores at checkpoints, each computed once.

All of it follows from the trials and their numbers alone, whenever and in whatever order they ended: a process that
meets a study for the first time holds what one holds that has followed it from its start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.run_folder.records import DIVERGED, NO_MEMORY, failure_kind
from search.study.curve_gp.places import Places
from search.study.curve_gp.process import Scales
from search.study.curve_gp.projection import checkpoints, projected, score
from spaces.knobs import Space

BAD_FAILURES = (NO_MEMORY, DIVERGED)
"""Kinds of failure that are the configuration's; what fails otherwise says nothing of it."""


class Memory:
    """What is known of the trials of one study.

    Attributes:
        places: their configurations. fold_epochs: see `projection.score`.
        rows: (trials, knobs) of `places`, by trial number.
        open: numbers of the trials that had not ended at the last look.
        fits: number of trials -> hyperparameters that were fitted to these.
    """

    def __init__(self, space: Space, fold_epochs: int) -> None:
        self.places, self.fold_epochs = Places(space), fold_epochs
        self.rows = np.zeros((0, len(space.knobs)))
        self.open: list[int] = []
        self.fits: dict[int, Scales] = {}
        self._sizes: dict[int, tuple[int, int]] = {}  # number of knobs and reports of each trial at the last look
        self._curves: list[Sequence[float]] = []
        self._steps: list[Sequence[int]] = []
        self._state = np.zeros(0, dtype=int)  # how each trial ended, as below
        self._scores: dict[int, np.ndarray] = {}  # epoch -> (trials,), NaN where it is not reached or not known yet

    RUNNING, PRUNED, COMPLETE, BAD, NOTHING = range(5)

    def learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Take note of everything that was reported since the last call.

        Args:
            trials: of the study, in order of their numbers, none fewer than at the last call.
        """
        known, fresh = len(self._curves), len(trials) - len(self._curves)
        self._curves += [()] * fresh
        self._steps += [()] * fresh
        self._state = np.concatenate([self._state, np.full(fresh, self.RUNNING)])
        self.rows = np.concatenate([self.rows, np.full((fresh, self.rows.shape[1]), math.nan)])
        self._scores = {at: np.concatenate([column, np.full(fresh, math.nan)]) for at, column in self._scores.items()}
        looked_at, self.open = [*self.open, *range(known, len(trials))], []
        for number in looked_at:
            trial = trials[number]
            if not trial.state.is_finished():
                self.open.append(number)
            sizes = len(trial.params), len(trial.intermediate_values)
            if trial.state.is_finished() or sizes != self._sizes.get(number):
                self._sizes[number] = sizes
                self._take_note(number, trial)

    def _take_note(self, number: int, trial: FrozenTrial) -> None:
        reports = sorted(trial.intermediate_values.items())
        if trial.state is TrialState.COMPLETE and not reports:
            reports = [(1, float(trial.values[0]))]
        reached = self._steps[number][-1] if self._steps[number] else 0
        self._steps[number], self._curves[number] = [step for step, _ in reports], [value for _, value in reports]
        self._state[number] = self._state_of(trial)
        self.rows[number] = self.places.of(trial.params)
        for epoch, column in self._scores.items():
            if reports and reached < epoch <= reports[-1][0]:
                column[number] = self._score(number, epoch)

    def _state_of(self, trial: FrozenTrial) -> int:
        if trial.state is TrialState.FAIL:
            bad = failure_kind(trial.user_attrs.get("reason", "")) in BAD_FAILURES
            return self.BAD if bad else self.NOTHING
        if trial.state is TrialState.PRUNED and not any(map(math.isfinite, trial.intermediate_values.values())):
            return self.BAD if trial.intermediate_values else self.NOTHING
        if trial.state is TrialState.COMPLETE:
            return self.COMPLETE
        return self.PRUNED if trial.state is TrialState.PRUNED else self.RUNNING

    def ended_before(self, limit: int) -> int:
        """Trials from the first on, `limit` at most, all of which have ended: their number."""
        return min([*self.open, limit])

    def projections(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Projected final scores of the first `count` trials.

        A trial whose configuration made it fail has the worst of the others' scores.

        Returns:
            (count,) means and (count,) variances, NaN for a trial that has not reached a checkpoint, or says nothing.
        """
        state = self._state[:count]
        last = np.array([steps[-1] if steps else 0 for steps in self._steps[:count]])
        epochs = checkpoints(last[state == self.PRUNED], last[state == self.COMPLETE])
        if not epochs:
            return np.full(count, math.nan), np.full(count, math.nan)
        silent = np.isin(state, (self.BAD, self.NOTHING))
        scores = np.stack([self._column(epoch)[:count] for epoch in epochs], axis=1)
        means, variances = projected(np.where(silent[:, None], math.nan, scores))
        if not np.isnan(means).all():
            bad = state == self.BAD
            means[bad], variances[bad] = np.nanmin(means), 0.0
        return means, variances

    def _column(self, epoch: int) -> np.ndarray:
        """(trials,) scores at an epoch; those of all trials that have reached it are computed when first asked for."""
        if epoch not in self._scores:
            there = (number for number, steps in enumerate(self._steps) if steps and steps[-1] >= epoch)
            self._scores[epoch] = np.full(len(self._curves), math.nan)
            for number in there:
                self._scores[epoch][number] = self._score(number, epoch)
        return self._scores[epoch]

    def _score(self, number: int, epoch: int) -> float:
        until = sum(step <= epoch for step in self._steps[number])
        return score(self._curves[number][:until], self.fold_epochs)


_memories: WeakKeyDictionary[Study, Memory] = WeakKeyDictionary()


def memory_of(study: Study, space: Space, fold_epochs: int) -> Memory:
    """What this process remembers of a study, brought up to date."""
    memory = _memories.get(study)
    if memory is None or (memory.places.space, memory.fold_epochs) != (space, fold_epochs):
        memory = _memories[study] = Memory(space, fold_epochs)
    memory.learn(study._get_trials(deepcopy=False))
    return memory
