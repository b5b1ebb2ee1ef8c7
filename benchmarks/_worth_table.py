"""Truth tables: what configurations are worth on speakers that nothing saw, and what a search could have seen of them.

A table is a file of JSON lines: a header that says what was trained on what, then a line for each configuration on each
outer fold. Scores are UAR after every epoch, as whole ten-thousandths. It holds numbers and no audio.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from search.simulation.curve_tables import unit_coordinates
from ser_core.config import ConfigError
from spaces.knobs import Space, Value, knob_from_json

UNIT = 10_000
"""Scores are stored as whole numbers of this part."""
RECIPE = 0
"""The configuration that a user gets without a search: the space's first."""


@dataclass(frozen=True, kw_only=True)
class TruthHeader:
    """What a table was recorded on.

    Attributes:
        model, corpus, seed: as in a run's plan.
        outer: splits, each with test speakers of its own.
        inner: speaker-disjoint folds of an outer fold's development speakers.
        repeats: trainings on all development speakers, each with a seed of its own, that were tested.
        epochs: full budget, to which the schedule was pinned.
        classes: emotions; a training that diverged counts as chance from there on.
        fixed: settings other than the architecture's defaults, by dotted name.
        space: knobs as JSON, from which configurations were drawn at random.
        about: machine and versions, for readers.
    """

    model: str
    corpus: str
    seed: int
    outer: Sequence[str]
    inner: int
    repeats: int
    epochs: int
    classes: int
    fixed: Mapping[str, Value]
    space: Mapping[str, Mapping[str, Any]]
    about: str


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One configuration on one outer fold; each curve is UAR after every epoch, shorter where training diverged.

    Attributes:
        number: of the configuration, from 0. params: dotted name -> value, every knob that is active.
        split: the outer fold.
        inner: validation curves, one for each inner fold.
        own: validation curve of the split's own train and validation speakers.
        test: curves on the test speakers, one for each seed, trained on all development speakers.
        seconds: median of an epoch, of processor time.
    """

    number: int
    split: str
    params: Mapping[str, Value]
    inner: Sequence[Sequence[int]]
    own: Sequence[int]
    test: Sequence[Sequence[int]]
    seconds: float


def truth_line(truth: Truth) -> str:
    """A configuration's line in a table's file."""
    return json.dumps(asdict(truth), separators=(",", ":"))


def header_line(header: TruthHeader) -> str:
    """The first line of a table's file."""
    return json.dumps(asdict(header), separators=(",", ":"))


@dataclass(frozen=True)
class TruthTable:
    """The configurations that were recorded on every outer fold.

    Attributes:
        params: of each configuration, the recipe first.
        inner: (configurations, outer folds, inner folds, epochs) UAR in [0, 1].
        own: (configurations, outer folds, epochs).
        test: (configurations, outer folds, repeats, epochs).
        seconds: (configurations,) of an epoch, mean over the outer folds.
    """

    header: TruthHeader
    params: Sequence[Mapping[str, Value]]
    inner: np.ndarray
    own: np.ndarray
    test: np.ndarray
    seconds: np.ndarray

    @classmethod
    def read(cls, path: Path) -> TruthTable:
        """A table from its file; a configuration that some outer fold lacks, as the last one may, is left out.

        Raises:
            ConfigError: a file that is no table, or one without a complete configuration.
        """
        try:
            first, *lines = path.read_text(encoding="utf-8").splitlines()
            header = TruthHeader(**json.loads(first))
            truths = {(it.number, it.split): it for it in (Truth(**json.loads(line)) for line in lines)}
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is not a truth table: {error}") from error
        numbers = sorted({number for number, _ in truths})
        whole = [number for number in numbers if all((number, split) in truths for split in header.outer)]
        if not whole or whole[0] != RECIPE:
            raise ConfigError(f"{path} lacks the recipe on every outer fold; go on recording with benchmarks/worth.py")
        rows = [[truths[number, split] for split in header.outer] for number in whole]

        def curves(name: str) -> np.ndarray:
            return np.array([[_filled(getattr(truth, name), header) for truth in row] for row in rows])

        return cls(
            header=header,
            params=[row[0].params for row in rows],
            inner=curves("inner"),
            own=curves("own")[:, :, 0],
            test=curves("test"),
            seconds=np.array([np.mean([truth.seconds for truth in row]) for row in rows]),
        )

    @cached_property
    def space(self) -> Space:
        """The knobs of the recording, without first configurations."""
        return Space(knobs={name: knob_from_json(knob) for name, knob in self.header.space.items()}, first=())

    def nearest(self, params: Mapping[str, Value]) -> int:
        """The recorded configuration that stands for `params`: the nearest by knobs scaled to [0, 1].

        A knob that is not active counts as no distance from any value.
        """
        return int(np.argmin(self._distances(params)))

    def _distances(self, params: Mapping[str, Value]) -> np.ndarray:
        """(configurations,) squared Euclidean."""
        total = np.zeros(len(self.params))
        for name, knob in self.space.knobs.items():
            if name in params and name in self._places:
                at, (places, known) = np.array(unit_coordinates(knob, params[name])), self._places[name]
                total += known * np.square(places - at).sum(axis=1)
        return total

    @cached_property
    def _places(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Knob -> coordinates (configurations, coordinates), and (configurations,) whether it is active there."""
        found = {}
        for name, knob in self.space.knobs.items():
            known = np.array([name in params for params in self.params])
            if not known.any():
                continue
            default = next(params[name] for params in self.params if name in params)
            found[name] = np.array([unit_coordinates(knob, it.get(name, default)) for it in self.params]), known
        return found


def _filled(curves: Sequence[Any], header: TruthHeader) -> list[list[float]]:
    """Curves at full length, in [0, 1]; what a diverged training lacks is chance. One curve becomes a list of one."""
    each = [curves] if not curves or not isinstance(curves[0], Sequence) else curves
    chance = 1 / header.classes
    return [[*(score / UNIT for score in curve), *[chance] * (header.epochs - len(curve))] for curve in each]
