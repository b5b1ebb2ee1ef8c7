"""Knobs: what a search may turn, and within which bounds.

A knob says nothing about how it is sampled by a particular library; `search.study.samplers` translates. All bounds are
inclusive. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

Value = float | int | str | bool
"""A value that a knob can take."""


class KnobError(ValueError):
    """A knob or a space that breaks a rule; the message gives the rule, the value and what to do."""


@dataclass(frozen=True, kw_only=True)
class When:
    """A condition on another knob: the knob that bears it is only active when `name` has one of `values`."""

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise KnobError(f"when= needs at least one value of {self.name!r}; got none")

    def holds(self, params: Mapping[str, Value]) -> bool:
        """True when `params` gives `name` one of the wanted values."""
        return params.get(self.name) in self.values


@dataclass(frozen=True, kw_only=True)
class Float:
    """A real number in [low, high]; sampled on a log scale when `log`.

    Raises:
        KnobError: bounds that are not finite, not in order, or not positive on a log scale.
    """

    low: float
    high: float
    log: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def accepts(self, value: object) -> bool:
        """True for a real number (no bool) within the bounds."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True)
class Int:
    """A whole number in [low, high], in steps of `step` from low; on a log scale when `log`.

    Raises:
        KnobError: bounds that are not whole or not in order, a step below 1 or that misses `high`, a step on a log
            scale.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            if type(getattr(self, name)) is not int:
                raise KnobError(f"{name} of an Int knob must be a whole number; got {getattr(self, name)!r}")
        _check_bounds(self.low, self.high, self.log)
        if self.step < 1 or (self.high - self.low) % self.step:
            raise KnobError(
                f"step must be at least 1 and divide high - low = {self.high - self.low}, so that both bounds can be "
                f"reached; got {self.step}"
            )
        if self.log and self.step != 1:
            raise KnobError(f"a log scale has no step; got step={self.step}: use a Choice of the wanted values")

    def accepts(self, value: object) -> bool:
        """True for a whole number (no bool) that can be reached from `low` in steps."""
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of `values`, which have no order.

    Raises:
        KnobError: no values, or a value named twice.
    """

    values: tuple[Value, ...]
    when: When | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise KnobError("a Choice needs at least one value; got none")
        if len({(type(value), value) for value in self.values}) < len(self.values):
            raise KnobError(f"the values of a Choice must differ from one another; got {self.values!r}")

    def accepts(self, value: object) -> bool:
        """True for one of the values, of the same type (True is not 1)."""
        return any(type(value) is type(own) and value == own for own in self.values)


Knob = Float | Int | Choice


