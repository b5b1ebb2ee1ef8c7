"""What a resumed run is asked for otherwise than it was planned, in the words of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search.driver.option import Kind
from search.driver.options import OPTIONS, Options
from search.driver.space import SET_BY_OPTIONS
from search.run_folder.architectures import spaces_of
from search.run_folder.plan import SearchPlan
from search.terminal.printing import knob_text
from ser_core.architectures import default_config
from spaces.knobs import Space, Value, knob_to_json
from spaces.several import architectures_in, merged, own_values

_COMPARED_ELSEWHERE = ("data", "test_data", "skip_bad", "model")
"""Options that only choose clips, where the corpus itself is compared, and the model, which stands first."""


def changed_options(options: Options, old: SearchPlan) -> list[str]:
    """Options that are given and are not those of the run, one line each."""
    problems = []
    for name, value in options.given(Kind.PLAN).items():
        before = getattr(old, name)
        if name not in _COMPARED_ELSEWHERE and str(value) != str(before):
            meaning = OPTIONS[name].meaning if before is None else before
            problems.append(_changed(OPTIONS[name].flag, meaning, value))
    return problems


def changed_space(old: SearchPlan, asked: Mapping[str, Any], space: Space, fixed: Mapping[str, Value]) -> list[str]:
    """Settings and knobs that are given and are not those of the run, one line each.

    Args:
        asked: options of `Kind.SPACE` that are given; `space` and `fixed` are what they make of the model's space.
    """
    config = merged({name: default_config(name, own).params() for name, (_, own) in spaces_of(old).items()})
    if not architectures_in(space):
        config = own_values(old.model, config)

    def before(name: str) -> str:
        return knob_text(old.space[name]) if name in old.space else str(config[name])

    problems = [
        _changed(SET_BY_OPTIONS.get(name.rpartition("/")[2], f"--set {name}"), before(name), value)
        for name, value in fixed.items()
        if name in old.space or config[name] != value
    ]
    for text in asked.get("space", ()):
        asked_name = text.partition("=")[0]
        for name in (name for name in space.knobs if asked_name in (name, name.partition("/")[2])):
            knob = knob_to_json(space.knobs[name])
            if not _same_knob(knob, old.space.get(name)):
                problems.append(_changed(f"--space {name}", before(name), knob_text(knob)))
    return problems


def _same_knob(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    return other is not None and json.dumps(one) == json.dumps(other)  # lists of a file, tuples of a knob


def _changed(what: str, before: object, now: object) -> str:
    return f"{what}: {before} in the run, {now} now"
