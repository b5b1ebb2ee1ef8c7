"""Knobs as Optuna sees them, and the samplers that may propose values."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler

from search.study.curve_gp.sampler import CurveGPSampler
from search.study.tpe import RememberingTPESampler
from spaces.knobs import Float, Int, Knob, Space, Value

RANDOM_SHARE = 1 / 3
"""Share of proposals that TPE leaves to chance, as in BOHB (Falkner et al. 2018, arXiv 1807.01774, section 3.2).

A score on a few speakers is noisy, and TPE soon proposes what resembles the first few lucky trials. Measured with
benchmarks/search_quality.py on curves of RAVDESS: 0.3 points of regret less (60 seeds); on MFHartmann level to a little
more.
"""


CURVE_GP_RANDOM_SHARE = 1 / 2
"""Share of proposals that the Gaussian process on projected scores leaves to chance: half, as it was first measured."""


def _tpe(seed: int, space: Space, fold_epochs: int) -> BaseSampler:
    return RandomSampler(seed=seed) if _chance(seed) < RANDOM_SHARE else RememberingTPESampler(seed=seed)


def _curve_gp(seed: int, space: Space, fold_epochs: int) -> BaseSampler:
    if _chance(seed) < CURVE_GP_RANDOM_SHARE:
        return RandomSampler(seed=seed)
    return CurveGPSampler(seed=seed, space=space, fold_epochs=fold_epochs)


def _chance(seed: int) -> float:
    return float(np.random.default_rng(seed).random())


SAMPLERS: Mapping[str, Callable[[int, Space, int], BaseSampler]] = {
    "tpe": _tpe,
    "curve-gp": _curve_gp,
    "gp": lambda seed, space, fold_epochs: GPSampler(seed=seed, warn_independent_sampling=False),
    "random": lambda seed, space, fold_epochs: RandomSampler(seed=seed),
    "cmaes": lambda seed, space, fold_epochs: CmaEsSampler(seed=seed, warn_independent_sampling=False),
}
"""Name -> sampler from a seed, the study's space and the epochs of each fold that is trained in turn.

TPE's constant liar, and the points at which the Gaussian process awaits a score, keep parallel workers from being sent
to the same place.
"""


def make_sampler(name: str, seed: int, number: int, space: Space, fold_epochs: int = 0) -> BaseSampler:
    """The sampler for proposal `number` of a run with `seed`, which proposes from `space`.

    `fold_epochs` are those of each fold where trials train folds one after another, 0 otherwise.

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
        return SAMPLERS[name](own_seed, space, fold_epochs)


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Ask Optuna for a value of every active knob, parents before the knobs that depend on them."""
    params: dict[str, Value] = {}
    for name, knob in space.knobs.items():
        if space.active(name, params):
            params[name] = _suggest_one(trial, name, knob)
    return params


def _suggest_one(trial: optuna.Trial, name: str, knob: Knob) -> Value:
    if isinstance(knob, Float):
        return trial.suggest_float(name, knob.low, knob.high, log=knob.log)
    if isinstance(knob, Int):
        return trial.suggest_int(name, knob.low, knob.high, step=knob.step, log=knob.log)
    return cast(Value, trial.suggest_categorical(name, knob.values))
