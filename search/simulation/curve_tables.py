"""Learning curves of random configurations, recorded once and replayed by simulations (`search.simulation.simulate`).

A table is a file of JSON lines: a header that says what was trained on what, then one line per configuration with its
validation UAR after every epoch. It holds numbers and no audio.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from ser_core.config import ConfigError
from spaces.knobs import Choice, Knob, Space, Value, knob_from_json, knob_to_json

NEIGHBOURS = 5
"""Recorded configurations of which one stands for a configuration that was not recorded."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One configuration, trained once.

    Attributes:
        params: dotted name -> value, every knob of the table's space.
        val_uar: validation UAR after each epoch; shorter than the table's budget when training failed.
        seconds: median of an epoch, of processor time, which other busy programs disturb less than wall time.
        reason: why training failed, "" when it did not.
    """

    params: Mapping[str, Value]
    val_uar: Sequence[float]
    seconds: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class TableHeader:
    """What a table's curves were recorded on.

    Attributes:
        model, corpus, split, seed: as in a run's plan.
        fixed: settings other than the architecture's defaults, by dotted name.
        epochs: full budget, to which the schedule was pinned.
        space: knobs as JSON, from which configurations were drawn at random.
        about: machine and versions, for readers.
    """

    model: str
    corpus: str
    split: str
    seed: int
    fixed: Mapping[str, Value]
    epochs: int
    space: Mapping[str, Mapping[str, Any]]
    about: str


@dataclass(frozen=True)
class CurveTable:
    """Recorded curves, and the curve that stands for any configuration of the space.

    Attributes:
        header: what was recorded. curves: one per configuration.
    """

    header: TableHeader
    curves: Sequence[Curve] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> CurveTable:
        """A table from its file.

        Raises:
            ConfigError: a file that is no table, or one without a configuration.
        """
        try:
            first, *lines = path.read_text(encoding="utf-8").splitlines()
            table = cls(TableHeader(**json.loads(first)), tuple(Curve(**json.loads(line)) for line in lines))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is not a table of learning curves: {error}") from error
        if not table.curves:
            raise ConfigError(f"{path} holds no curve; record some with benchmarks/curves/record.py")
        return table

    @cached_property
    def space(self) -> Space:
        """The knobs of the recording, without first configurations."""
        return Space(knobs={name: knob_from_json(knob) for name, knob in self.header.space.items()}, first=())

    def curve_of(self, params: Mapping[str, Value]) -> Curve:
        """A recorded curve that stands for `params`: one of the `NEIGHBOURS` nearest configurations'.

        Which of them is drawn by a hash of `params`, so that the same configuration always gets the same curve and two
        that lie close together get different ones, as two trainings would. Always the nearest would give a whole region
        exactly one curve, and a search that has found it would see nothing but equals.

        Distance is Euclidean over knobs scaled to [0, 1] (log where the knob is); two values of a choice are 1 apart.
        Settings that are no knob of the table are ignored.
        """
        known = {name: params[name] for name in self.space.knobs}
        place = drawn(known, min(NEIGHBOURS, len(self.curves)))
        _, nearest = self._tree.query(self.coordinates(known), k=[place + 1])
        return self.curves[int(nearest[0])]

    def coordinates(self, params: Mapping[str, Value]) -> list[float]:
        """The knobs of a configuration as numbers, as `unit_coordinates` gives them."""
        return [number for name, knob in self.space.knobs.items() for number in unit_coordinates(knob, params[name])]

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(np.array([self.coordinates(curve.params) for curve in self.curves]))


def drawn(params: Mapping[str, Value], count: int) -> int:
    """A number below `count`, by a hash of the settings: the same for the same ones, in any process."""
    digest = hashlib.blake2b(json.dumps(params, sort_keys=True).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count


def unit_coordinates(knob: Knob, value: Value) -> list[float]:
    """A value as coordinates: one in [0, 1] for a range; for a choice one per value, so that any two are 1 apart."""
    if isinstance(knob, Choice):
        return [math.sqrt(0.5) if value == item else 0.0 for item in knob.values]
    low, high, at = float(knob.low), float(knob.high), float(value)
    if knob.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return [(at - low) / (high - low)] if high > low else [0.0]


def header_line(header: TableHeader) -> str:
    """The first line of a table's file."""
    return json.dumps(asdict(header), separators=(",", ":"))


def curve_line(curve: Curve) -> str:
    """A curve's line in a table's file, scores rounded to a ten thousandth and times to a millisecond."""
    rounded = {"val_uar": [round(value, 4) for value in curve.val_uar], "seconds": round(curve.seconds, 4)}
    return json.dumps({**asdict(curve), **rounded}, separators=(",", ":"))


def space_to_json(space: Space) -> dict[str, dict[str, Any]]:
    """The knobs of a space as a table's header holds them."""
    return {name: knob_to_json(knob) for name, knob in space.knobs.items()}
