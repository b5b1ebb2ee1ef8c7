"""The space that the options ask for: `--set`, `--space`, and the features that it decides."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from search.driver.starts import named_start, taken_settings
from ser_core.architectures import default_config, kind_of_weights, settings_read
from ser_core.config import Config, ConfigError, FeatureConfig, raise_problems
from ser_core.features.transforms import settings_key
from spaces import space_for
from spaces.knobs import Choice, Float, Int, Knob, KnobError, Space, Value
from spaces.several import parts_of

MOST_EARLY = 8
"""Kinds of features that are computed before the search; each costs a pass over the corpus and its size in memory."""

MOST_ASSIGNMENTS = 1_000
"""Combinations of knobs that are looked at for the kinds of features among them."""

SET_BY_OPTIONS = {
    "optim.epochs": "--max-epochs",
    "seed": "--seed",
    "model.pretrained": "--pretrained",
    "start": "--pretrained",
}
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
    start = named_start(pretrained)
    if pretrained is not None and start is None:
        if "model.pretrained" in config.params():
            fixed["model.pretrained"] = found_from_anywhere(pretrained)
        else:
            problems.append(
                f"--pretrained {pretrained}: {model} has no pretrained weights and takes only a trained {model} of "
                f"one's own, a run folder or a model folder; leave the option out"
            )
    if max_epochs is not None:
        fixed["optim.epochs"] = max_epochs
    space = space_for(model, _kind_of_weights(model, fixed))
    changes: dict[str, Knob] = {}
    for text in spaces:
        name, _, value = text.partition("=")
        try:
            changes[name] = _checked_knob(config, name, value, space.knobs.get(name))
        except (ConfigError, ValueError) as error:
            problems.append(f"--space {text}: {error}")
    problems += [f"{name} is both --set and --space" for name in sorted(set(fixed) & set(changes))]
    if start is not None:
        taken, disagreeing = taken_settings(model, start, fixed, changes, space.knobs)
        fixed |= taken
        problems += disagreeing
    raise_problems(problems)
    default_config(model, fixed)  # raises for values out of bounds
    return space.replaced(changes).fixed(fixed), fixed


def _kind_of_weights(model: str, fixed: Mapping[str, Value]) -> str:
    """That of the weights that a run names; "" where the run names none, or what it fixes is refused anyway."""
    if "model.pretrained" not in fixed:
        return ""
    try:
        return kind_of_weights(default_config(model, fixed))
    except ConfigError:
        return ""


def found_from_anywhere(pretrained: str) -> str:
    """A file or folder by its whole path, since workers and later sessions may run elsewhere; other names as given."""
    path = Path(pretrained).expanduser()
    return str(path.resolve()) if path.exists() else pretrained


def _checked_knob(config: Config, name: str, text: str, old: Knob | None) -> Knob:
    if name in SET_BY_OPTIONS:
        raise ConfigError(f"{name} is set by {SET_BY_OPTIONS[name]} and cannot be searched")
    if name not in config.params():
        raise ConfigError(f"unknown setting {name!r}; known: {', '.join(config.params())}")
    if name not in settings_read(config.architecture):
        raise ConfigError(f"{name} says nothing to {config.architecture}, which no gradient trains")
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


def early_features(model: str, space: Space, fixed: Mapping[str, Value]) -> dict[str, FeatureConfig]:
    """The features that are computed before the search: `settings_key` -> settings.

    Every kind that the space can ask for, where these are at most `MOST_EARLY`. Else those of the configurations that
    are tried first, as far as these decide them; the worker that asks for others first makes them. Of a space of
    several architectures those of each.

    Raises:
        ConfigError: a configuration whose settings do not fit one another.
    """
    found: dict[str, FeatureConfig] = {}
    for architecture, (own, settings) in parts_of(model, space, fixed).items():
        found |= _early_of_one(architecture, own, settings)
    return found


def _early_of_one(model: str, space: Space, fixed: Mapping[str, Value]) -> dict[str, FeatureConfig]:
    deciding = _deciding(model, space, fixed)
    kinds = itertools.islice(_kinds(model, space, fixed, deciding), MOST_ASSIGNMENTS + 1)
    found: dict[str, FeatureConfig] = {}
    for count, config in enumerate(kinds, 1):
        found.setdefault(settings_key(config.features), config.features)
        if len(found) > MOST_EARLY or count > MOST_ASSIGNMENTS:
            break
    else:
        return found
    first = [
        default_config(model, {**fixed, **params}).features
        for params in space.first
        if all(name in params or not space.active(name, params) for name in deciding)
    ]
    return {settings_key(features): features for features in first}


def _kinds(model: str, space: Space, fixed: Mapping[str, Value], deciding: Sequence[str]) -> Iterator[Config]:
    """A configuration for every combination of the knobs that decide the features; without end for real numbers."""
    listed = [(name, _values(space.knobs[name])) for name in deciding]

    def extended(params: dict[str, Value], rest: Sequence[tuple[str, Iterable[Value]]]) -> Iterator[Config]:
        if not rest:
            yield default_config(model, {**fixed, **params})
            return
        (name, values), *others = rest
        if not space.active(name, params):
            yield from extended(params, others)
            return
        for value in values:
            yield from extended({**params, name: value}, others)

    return extended({}, listed)


def _deciding(model: str, space: Space, fixed: Mapping[str, Value]) -> list[str]:
    """Knobs on which the stored features depend, and those on which these depend, in the order of the space."""
    found: set[str] = set()
    for name in space.knobs:
        above = _conditions(space, name)
        if _decides(model, space, name, {**fixed, **above}):
            found |= {name, *above}
    return [name for name in space.knobs if name in found]


def _conditions(space: Space, name: str) -> dict[str, Value]:
    """Values of other knobs under which a knob is active."""
    when = space.knobs[name].when
    return {} if when is None else {**_conditions(space, when.name), when.name: when.values[0]}


def _decides(model: str, space: Space, name: str, others: Mapping[str, Value]) -> bool:
    keys = set()
    for value in _probes(space.knobs[name]):
        try:
            keys.add(settings_key(default_config(model, {**others, name: value}).features))
        except ConfigError:  # it goes only with other features than the default ones
            return True
    return len(keys) > 1


def _probes(knob: Knob) -> Sequence[Value]:
    """Values that show whether a knob matters for something: all of them, or both ends of a range."""
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)


def _values(knob: Knob) -> Iterable[Value]:
    """What a knob can be; of real numbers the bounds, and others between them, more than are computed early."""
    if isinstance(knob, Choice):
        return knob.values
    if isinstance(knob, Int):
        return range(knob.low, knob.high + 1, knob.step)
    if knob.low == knob.high:
        return (knob.low,)
    steps = MOST_EARLY + 1
    return (knob.low, knob.high, *(knob.low + (knob.high - knob.low) * step / steps for step in range(1, steps)))


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
