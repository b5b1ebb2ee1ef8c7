"""Temperature scaling: one number that makes scores of classes into probabilities (Guo et al. 2017, section 4.2)."""

from __future__ import annotations

import numpy as np

LEAST, MOST = 1e-3, 1e3
"""Between which the temperature is looked for."""


def fitted_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which the softmax of `scores` / T has the least cross entropy, in [`LEAST`, `MOST`].

    The cross entropy is convex in 1 / T, so there is one.

    Args:
        scores: (clips, classes), of clips on which the model that gave them was not fitted.
        labels: (clips,) class indices.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(scores / np.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded").x))
