"""Gaussian process regression with a Matérn 5/2 kernel and a length scale for every knob.

Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning": section 2.2 for the posterior, equation 4.17 for
the kernel, 5.9 for the gradient. Each observation has a variance of its own beside the common one, the luck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

JITTER = 1e-8
"""Added to the diagonal, of the signal's variance 1 or so, so that a point may occur twice without luck."""
STEPS = 60
"""Iterations of L-BFGS at most."""
LENGTH, LENGTH_SPREAD = 0.5, 1.0
"""Median of the prior of a length scale, times the root of the number of knobs, and the deviation of its logarithm.

That root keeps the prior as smooth in many knobs as in few (Hvarfner et al. 2024, arXiv 2402.02229).
"""
LUCK, VARIANCE_SPREAD = 0.5, 1.0
"""Median of the prior of the luck, a variance where that of all targets is 1, and the deviation of its logarithm. The
signal has the rest as its median."""
BOUNDS = 7.0
"""Largest logarithm of any of them, above or below 0."""


@dataclass(frozen=True)
class Scales:
    """Hyperparameters.

    Attributes:
        lengths: (knobs,). signal: variance of the function. luck: variance of an observation about it.
    """

    lengths: np.ndarray
    signal: float
    luck: float


def prior(knobs: int) -> Scales:
    """The medians: what holds without an observation."""
    return Scales(np.full(knobs, LENGTH * math.sqrt(knobs)), 1 - LUCK, LUCK)


def fitted(points: np.ndarray, owner: np.ndarray, targets: np.ndarray, variances: np.ndarray) -> Scales:
    """Hyperparameters of the greatest posterior density, by L-BFGS from the prior's medians.

    Args:
        points: (n, coordinates). owner: (coordinates,) the knob of each, from 0.
        targets: (n,) of mean 0 and variance 1. variances: (n,) of each target beside the luck.
    """
    start = prior(int(owner.max()) + 1)
    apart = np.stack([_squared(points[:, owner == knob]) for knob in range(len(start.lengths))])  # (knobs, n, n)
    centre = np.log([*start.lengths, start.signal, start.luck])
    spread = np.array([LENGTH_SPREAD] * len(start.lengths) + [VARIANCE_SPREAD] * 2)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = negative_log_likelihood(theta, apart, targets, variances)
        off = (theta - centre) / spread
        return value + 0.5 * float(off @ off), gradient + off / spread

    bounds = [(-BOUNDS, BOUNDS)] * len(centre)
    found = minimize(objective, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    scales = np.exp(found.x)
    return Scales(scales[:-2], float(scales[-2]), float(scales[-1]))


def negative_log_likelihood(
    theta: np.ndarray, apart: np.ndarray, targets: np.ndarray, variances: np.ndarray
) -> tuple[float, np.ndarray]:
    """The negative log marginal likelihood, without its constant, and its gradient.

    Args:
        theta: (knobs + 2,) logarithms of the length scales, the signal and the luck.
        apart: (knobs, n, n) squared distances. targets, variances: as in `fitted`.
    """
    *lengths, signal, luck = np.exp(theta)
    scaled = apart.reshape(len(lengths), -1) / np.square(lengths)[:, None]
    distance = np.sqrt(5 * scaled.sum(axis=0))
    decay = signal * np.exp(-distance)
    kernel = (decay * (1 + distance + distance**2 / 3)).reshape(apart.shape[1:])
    lower = cholesky(_with_noise(kernel, variances + luck, signal), lower=True)
    inverse = cho_solve((lower, True), np.eye(len(targets)))
    weights = inverse @ targets
    value = 0.5 * float(targets @ weights) + float(np.log(np.diag(lower)).sum())
    pull = 0.5 * (inverse - np.outer(weights, weights))  # of the value by each entry of the covariance
    by_length = scaled @ (pull.ravel() * decay * (1 + distance) * (5 / 3))
    gradient = [*by_length, float((pull * kernel).sum()), luck * float(np.trace(pull))]
    return value, np.array(gradient)


class Posterior:
    """What the observations tell of the function, without luck, at any point.

    Args:
        points: (n, coordinates) that were observed. owner: see `fitted`.
        targets, variances: (n,) as there.
        believed: (m, coordinates) where an observation is awaited. Each counts as one that meets the mean: it leaves
            the mean as it is, and takes from the deviation around it (Ginsbourger et al. 2010, "Kriging is well-suited
            to parallelize optimization", the kriging believer).

    Attributes:
        means: (n,) at the points that were observed.
    """

    def __init__(
        self,
        scales: Scales,
        points: np.ndarray,
        owner: np.ndarray,
        targets: np.ndarray,
        variances: np.ndarray,
        believed: np.ndarray,
    ) -> None:
        self._scales, self._lengths = scales, scales.lengths[owner]
        self._points = np.concatenate([points, believed]) / self._lengths
        noise = scales.luck + np.concatenate([variances, np.zeros(len(believed))])
        kernel = _matern(self._points, self._points, scales.signal)
        self._lower = cholesky(_with_noise(kernel, noise, scales.signal), lower=True, check_finite=False)
        count = len(targets)
        self._weights = np.zeros(len(self._points))
        self._weights[:count] = cho_solve((self._lower[:count, :count], True), targets, check_finite=False)
        self.means = (kernel @ self._weights)[:count]

    def mean(self, points: np.ndarray) -> np.ndarray:
        """(n, coordinates) -> (n,)."""
        return self._covariance(points) @ self._weights

    def mean_and_deviation(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, coordinates) -> (n,) and (n,)."""
        covariance = self._covariance(points)
        known = solve_triangular(self._lower, covariance.T, lower=True, check_finite=False)
        left = self._scales.signal - np.square(known).sum(axis=0)
        return covariance @ self._weights, np.sqrt(np.maximum(left, 0.0))

    def _covariance(self, points: np.ndarray) -> np.ndarray:
        return _matern(points / self._lengths, self._points, self._scales.signal)


def _with_noise(kernel: np.ndarray, variances: np.ndarray, signal: float) -> np.ndarray:
    noisy = kernel.copy()
    noisy[np.diag_indices_from(noisy)] += variances + JITTER * max(1.0, signal)
    return noisy


def _matern(one: np.ndarray, two: np.ndarray, signal: float) -> np.ndarray:
    """(n, coordinates) and (m, coordinates), divided by the length scales -> (n, m) covariances."""
    squared = np.square(one).sum(axis=1)[:, None] + np.square(two).sum(axis=1) - 2 * one @ two.T
    squared *= 5
    np.maximum(squared, 0.0, out=squared)
    distance = np.sqrt(squared)
    squared /= 3
    squared += distance
    squared += 1
    np.negative(distance, out=distance)
    squared *= np.exp(distance, out=distance)
    squared *= signal
    return squared  # one array, written over: half of the time that the formula takes otherwise


def _squared(points: np.ndarray) -> np.ndarray:
    """(n, coordinates) -> (n, n) squared distances."""
    return np.square(points[:, None] - points).sum(axis=2)
