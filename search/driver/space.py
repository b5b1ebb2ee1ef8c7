"""The space that the options ask for: `--set`, `--space`, and the features that it decides."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ser_core.architectures import default_config
from ser_core.config import Config, ConfigError, raise_problems
from ser_core.features.transforms import settings_key
from spaces import space_for
from spaces.knobs import Choice, Float, Int, Knob, KnobError, Space, Value

MOST_STORES = 8
"""Feature settings that a search may range over; each costs a pass over the corpus and its size in memory."""

SET_BY_OPTIONS = {"optim.epochs": "--max-epochs", "seed": "--seed", "model.pretrained": "--pretrained"}
"""Settings that have an option of their own and are neither knobs nor `--set`."""


def resolve_space(
    model: str, *, sets: Sequence[str], spaces: Sequence[str], max_epochs: int | None, pretrained: str | None
) -> tuple[Space, dict[str, Value]]:
    """The space after `--set` and `--space`, and every setting that is fixed.

    Args:
        sets: `name=value` each.
        spaces: `name=low:high[:log]` or `name=value,value` each.

    Raises:
        ConfigError: all that is wrong with names and values, at once.
    """
    config, problems = default_config(model), []
    fixed: dict[str, Value] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        try:
            if not equals:
                raise ConfigError(f"--set takes NAME=VALUE; got {text!r}")
            if name in SET_BY_OPTIONS:
                raise ConfigError(f"--set {text}: {name} has an option of its own, {SET_BY_OPTIONS[name]}")
            fixed[name] = config.parsed(name, value)
        except ConfigError as error:
            problems.append(str(error))
    if pretrained is not None:
        if "model.pretrained" in config.params():
            fixed["model.pretrained"] = pretrained
        else:
            problems.append(f"--pretrained {pretrained}: {model} has no pretrained weights; leave the option out")
    if max_epochs is not None:
        fixed["optim.epochs"] = max_epochs
    space = space_for(model)
    changes: dict[str, Knob] = {}
    for text in spaces:
        name, _, value = text.partition("=")
        try:
            changes[name] = _checked_knob(config, name, value, space.knobs.get(name))
        except (ConfigError, ValueError) as error:
            problems.append(f"--space {text}: {error}")
    problems += [f"{name} is both --set and --space" for name in sorted(set(fixed) & set(changes))]
    raise_problems(problems)
    default_config(model, fixed)  # raises for values out of bounds
    return space.replaced(changes).fixed(fixed), fixed


def _checked_knob(config: Config, name: str, text: str, old: Knob | None) -> Knob:
    if name in SET_BY_OPTIONS:
        raise ConfigError(f"{name} is set by {SET_BY_OPTIONS[name]} and cannot be searched")
    if name not in config.params():
        raise ConfigError(f"unknown setting {name!r}; known: {', '.join(config.params())}")
    value = config.params()[name]
    knob = parse_knob(text, old if old is not None else _like(value))
    if isinstance(knob, Choice):
        return replace(knob, values=tuple(config.parsed(name, str(item)) for item in knob.values))
    if isinstance(knob, Float) and type(value) is not float:
        raise KnobError(f"{name} takes {type(value).__name__} values; a range of real numbers does not fit")
    if isinstance(knob, Int) and type(value) is not int:
        raise KnobError(f"{name} takes {type(value).__name__} values; a range of whole numbers does not fit")
    return knob


def _like(value: Value) -> Knob | None:
    """A knob that tells `parse_knob` that a setting is a real number."""
    return Float(low=0.0, high=1.0) if isinstance(value, float) else None


def feature_settings(model: str, space: Space, fixed: Mapping[str, Value]) -> dict[str, Config]:
    """Every feature content that the space can ask for: `settings_key` -> a configuration that has it.

    Raises:
        ConfigError: a knob that decides the features without a finite number of values, or more contents than
            `MOST_STORES`.
    """

    def config_for(params: Mapping[str, Value]) -> Config:
        return default_config(model, {**fixed, **params})

    deciding = {
        name: _values(name, knob)
        for name, knob in space.knobs.items()
        if len({settings_key(config_for({name: value}).features) for value in _probes(knob)}) > 1
    }
    found: dict[str, Config] = {}
    for values in itertools.product(*deciding.values()):
        config = config_for(dict(zip(deciding, values, strict=True)))
        found.setdefault(settings_key(config.features), config)
    if len(found) > MOST_STORES:
        raise ConfigError(
            f"the space asks for {len(found)} kinds of features, more than {MOST_STORES}; narrow {', '.join(deciding)}"
        )
    return found


def _probes(knob: Knob) -> Sequence[Value]:
    """Values that show whether a knob matters for something: all of them, or both ends of a range."""
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)


def _values(name: str, knob: Knob) -> Sequence[Value]:
    if isinstance(knob, Choice):
        return knob.values
    if isinstance(knob, Int) and not knob.log:
        return range(knob.low, knob.high + 1, knob.step)
    raise ConfigError(f"{name} decides the stored features, so it needs listed values: --space {name}=value,value")


def parse_knob(text: str, old: Knob | None) -> Knob:
    """A knob from the command line: `1e-5:1e-3:log`, `0:0.5:linear`, `16:64` or `16,32,64`.

    Two whole numbers make an Int, unless the knob that is narrowed is a Float. A range without a scale keeps that of
    the knob that it narrows, and its step where that still leads from low to high.

    Raises:
        ValueError: text that is neither; the forms are listed.
    """
    if ":" in text:
        return _parse_range(text, old)
    values = tuple(_parse_value(item.strip()) for item in text.split(",") if item.strip())
    if not values:
        raise ValueError(f"a knob is {RANGES} or value,value,…; got {text!r}")
    return Choice(values=values)


RANGES = "low:high, low:high:log, low:high:linear"
"""How a range is written."""


def _parse_range(text: str, old: Knob | None) -> Knob:
    low, high, *rest = (part.strip() for part in text.split(":"))
    if rest not in ([], ["log"], ["linear"]):
        raise ValueError(f"a range is {RANGES}; got {text!r}")
    log = rest == ["log"] or (not rest and isinstance(old, Float | Int) and old.log)
    try:
        bounds = (int(low), int(high)) if not isinstance(old, Float) else None
    except ValueError:
        bounds = None
    if bounds is not None:
        step = old.step if isinstance(old, Int) and not log and (bounds[1] - bounds[0]) % old.step == 0 else 1
        return Int(low=bounds[0], high=bounds[1], step=step, log=log)
    try:
        return Float(low=float(low), high=float(high), log=log)
    except ValueError as error:
        raise ValueError(f"a range is {RANGES}, with numbers; got {text!r}: {error}") from error


def _parse_value(text: str) -> Value:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
