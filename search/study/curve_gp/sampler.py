"""Proposals by a Gaussian process on where learning curves will end.

Early stopping leaves most trials with the beginning of a curve. The end that it would have come to is regressed from
the scores at the rungs (projection.py), and a Gaussian process over the knobs learns from these ends, each with the
variance of its projection beside the luck of a training. The proposal is the candidate whose value without luck can be
expected to exceed that of the best configuration so far by most (expected improvement: Jones et al. 1998, "Efficient
global optimization of expensive black-box functions").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from search.study.curve_gp.memory import Memory, memory_of
from search.study.curve_gp.process import Posterior, Scales, fitted, prior
from search.study.distributions import distribution
from spaces.knobs import Space

LEAST_SCORED = 5
"""Trials with a score before which proposals are random."""
FIRST_FIT, GROWTH = 10, 1.5
"""Ended trials to which hyperparameters are first fitted, and the growth of their number from fit to fit."""
MOST_FITTED, MOST_POINTS = 150, 200
"""Trials of which a fit, and a proposal, take account: a third are the best, the others are taken evenly."""
MOST_BELIEVED = 100
"""Trials at work without a score of which a proposal takes account: the latest."""
RANDOM, BEST, NEAR_EACH = 300, 5, 30
"""Candidates from the whole space, and near each of so many of the best configurations."""


class CurveGPSampler(BaseSampler):
    """Proposes by expected improvement of a Gaussian process on projected scores; see the module.

    A proposal depends on the seed and on what the study holds of other trials: hyperparameters are fitted to the first
    10, 15, 22 … trials once all of these have ended, and what is remembered between proposals only saves time.

    For studies that maximise.

    Args:
        seed: of this proposal.
        space: of the study, from which a proposal takes the conditions that Optuna does not know.
        fold_epochs: of each fold where trials train folds one after another, 0 otherwise.
    """

    def __init__(self, *, seed: int, space: Space, fold_epochs: int = 0) -> None:
        self._rng, self._space, self._fold_epochs = np.random.default_rng(seed), space, fold_epochs
        self._independent = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {name: distribution(knob) for name, knob in self._space.knobs.items()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if study.direction != StudyDirection.MAXIMIZE:
            raise ValueError("curve-gp proposes for studies that maximise; this one minimises")
        memory = memory_of(study, self._space, self._fold_epochs)
        with _one_thread():
            row = self._proposed(memory, trial.number)
        return {} if row is None else memory.places.params(row)

    def _proposed(self, memory: Memory, own: int) -> np.ndarray | None:
        """(knobs,) the proposal for trial `own`; None while there is too little to learn from."""
        view = _view(memory)
        if view is None:
            return None
        waiting = [number for number in memory.open if number != own and np.isnan(view.means[number])]
        begun = [number for number in waiting if not np.isnan(memory.rows[number]).all()]
        posterior = view.posterior(memory, begun[-MOST_BELIEVED:])
        return self._best_candidate(memory, view, posterior)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _best_candidate(self, memory: Memory, view: _View, posterior: Posterior) -> np.ndarray:
        """(knobs,) the candidate of the largest expected improvement."""
        places, rows = memory.places, memory.rows[view.numbers]
        best = rows[np.argsort(-posterior.means, kind="stable")[:BEST]]
        near = places.near(self._rng, np.repeat(best, NEAR_EACH, axis=0))
        candidates = np.concatenate([places.drawn(self._rng, RANDOM), near])
        mean, deviation = posterior.mean_and_deviation(places.points(candidates))
        promise = expected_improvement(mean, deviation, float(posterior.means.max()))
        return candidates[int(np.argmax(promise))]


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """By how much a normal number exceeds `best`, in expectation; one below it counts as 0."""
    deviation = np.maximum(deviation, 1e-9)
    gain = (mean - best) / deviation
    return deviation * (gain * ndtr(gain) + np.exp(-0.5 * gain**2) / math.sqrt(2 * math.pi))


def posterior_means(study: Study, space: Space, fold_epochs: int = 0) -> Mapping[int, float]:
    """Trial number -> expected final score without luck, of every trial that has a score.

    What finalists could be chosen by: the best of many scores is mostly luck, and the posterior mean leans on the
    trials nearby. No run does so; `benchmarks/worth.py replay` compares it with choosing by score.

    Returns:
        Nothing while there are fewer than `LEAST_SCORED` trials with a score.
    """
    memory = memory_of(study, space, fold_epochs)
    with _one_thread():
        view = _view(memory)
        if view is None:
            return {}
        numbers = np.flatnonzero(~np.isnan(view.means))
        found = view.posterior(memory, []).mean(memory.places.points(memory.rows[numbers]))
    return dict(zip(numbers.tolist(), (view.centre + view.scale * found).tolist(), strict=True))


@dataclass(frozen=True)
class _View:
    """The trials of which account is taken.

    Attributes:
        means, variances: (trials,) projected final scores, NaN without one.
        numbers: of the trials of which account is taken.
        centre, scale: of their means. Targets have mean 0 and variance 1.
        scales: hyperparameters.
    """

    means: np.ndarray
    variances: np.ndarray
    numbers: np.ndarray
    centre: float
    scale: float
    scales: Scales

    def posterior(self, memory: Memory, believed: list[int]) -> Posterior:
        points = memory.places.points
        return Posterior(
            self.scales,
            points(memory.rows[self.numbers]),
            memory.places.owner,
            (self.means[self.numbers] - self.centre) / self.scale,
            self.variances[self.numbers] / self.scale**2,
            points(memory.rows[believed]),
        )


def _view(memory: Memory) -> _View | None:
    """What to propose from; None while it is too little."""
    means, variances = memory.projections(len(memory.rows))
    numbers = _thinned(means, MOST_POINTS)
    if len(numbers) < LEAST_SCORED:
        return None
    centre, scale = _standard(means[numbers])
    return _View(means, variances, numbers, centre, scale, _scales(memory))


def _scales(memory: Memory) -> Scales:
    """Hyperparameters, fitted to the first trials that have all ended, as many as the schedule of fits has."""
    ended, count, following = memory.ended_before(len(memory.rows)), 0, FIRST_FIT
    while following <= ended:
        count, following = following, math.ceil(GROWTH * following)
    if count not in memory.fits:
        memory.fits = {count: _fit(memory, count)}
    return memory.fits[count]


def _fit(memory: Memory, count: int) -> Scales:
    means, variances = memory.projections(count)
    numbers = _thinned(means, MOST_FITTED)
    if len(numbers) < LEAST_SCORED:
        return prior(memory.rows.shape[1])
    centre, scale = _standard(means[numbers])
    points = memory.places.points(memory.rows[numbers])
    return fitted(points, memory.places.owner, (means[numbers] - centre) / scale, variances[numbers] / scale**2)


def _standard(means: np.ndarray) -> tuple[float, float]:
    """Mean and deviation; 1 where all are alike."""
    return float(means.mean()), float(means.std()) or 1.0


def _one_thread() -> AbstractContextManager[Any]:
    """Linear algebra by one thread: for matrices this small more of them only wait for the workers' processors.

    On two busy processors a proposal took 466 ms with two threads, and 22 with one.
    """
    return _thread_pools().limit(limits=1)


@cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks for the libraries, which takes longer than a proposal


def _thinned(means: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the trials with a score, or of `most` of them: a third the best, the others evenly spaced."""
    numbers = np.flatnonzero(~np.isnan(means))
    if len(numbers) <= most:
        return numbers
    order = np.argsort(-means[numbers], kind="stable")
    rest = np.sort(order[most // 3 :])
    spaced = rest[np.linspace(0, len(rest) - 1, most - most // 3).round().astype(int)]
    return numbers[np.sort(np.concatenate([order[: most // 3], spaced]))]
