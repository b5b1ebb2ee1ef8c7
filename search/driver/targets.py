"""What the options ask to predict and to maximise, and whether the space can do that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from ser_core.architectures import default_config, fits_itself
from ser_core.config import ConfigError
from ser_core.targets import DIMENSIONS, check_objective, kind_of, objectives_of
from ser_core.training.losses import check_loss
from spaces.knobs import Choice, Knob, Space, Value
from spaces.several import parts_of


def objective_of(target: str, asked: str | None) -> str:
    """What a search for a target maximises: what is asked for, or the usual score.

    Raises:
        ConfigError: a score that this target does not have.
    """
    objective = asked or objectives_of(kind_of(target))[0]
    check_objective(kind_of(target), objective)
    return objective


def check_losses(model: str, space: Space, fixed: Mapping[str, Value], target: str) -> None:
    """Raise `ConfigError` for a loss, or sampling, that trials may have and the target cannot."""
    names = ("optim.loss", "optim.sampling", "optim.class_weights")
    for architecture, (own, settings) in parts_of(model, space, fixed).items():
        if kind_of(target) == DIMENSIONS and fits_itself(architecture):
            raise ConfigError(f"--target {target}: {architecture} tells classes apart and predicts no ratings")
        searched = [name for name in names if name in own.knobs]
        for values in itertools.product(*(_values(own.knobs[name]) for name in searched)):
            config = default_config(architecture, {**settings, **dict(zip(searched, values, strict=True))})
            check_loss(config.optim, kind_of(target))


def _values(knob: Knob) -> Sequence[Value]:
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)