@dataclass(frozen=True, kw_only=True)
class Space:
    """The knobs of one model by dotted name, and the configurations to try first.

    `first` holds partial configurations, recipes of a paper or from earlier trials: a knob that one leaves out is left
    to the sampler.

    Raises:
        KnobError: every broken rule at once: a condition on a knob that is missing, stands later or cannot take the
            value; a first configuration with an unknown knob or a value out of bounds.
    """

    knobs: Mapping[str, Knob]
    first: tuple[Mapping[str, Value], ...] = ()

    def __post_init__(self) -> None:
        problems = [*self._condition_problems(), *self._first_problems()]
        if problems:
            raise KnobError("\n".join(problems))

    def _condition_problems(self) -> list[str]:
        problems, seen = [], set[str]()
        for name, knob in self.knobs.items():
            if knob.when is not None:
                parent = self.knobs.get(knob.when.name)
                if knob.when.name not in seen or parent is None:
                    problems.append(f"{name}: when= must name a knob that stands before it; got {knob.when.name!r}")
                else:
                    wrong = [value for value in knob.when.values if not parent.accepts(value)]
                    problems += [f"{name}: {knob.when.name} can never be {value!r}" for value in wrong]
            seen.add(name)
        return problems

    def _first_problems(self) -> list[str]:
        problems = []
        for index, params in enumerate(self.first):
            for name, value in params.items():
                if name not in self.knobs:
                    problems.append(f"first[{index}]: unknown knob {name!r}; known: {', '.join(self.knobs)}")
                elif not self.knobs[name].accepts(value):
                    problems.append(f"first[{index}]: {name}={value!r} is outside {self.knobs[name]!r}")
        return problems

    def active(self, name: str, params: Mapping[str, Value]) -> bool:
        """True when knob `name` has no condition, or `params` fulfils it."""
        when = self.knobs[name].when
        return when is None or when.holds(params)

    def fixed(self, values: Mapping[str, Value]) -> Space:
        """The space without the knobs named in `values`; what depended on them is decided now.

        A knob whose condition the fixed value fulfils becomes unconditional; one whose condition it breaks is dropped.
        Names that are no knobs are ignored here: they may be plain configuration fields.
        """
        knobs: dict[str, Knob] = {}
        for name, knob in self.knobs.items():
            if name in values:
                continue
            if knob.when is not None and knob.when.name not in knobs:
                if knob.when.name not in values or not knob.when.holds(values):
                    continue  # its parent is fixed to another value, or was itself dropped
                knob = replace(knob, when=None)
            knobs[name] = knob
        first = _distinct({n: v for n, v in params.items() if n in knobs} for params in self.first)
        return Space(knobs=knobs, first=first)

    def replaced(self, changes: Mapping[str, Knob]) -> Space:
        """The space with the knobs in `changes` narrowed, replaced or added.

        A replaced knob keeps its condition. Another knob whose condition can no longer hold is dropped. Values of first
        configurations that no longer fit are left to the sampler.
        """
        knobs: dict[str, Knob] = {}
        for name, knob in {**self.knobs, **changes}.items():
            old = self.knobs.get(name)
            if name in changes:
                knobs[name] = replace(knob, when=old.when) if old is not None and knob.when is None else knob
            elif knob.when is None:
                knobs[name] = knob
            elif when := _still_possible(knob.when, knobs):
                knobs[name] = replace(knob, when=when)
        first = _distinct(
            {n: v for n, v in params.items() if n in knobs and knobs[n].accepts(v)} for params in self.first
        )
        return Space(knobs=knobs, first=first)


def _still_possible(when: When, knobs: Mapping[str, Knob]) -> When | None:
    """The condition without the values that its knob cannot take; None when none is left."""
    values = tuple(value for value in when.values if when.name in knobs and knobs[when.name].accepts(value))
    return When(name=when.name, values=values) if values else None


def _distinct(first: Iterable[Mapping[str, Value]]) -> tuple[Mapping[str, Value], ...]:
    """Each once, in order: two may have differed in nothing but a knob that is gone. Empty ones go too."""
    kept: list[Mapping[str, Value]] = []
    for params in first:
        if params and params not in kept:
            kept.append(params)
    return tuple(kept)


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise KnobError(f"bounds must be finite and in order, low <= high; got {low!r}:{high!r}")
    if log and low <= 0:
        raise KnobError(f"a log scale needs bounds above 0; got {low!r}:{high!r}")


def knob_to_json(knob: Knob) -> dict[str, Any]:
    """A knob as plain values, with its kind under "type"."""
    return {"type": type(knob).__name__.lower(), **asdict(knob)}


def knob_from_json(values: Mapping[str, Any]) -> Knob:
    """The inverse of `knob_to_json`, also after a round trip through JSON.

    Raises:
        KnobError: an unknown type.
    """
    kinds: dict[str, type[Float] | type[Int] | type[Choice]] = {"float": Float, "int": Int, "choice": Choice}
    if values["type"] not in kinds:
        raise KnobError(f"a knob is one of {', '.join(kinds)}; got {values['type']!r}")
    fields: dict[str, Any] = {name: value for name, value in values.items() if name != "type"}
    if fields.get("when") is not None:
        fields["when"] = When(name=fields["when"]["name"], values=tuple(fields["when"]["values"]))
    if "values" in fields:
        fields["values"] = tuple(fields["values"])
    return kinds[values["type"]](**fields)
