"""One space of several architectures: a choice among them, and every architecture's own knobs under it.

A knob of the same name may have another range in each architecture, so all names are qualified there:
`mlp/optim.learning_rate`. A configuration names its architecture and what is that architecture's; everywhere else a
configuration has no choice, and names as they are. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from spaces.knobs import Choice, Knob, Space, Value, When

SEVERAL = "auto"
"""In the place of an architecture's name: a choice among several."""

ARCHITECTURE = "architecture"
"""The knob that chooses."""

T = TypeVar("T")


def named_architectures(model: str) -> tuple[str, ...]:
    """Those that "auto:mlp,shallow_cnn" names, each once; none for "auto" alone, and for the name of one."""
    word, colon, names = model.partition(":")
    if word != SEVERAL or not colon:
        return ()
    return tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def is_choice(model: str) -> bool:
    """True for "auto", with or without names."""
    return model.partition(":")[0] == SEVERAL


def joined(spaces: Mapping[str, Space]) -> Space:
    """The space of several architectures, by name.

    First come the recipes, an architecture's first configuration each, then what else each is to try first.
    """
    knobs: dict[str, Knob] = {ARCHITECTURE: Choice(values=tuple(spaces))}
    for architecture, space in spaces.items():
        chosen = When(name=ARCHITECTURE, values=(architecture,))
        for name, knob in space.knobs.items():
            own = chosen if knob.when is None else replace(knob.when, name=f"{architecture}/{knob.when.name}")
            knobs[f"{architecture}/{name}"] = replace(knob, when=own)
    first = {name: [chosen_with(name, params) for params in space.first] for name, space in spaces.items()}
    recipes, others = [each[:1] for each in first.values()], [each[1:] for each in first.values()]
    return Space(knobs=knobs, first=tuple(params for each in (*recipes, *others) for params in each))


def chosen_with(architecture: str, params: Mapping[str, Value]) -> dict[str, Value]:
    """A configuration of one architecture as one of several."""
    return {ARCHITECTURE: architecture, **qualified(architecture, params)}


def qualified(architecture: str, values: Mapping[str, T]) -> dict[str, T]:
    """The values under the names that they have among several architectures."""
    return {f"{architecture}/{name}": value for name, value in values.items()}


def own_values(architecture: str, values: Mapping[str, T]) -> dict[str, T]:
    """What of the values is one architecture's, under its own names; the inverse of `qualified`."""
    prefix = f"{architecture}/"
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def architectures_in(space: Space) -> tuple[str, ...]:
    """Those among which a space chooses, none where it is of one alone."""
    knob = space.knobs.get(ARCHITECTURE)
    return tuple(map(str, knob.values)) if isinstance(knob, Choice) else ()


def own_space(architecture: str, space: Space) -> Space:
    """One architecture's part of a joined space, under its own names."""
    part = space.fixed({ARCHITECTURE: architecture})
    knobs = {name: replace(knob, when=_own_condition(architecture, knob.when)) for name, knob in part.knobs.items()}
    first = tuple(own_values(architecture, params) for params in part.first)
    return Space(knobs=own_values(architecture, knobs), first=first)


def _own_condition(architecture: str, when: When | None) -> When | None:
    return None if when is None else replace(when, name=when.name.removeprefix(f"{architecture}/"))


def parts_of(model: str, space: Space, values: Mapping[str, T]) -> dict[str, tuple[Space, dict[str, T]]]:
    """Architecture -> its space and its values, under its own names; of a space without a choice that of `model`."""
    parts = {name: (own_space(name, space), own_values(name, values)) for name in architectures_in(space)}
    return parts or {model: (space, dict(values))}


def merged(parts: Mapping[str, Mapping[str, T]]) -> dict[str, T]:
    """The values of several architectures under qualified names."""
    return {name: value for architecture, own in parts.items() for name, value in qualified(architecture, own).items()}


def choice_of(params: Mapping[str, Value]) -> str:
    """The architecture that a configuration chooses; "" where there is no choice."""
    return str(params.get(ARCHITECTURE, ""))


def chosen_settings(params: Mapping[str, Value]) -> dict[str, Value]:
    """The settings of the chosen architecture under its own names, and the choice; all where there is none."""
    if not (choice := choice_of(params)):
        return dict(params)
    return {ARCHITECTURE: choice, **own_values(choice, params)}


def for_choice(each: T | Mapping[str, T], params: Mapping[str, Value]) -> T:
    """Of what there is once, or for each architecture, what a configuration needs."""
    return each[choice_of(params)] if isinstance(each, Mapping) else each
