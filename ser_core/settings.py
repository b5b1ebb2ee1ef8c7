"""What every configuration is made of: fields with default, bounds and unit, and the rules that values break."""

from __future__ import annotations

import math
import typing
from dataclasses import field, fields
from typing import Any

from ser_core.errors import UserError

Value = float | int | str | bool


class ConfigError(UserError, ValueError):
    """One or more settings that break a rule, all of them reported together."""


def setting(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Value, ...] | None = None,
) -> Any:
    """A dataclass field with inclusive bounds or choices; `help` states meaning and unit."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


def field_problems(part: Any, prefix: str) -> list[str]:
    """What is wrong with the fields of a settings dataclass, one line each; empty when all hold.

    Model `Config`s call it in `__post_init__`, as the parts above do, with prefix "model".
    """
    problems = []
    hints = typing.get_type_hints(type(part))
    for item in fields(part):
        if not item.metadata or "help" not in item.metadata:
            continue
        name, value, wanted = f"{prefix}.{item.name}".lstrip("."), getattr(part, item.name), hints[item.name]
        low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
        if not _is_of(value, wanted):
            problems.append(f"{name} must be of type {wanted.__name__}; got {value!r}")
        elif choices is not None and value not in choices:
            problems.append(f"{name} must be one of {', '.join(map(str, choices))}; got {value!r}")
        elif isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{name} must be finite; got {value!r}")
        elif (low is not None and value < low) or (high is not None and value > high):
            problems.append(f"{name} must lie in [{low}, {high}]; got {value!r}")
    return problems


def raise_problems(problems: list[str]) -> None:
    """Raise one `ConfigError` with every problem on a line of its own; nothing when there is none."""
    if problems:
        raise ConfigError("\n".join(problems))


def _is_of(value: Any, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is wanted
