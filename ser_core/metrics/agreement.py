"""How far predicted ratings agree with given ones: concordance, correlation, error, all of them from six moments.

Moments add up over clips, so that a bootstrap over speakers needs those of every speaker alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ser_core.metrics.scores import ratio

MOMENTS = 6
"""Of a dimension: clips, sum of ratings, of predictions, of their squares each, and of their products."""


def moments(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Ratings and predictions (…) -> the moments of each clip (…, 6), to be summed over clips."""
    return np.stack([np.ones_like(truth), truth, told, truth**2, told**2, truth * told], axis=-1)


def of_flat(values: Sequence[float]) -> np.ndarray:
    """Moments of several dimensions one after another -> (dimensions, 6)."""
    return np.asarray(values, dtype=np.float64).reshape(-1, MOMENTS)


def ccc(sums: np.ndarray) -> np.ndarray:
    """Concordance correlation coefficient (Lin 1989, equation 2): (…, 6) -> (…), in [-1, 1].

    2 s_xy / (s_x^2 + s_y^2 + (mean_x - mean_y)^2), with moments over n. It is 1 where predictions are the ratings, and
    lower than Pearson's coefficient by what they are off in mean or spread; NaN where both are one and the same number.
    """
    means, spreads, covariance = _parts(sums)
    return _quotient(2 * covariance, spreads[0] + spreads[1] + (means[0] - means[1]) ** 2)


def pearson(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation coefficient: (…, 6) -> (…); NaN where ratings or predictions do not vary."""
    _, spreads, covariance = _parts(sums)
    return _quotient(covariance, np.sqrt(spreads[0] * spreads[1]))


def rmse(sums: np.ndarray) -> np.ndarray:
    """Root mean square error, in the unit of the ratings: (…, 6) -> (…)."""
    count, _, _, truth, told, product = np.moveaxis(sums, -1, 0)
    squared: np.ndarray = np.sqrt(np.maximum(ratio(truth + told - 2 * product, count), 0.0))
    return squared


AGREEMENT: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"ccc": ccc, "pearson": pearson, "rmse": rmse}
"""Score of one dimension by name."""

_NEGLIGIBLE = 1e-12
"""A variance below this share of the mean square is rounding."""


def _parts(sums: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Both means, both variances, and the covariance, all over n."""
    first, second, first_square, second_square, product = (ratio(sums[..., i], sums[..., 0]) for i in range(1, MOMENTS))
    spreads = [_spread(first, first_square), _spread(second, second_square)]
    return [first, second], spreads, product - first * second


def _spread(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    spread = square - mean**2
    return np.where(spread > _NEGLIGIBLE * square, spread, 0.0)


def _quotient(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return ratio(part, np.nan_to_num(whole))  # of no clips nothing is defined
