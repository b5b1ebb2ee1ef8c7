"""Knobs as axes: where a value lies between the ends of its range, on the knob's own scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.run_folder.records import Value
from search.wording import value_text

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A knob's range. `choices` are empty for a number, and `low` and `high` are then the ends of its range.

    Places run from 0 to 1; of k choices each has k-th part of that, and lies in its middle.
    """

    knob: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()

    def place(self, value: Value) -> float:
        """Where `value` lies, in [0, 1]; a value beyond the range, from a configuration tried first, at its end."""
        if self.choices:
            return (self.choices.index(str(value)) + 0.5) / len(self.choices)
        low, high, number = (math.log(v) if self.log else v for v in (self.low, self.high, float(value)))
        return min(1.0, max(0.0, (number - low) / (high - low))) if high > low else 0.5

    def value(self, place: float) -> str:
        """The value at a place as text, not yet fit for plotly."""
        if self.choices:
            return self.choices[min(int(place * len(self.choices)), len(self.choices) - 1)]
        if self.log:
            return value_text(float(self.low * (self.high / self.low) ** place))
        number = self.low + place * (self.high - self.low)
        return value_text(round(number) if self.whole else float(number))

    def ticks(self) -> list[tuple[float, str]]:
        """Places with their labels: every choice, the powers of ten, or ends and middle of the range. Not yet plain."""
        if self.choices:
            places = [(index + 0.5) / len(self.choices) for index in range(len(self.choices))]
            return [(place, self.value(place)) for place in places]
        if self.log and self.high >= 100 * self.low:
            powers = range(math.ceil(round(math.log10(self.low), 9)), math.floor(round(math.log10(self.high), 9)) + 1)
            return [(self.place(10.0**power), value_text(10.0**power)) for power in powers]
        middle = (self.low * self.high) ** 0.5 if self.log else (self.low + self.high) / 2
        values = (self.low, round(middle) if self.whole else middle, self.high)
        return [(self.place(v), value_text(int(v) if self.whole else float(v))) for v in dict.fromkeys(values)]

    def spread(self, number: int) -> float:
        """A small step aside for trial `number`, always the same, that parts the trials of one choice."""
        return (number * GOLDEN % 1 - 0.5) * 0.6 / len(self.choices) if self.choices else 0.0


def scale_of(name: str, knob: Mapping[str, Any]) -> Scale:
    """The scale of a knob as plan.json has it."""
    if knob["type"] == "choice":
        return Scale(knob=name, choices=tuple(map(str, knob["values"])))
    whole = knob["type"] == "int"
    return Scale(knob=name, low=knob["low"], high=knob["high"], log=bool(knob.get("log")), whole=whole)


def evenly(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` things, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
