"""What the search and its peers are compared on: recorded RAVDESS curves, forests that were fitted to them, MFHartmann.

MFHartmann as in mf-prior-bench 1.10.0 (Mallik et al. 2023, "PriorBand", arXiv 2306.12370, appendix), which needs an
older NumPy than this project: a Hartmann function (Picheny et al. 2013) whose lower fidelities are flattened by a bias
and covered by noise, both of which vanish at the full budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from _forest import CurveForest

from search.simulation.curve_tables import Curve, CurveTable
from search.simulation.simulate import CurveOf
from spaces.knobs import Float, Space, Value

TABLES = Path(__file__).parent / "curves"
MODELS = ("mlp", "shallow_cnn")
FIDELITIES = 100
"""Epochs of an MFHartmann trial."""
NOISE_SEED = 1337
"""The seed that mf-prior-bench takes when none is given."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Something to maximise, with a learning curve for every configuration.

    Attributes:
        name: as `--objectives` takes it. title: for readers.
        space: knobs, no first configurations.
        max_epochs: full budget of a trial, of each fold where there are several.
        best: value of the best configuration at its full budget.
        curve_of: the learning curve of a configuration.
        final: best value of a configuration's whole curve.
        about: its data in a few words; results of other data are not comparable.
        repeats: a configuration that is tried again with another `seed` gets another curve.
        folds: that a trial trains one after another, for as long as it survives; its curve is theirs, joined.
    """

    name: str
    title: str
    space: Space
    max_epochs: int
    best: float
    curve_of: CurveOf
    final: Callable[[Mapping[str, Value]], float]
    about: str
    repeats: bool = False
    folds: int = 1

    def regret(self, params: Mapping[str, Value]) -> float:
        """How much less than the best configuration this one reaches at its full budget."""
        return self.best - self.final(params)


# -- MFHartmann ------------------------------------------------------------------------------------------------------

ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
SCALES = {
    3: np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]]),
    6: np.array([
        [10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14],
    ]),
}  # fmt: skip
CENTRES = {
    3: np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]) * 0.0001,
    6: np.array([
        [1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381],
    ]) * 0.0001,
}  # fmt: skip
OPTIMUM = {3: 3.86278, 6: 3.32237}
BIAS_AND_NOISE = {"good": (2.5, 2.0), "bad": (3.5, 4.0)}


class HartmannCurve(Sequence[float]):
    """Values to be maximised after 1 … 100 epochs: mf-prior-bench's with the sign turned.

    Values are computed when they are asked for, since most trials of a search end early.

    Args:
        point: 3 or 6 coordinates in [0, 1].
        bias: how far the function is flattened at the first epoch.
        noise: standard deviation there, of a normal number whose absolute value is taken off.
        seed: of the noise, which is the same whenever a configuration is tried again.
    """

    def __init__(self, point: tuple[float, ...], bias: float, noise: float, seed: int = NOISE_SEED) -> None:
        distance = np.sum(SCALES[len(point)] * (np.array(point) - CENTRES[len(point)]) ** 2, axis=-1)  # (4,)
        self._peaks = np.exp(-distance)
        self._bias, self._noise = bias, noise
        self._seed = seed * hash(point)  # numbers only, so the same in every process

    def __len__(self) -> int:
        return FIDELITIES

    def __getitem__(self, index: int) -> float:  # type: ignore[override]
        epoch = range(1, FIDELITIES + 1)[index]
        missing = 1 - np.log(epoch) / np.log(FIDELITIES)  # 1 at the first epoch, 0 at the last
        flat = (ALPHA - self._bias * missing) @ self._peaks
        drawn = np.random.default_rng(abs(self._seed * epoch)).normal()
        return float(flat - abs(drawn) * self._noise * missing)


def hartmann(dimensions: int, quality: str) -> Objective:
    """MFHartmann in 3 or 6 dimensions whose lower fidelities are "good" or "bad" advisers."""
    bias, noise = BIAS_AND_NOISE[quality]
    names = [f"X_{index}" for index in range(dimensions)]

    def curve_of(params: Mapping[str, Value]) -> Curve:
        point = tuple(float(params[name]) for name in names)
        return Curve(params=params, val_uar=HartmannCurve(point, bias, noise), seconds=1.0)

    return Objective(
        name=f"mfhartmann{dimensions}-{quality}",
        title=f"MFHartmann {dimensions}, {quality} fidelities",
        space=Space(knobs={name: Float(low=0.0, high=1.0) for name in names}),
        max_epochs=FIDELITIES,
        best=OPTIMUM[dimensions],
        curve_of=curve_of,
        final=lambda params: curve_of(params).val_uar[-1],  # bias and noise only take off, and are gone by then
        about=f"bias {bias}, noise {noise}",
    )


# -- RAVDESS ---------------------------------------------------------------------------------------------------------


def table_objective(path: Path, name: str) -> Objective:
    """A recorded table; its best configuration is the best of all that were recorded.

    Raises:
        ConfigError: no table of learning curves.
    """
    table = CurveTable.read(path)
    return Objective(
        name=name,
        title=f"{table.header.model} on RAVDESS, {len(table.curves):,} curves",
        space=table.space,
        max_epochs=table.header.epochs,
        best=max(max(curve.val_uar, default=0.0) for curve in table.curves),
        curve_of=table.curve_of,
        final=lambda params: max(table.curve_of(params).val_uar),
        about=f"{len(table.curves)} curves of {table.header.epochs} epochs",
    )


def forest_objective(path: Path, name: str) -> Objective:
    """What a recorded table lets expect; its best configuration is the best expected of the space.

    Raises:
        ConfigError: no table of learning curves.
    """
    forest = CurveForest(CurveTable.read(path))
    header = forest.table.header
    return Objective(
        name=name,
        title=f"{header.model} on RAVDESS, expected",
        space=forest.table.space,
        max_epochs=header.epochs,
        best=forest.best,
        curve_of=forest.curve_of,
        final=lambda params: float(forest.expected(params).max()),
        about=f"forest of {len(forest.table.curves)} curves of {header.epochs} epochs",
        repeats=True,
    )


OBJECTIVES: Mapping[str, Callable[[], Objective]] = {
    **{model: partial(table_objective, TABLES / f"{model}-ravdess.jsonl", model) for model in MODELS},
    **{
        f"{model}-forest": partial(forest_objective, TABLES / f"{model}-ravdess.jsonl", f"{model}-forest")
        for model in MODELS
    },
    **{
        f"mfhartmann{dimensions}-{quality}": partial(hartmann, dimensions, quality)
        for dimensions in (3, 6)
        for quality in ("good", "bad")
    },
}
"""Name -> maker, since a table that nobody asks for need not be read."""


@lru_cache
def objective(name: str) -> Objective:
    """The objective, made once per process."""
    return OBJECTIVES[name]()
