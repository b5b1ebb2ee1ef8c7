"""How numbers, counts, intervals and durations are said: once, for pages, terminal and model cards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

NONE = "–"
"""Stands for a number that is not defined."""

Bounds = Sequence[float | None]
"""Low and high end of an interval; None or NaN where it is not defined."""


def value_text(value: object) -> str:
    """A knob's value, or any number, to three significant digits: 0.000312, 3.1e-05, True, adamw."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def is_number(share: float | None) -> TypeGuard[float]:
    """False for None, NaN and infinity."""
    return share is not None and math.isfinite(share)


def points(share: float | None) -> str:
    """0.6834 -> "68.3", as below a heading that has the unit; `NONE` where there is no number."""
    return f"{100 * share:.1f}" if is_number(share) else NONE


def percent(share: float | None) -> str:
    """0.6834 -> "68.3 %"; `NONE` where there is no number."""
    return f"{100 * share:.1f} %" if is_number(share) else NONE


def in_percent(share: float | None) -> float | None:
    """0.68341 -> 68.34, as a table has it; None where there is no number."""
    return round(100 * share, 2) if is_number(share) else None


def interval(bounds: Bounds | None, *, unit: str = " %") -> str:
    """(0.61, 0.7) -> "61.0 to 70.0 %"; `NONE` where it is not defined."""
    low, high = bounds or (None, None)
    return f"{points(low)} to {points(high)}{unit}" if is_number(low) and is_number(high) else NONE


def spread(mean: float | None, std: float | None, *, unit: str = " %") -> str:
    """(0.683, 0.021) -> "68.3 ± 2.1 %"; the mean alone where it has no deviation, as for a single seed."""
    if not is_number(mean):
        return NONE
    return f"{points(mean)} ± {points(std)}{unit}" if is_number(std) else f"{points(mean)}{unit}"


def count(number: int, word: str, plural: str = "") -> str:
    """1 trial, 1,200 trials."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def times(number: int) -> str:
    """once, 3 times."""
    return "once" if number == 1 else f"{number:,} times"


def duration(seconds: float) -> str:
    """42 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
