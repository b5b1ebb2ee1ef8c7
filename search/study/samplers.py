"""Knobs as Optuna sees them, and the samplers that may propose values."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler

from search.study.tpe import RememberingTPESampler
from spaces.knobs import Float, Int, Knob, Space, Value

RANDOM_SHARE = 1 / 3
"""Share of proposals that TPE leaves to chance, as in BOHB (Falkner et al. 2018, arXiv 1807.01774, section 3.2).

A score on a few speakers is noisy, and TPE soon proposes what resembles the first few lucky trials. Measured with
benchmarks/search_quality.py on curves of RAVDESS: 0.3 points of regret less (60 seeds); on MFHartmann level to a little
more.
"""


def _tpe(seed: int) -> BaseSampler:
    at_random = np.random.default_rng(seed).random() < RANDOM_SHARE
    return RandomSampler(seed=seed) if at_random else RememberingTPESampler(seed=seed)


SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "gp": lambda seed: GPSampler(seed=seed, warn_independent_sampling=False),
    "random": lambda seed: RandomSampler(seed=seed),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
}
"""Name -> sampler from a seed. TPE's constant liar keeps parallel workers from being sent to the same place."""


def make_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """The sampler for proposal `number` of a run with `seed`.

    Every proposal gets a fresh sampler with its own seed, so that it depends on the seed, its number and what the study
    holds of other trials alone: a run that is resumed proposes what it would have proposed then.

    Raises:
        ValueError: an unknown name; the known ones are listed.
    """
    if name not in SAMPLERS:
        raise ValueError(f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}")
    own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[name](own_seed)


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Ask Optuna for a value of every active knob, parents before the knobs that depend on them."""
    params: dict[str, Value] = {}
    for name, knob in space.knobs.items():
        if space.active(name, params):
            params[name] = _suggest_one(trial, name, knob)
    return params


def distribution(knob: Knob) -> BaseDistribution:
    """What Optuna keeps of a knob for which it was asked."""
    if isinstance(knob, Float):
        return FloatDistribution(knob.low, knob.high, log=knob.log)
    if isinstance(knob, Int):
        return IntDistribution(knob.low, knob.high, log=knob.log, step=knob.step)
    return CategoricalDistribution(knob.values)


def _suggest_one(trial: optuna.Trial, name: str, knob: Knob) -> Value:
    if isinstance(knob, Float):
        return trial.suggest_float(name, knob.low, knob.high, log=knob.log)
    if isinstance(knob, Int):
        return trial.suggest_int(name, knob.low, knob.high, step=knob.step, log=knob.log)
    return cast(Value, trial.suggest_categorical(name, knob.values))
