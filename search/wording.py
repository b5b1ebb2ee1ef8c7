"""How a number, a count, an interval and a caveat are said: once, for pages, terminal and model cards."""

from __future__ import annotations

import math
from collections.abc import Sequence


def value_text(value: object) -> str:
    """A knob's value, or any number, in the fewest digits that tell it: 0.000312, 3.1e-05, True, adamw."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def percent(share: float) -> str:
    """0.6834 -> "68.3 %" with a space that does not break; "none" for a number that is not finite."""
    return f"{100 * share:.1f}\u00a0%" if math.isfinite(share) else "none"


NO_INTERVAL = "–"


def interval_words(bounds: Sequence[float | None] | None) -> str:
    """(0.61, 0.70) -> "61.0 to 70.0 %"; `NO_INTERVAL` where it is not defined, as for one speaker."""
    low, high = bounds or (None, None)
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return NO_INTERVAL
    return f"{100 * low:.1f} to {percent(high)}"


def in_percent(share: float | None) -> float | None:
    """0.68341 -> 68.34, as a table has it; None where there is no number."""
    return None if share is None or not math.isfinite(share) else round(100 * share, 2)


def count(number: int, word: str, plural: str = "") -> str:
    """1 trial, 1,200 trials."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"


def duration(seconds: float) -> str:
    """42 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
