"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from ser_core.config import OptimConfig


def learning_rate(step: int, total_steps: int, settings: OptimConfig) -> float:
    """Learning rate of a step, counted from 0, of the `total_steps` that the full budget has.

    Pinned to the full budget: a run that ends early saw the same rates as one that goes on. `onecycle` climbs linearly
    over the first `warmup_fraction` of the steps and then falls to zero along a cosine (Smith & Topin 2018; cosine:
    Loshchilov & Hutter 2017, equation 5); `cosine` only falls; `constant` stays at the peak.
    """
    peak = settings.learning_rate
    if settings.schedule == "constant":
        return peak
    warmup = round(settings.warmup_fraction * total_steps) if settings.schedule == "onecycle" else 0
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))
