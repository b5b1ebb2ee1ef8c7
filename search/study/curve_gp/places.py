"""Configurations as points: what a Gaussian process measures distances between, and what candidates are drawn as.

A knob that is not active in a configuration has no value there, and lies in the middle of its coordinates. It needs no
further mark: that it is not active follows from its parent's value, and by that the two configurations are apart
already. Among configurations in which the same knobs are active the distance is that of these knobs alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spaces.knobs import Choice, Float, Int, Knob, Space, Value

NEAR = 0.15
"""Standard deviation of a step from a configuration to a candidate near it, of the range of a knob …"""
CHANGED = 0.5
"""… and the share of the knobs that such a step changes."""


class Places:
    """The configurations of a space as rows of numbers, one a knob.

    A row holds, for each knob, the position in its range, 0 to 1 (on the knob's scale), or the index of its value among
    those of a choice; NaN where the knob is not active.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._axes = [_axis(knob) for knob in space.knobs.values()]
        self._names = list(space.knobs)

    @cached_property
    def owner(self) -> np.ndarray:
        """(coordinates,) the knob that each coordinate belongs to, by its place in the space."""
        return np.repeat(np.arange(len(self._axes)), [axis.coordinates for axis in self._axes])

    def of(self, params: Mapping[str, Value]) -> np.ndarray:
        """(knobs,) the row of a configuration; a value outside the space is clipped to it, or missing."""
        return np.array([
            axis.place(params[name]) if name in params else math.nan
            for name, axis in zip(self._names, self._axes, strict=True)
        ])  # fmt: skip

    def params(self, row: np.ndarray) -> dict[str, Value]:
        """The configuration of a row: dotted name -> value of every knob that is active."""
        places = zip(self._names, self._axes, row.tolist(), strict=True)
        return {name: axis.value(place) for name, axis, place in places if not math.isnan(place)}

    def drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(count, knobs) configurations drawn evenly from the space, on the knobs' scales."""
        return self._masked(self._all_drawn(rng, count))

    def near(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """(n, knobs) a configuration near each of the rows: about half of the knobs take a step, or another value.

        A knob that becomes active by that is drawn evenly.
        """
        fresh = self._all_drawn(rng, len(rows))
        moved = fresh.copy()
        for column, axis in enumerate(self._axes):
            if isinstance(axis, _Range):
                moved[:, column] = axis.snapped(rows[:, column] + NEAR * rng.normal(size=len(rows)))
        found = np.where(rng.random(rows.shape) < CHANGED, moved, rows)
        return self._masked(np.where(np.isnan(found), fresh, found))

    def points(self, rows: np.ndarray) -> np.ndarray:
        """(n, knobs) rows -> (n, coordinates): one of a range; one per value of a choice, any two 1 apart."""
        columns = [axis.spread(rows[:, column]) for column, axis in enumerate(self._axes)]
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(rows), 0))

    def _all_drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.stack([axis.drawn(rng, count) for axis in self._axes], axis=1)

    def _masked(self, rows: np.ndarray) -> np.ndarray:
        """The rows without the knobs that are not active in them; parents stand before what depends on them."""
        for column, knob in enumerate(self.space.knobs.values()):
            if knob.when is not None:
                parent = self._names.index(knob.when.name)
                allowed = [self._axes[parent].place(value) for value in knob.when.values]
                rows[~np.isin(rows[:, parent], allowed), column] = math.nan
        return rows


@dataclass(frozen=True)
class _Range:
    """A knob with a range, whose values lie on a scale from `low` to `high`."""

    knob: Float | Int
    coordinates: int = 1

    @cached_property
    def _scale(self) -> tuple[float, float]:
        low, high = float(self.knob.low), float(self.knob.high)
        return (math.log(low), math.log(high)) if self.knob.log else (low, high)

    def place(self, value: Value) -> float:
        (low, high), at = self._scale, float(value)
        at = math.log(at) if self.knob.log else at
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.0

    def value(self, place: float) -> Value:
        at = float(self._values(np.array([place]))[0])
        return round(at) if isinstance(self.knob, Int) else at

    def drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Positions at which every value of a whole knob is as likely as on its scale the numbers that round to it."""
        low, high = self._scale
        if isinstance(self.knob, Float) or high == low:
            return self.snapped(rng.random(count))
        half = self.knob.step / 2
        first, last = float(self.knob.low) - half, float(self.knob.high) + half
        if self.knob.log:
            first, last = math.log(first), math.log(last)
        return self.snapped((rng.uniform(first, last, count) - low) / (high - low))

    def snapped(self, places: np.ndarray) -> np.ndarray:
        """The positions of the values that lie nearest."""
        places = np.clip(places, 0.0, 1.0)
        (low, high), values = self._scale, self._values(places)
        if high == low:
            return np.zeros(len(places))
        if isinstance(self.knob, Float):
            return places
        return ((np.log(values) if self.knob.log else values) - low) / (high - low)

    def spread(self, places: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(places), 0.5, places)[:, None]

    def _values(self, places: np.ndarray) -> np.ndarray:
        low, high = self._scale
        at = low + places * (high - low)
        at = np.exp(at) if self.knob.log else at
        if isinstance(self.knob, Int):
            at = self.knob.low + self.knob.step * np.round((at - self.knob.low) / self.knob.step)
        return np.clip(at, self.knob.low, self.knob.high)


@dataclass(frozen=True)
class _Values:
    """A choice, whose values have no order."""

    knob: Choice

    @property
    def coordinates(self) -> int:
        return len(self.knob.values)

    def place(self, value: Value) -> float:
        same = (type(value) is type(own) and value == own for own in self.knob.values)
        return float(next((index for index, it in enumerate(same) if it), math.nan))

    def value(self, place: float) -> Value:
        return self.knob.values[int(place)]

    def drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.integers(len(self.knob.values), size=count).astype(float)

    def spread(self, places: np.ndarray) -> np.ndarray:
        """(n, values): the square root of a half at the own value; without one, the middle of them all."""
        spread = (places[:, None] == np.arange(self.coordinates)).astype(float)
        spread[np.isnan(places)] = 1 / self.coordinates
        return math.sqrt(0.5) * spread


def _axis(knob: Knob) -> _Range | _Values:
    return _Values(knob) if isinstance(knob, Choice) else _Range(knob)
