"""Hyperparameter importance of a run, from its records alone. The only part of a page that needs optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from search.records import TrialRecord, TrialState
from search.view import RunView

FEWEST_TRIALS = 10
BEST_SHARE = 0.1
FEWEST_BEST = 5
"""PED-ANOVA asks what sets the best tenth apart; below 5 trials its density is noise (Watanabe et al. 2023)."""


def knob_importance(run: RunView) -> Mapping[str, float] | None:
    """Knob -> share of the importance, summing to 1, by PED-ANOVA (arXiv 2304.10255).

    Pruned trials count with the best score they reached: to leave them out would compare good configurations with good
    ones alone. None with fewer than `FEWEST_TRIALS` scores, or when no two knobs differ.
    """
    trials = [
        trial
        for trial in run.records.trials.values()
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and math.isfinite(trial.value)
    ]
    if len(trials) < FEWEST_TRIALS or len({trial.value for trial in trials}) < 2:
        return None
    distributions = {name: _distribution(knob) for name, knob in run.plan["space"].items()}
    varied = {n for n in distributions if len({trial.params[n] for trial in trials if n in trial.params}) > 1}
    if len(varied) < 2:
        return None
    study = _study(trials, {name: distributions[name] for name in varied})
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(BEST_SHARE, FEWEST_BEST / len(trials)))
    shares = get_param_importances(study, evaluator=evaluator)
    return shares if shares and all(map(math.isfinite, shares.values())) and sum(shares.values()) > 0 else None


def _study(trials: list[TrialRecord], distributions: Mapping[str, BaseDistribution]) -> optuna.Study:
    """A study in memory that holds the trials as complete ones."""
    sampler = optuna.samplers.RandomSampler(seed=0)  # never asked; the default one would warn about its options
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    for trial in trials:
        own = {name: trial.params[name] for name in distributions if name in trial.params}
        study.add_trial(create_trial(params=own, distributions={n: distributions[n] for n in own}, value=trial.value))
    return study


def _distribution(knob: Mapping[str, Any]) -> BaseDistribution:
    if knob["type"] == "float":
        return FloatDistribution(knob["low"], knob["high"], log=knob.get("log", False))
    if knob["type"] == "int":
        return IntDistribution(knob["low"], knob["high"], log=knob.get("log", False), step=knob.get("step") or 1)
    return CategoricalDistribution(tuple(knob["values"]))
