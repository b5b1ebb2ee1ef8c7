"""Knobs as Optuna keeps them."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from spaces.knobs import Float, Int, Knob


def distribution(knob: Knob) -> BaseDistribution:
    """What Optuna keeps of a knob for which it was asked."""
    if isinstance(knob, Float):
        return FloatDistribution(knob.low, knob.high, log=knob.log)
    if isinstance(knob, Int):
        return IntDistribution(knob.low, knob.high, log=knob.log, step=knob.step)
    return CategoricalDistribution(knob.values)
