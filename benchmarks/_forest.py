"""What training a configuration is expected to give, learned from a table of recorded curves.

Of the recorded configurations the best owes most of its lead to chance: it was trained once, with one seed, and scored
on four speakers. A search that trains many configurations is likely to meet such luck, whatever it learns. A forest
fitted to the table tells what a configuration is worth without the luck (surrogate benchmarks: Eggensperger et al.
2015, "Efficient benchmarking of hyperparameter optimizers via surrogates", AAAI); what a search sees is that plus the
luck of one recorded training, and what counts in the end is the worth alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import optuna
from optuna.samplers import RandomSampler
from sklearn.ensemble import RandomForestRegressor

from search.simulation.curve_tables import Curve, CurveTable, drawn
from search.study.samplers import suggest
from spaces.knobs import Value

TREES = 100
LEAST_IN_LEAF = 3
"""Recorded configurations that a leaf averages at least, so that none stands for itself."""
DRAWN = 2_000
"""Random configurations, beside the recorded ones, among which the best expected one is looked for."""


class CurveForest:
    """Expected learning curves over a table's space, and noisy ones as a training would give them.

    Args:
        table: recorded curves; those of trainings that failed are left out.
    """

    def __init__(self, table: CurveTable) -> None:
        self.table = table
        self._whole = [curve for curve in table.curves if not curve.reason]
        self._points = np.array([table.coordinates(curve.params) for curve in self._whole])  # (curves, coordinates)
        self._recorded = np.array([curve.val_uar for curve in self._whole])  # (curves, epochs)
        self._forest = RandomForestRegressor(
            n_estimators=TREES, min_samples_leaf=LEAST_IN_LEAF, oob_score=True, random_state=0
        ).fit(self._points, self._recorded)

    def expected(self, params: Mapping[str, Value]) -> np.ndarray:
        """(epochs,) validation UAR after each epoch, as the mean over trees."""
        return self._forest.predict([self.table.coordinates(params)])[0]

    def curve_of(self, params: Mapping[str, Value]) -> Curve:
        """The expected curve plus the noise of a recorded one, drawn by a hash of the knobs and of a `seed`, if given.

        The noise is what the trees that never saw a recorded curve miss of it, over all its epochs.
        """
        row = drawn(
            {name: params[name] for name in (*self.table.space.knobs, "seed") if name in params}, len(self._noise)
        )
        values = np.clip(self.expected(params) + self._noise[row], 0.0, 1.0)
        return Curve(params=params, val_uar=values.tolist(), seconds=self._whole[row].seconds)

    @cached_property
    def best(self) -> float:
        """The highest expected score at the full budget of any configuration, recorded or of `DRAWN` random ones."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # not a line per study
        study = optuna.create_study(sampler=RandomSampler(seed=0))
        points = [self.table.coordinates(suggest(study.ask(), self.table.space)) for _ in range(DRAWN)]
        return float(self._forest.predict(np.concatenate([self._points, points])).max())

    @cached_property
    def _noise(self) -> np.ndarray:
        return self._recorded - self._forest.oob_prediction_  # (curves, epochs)
