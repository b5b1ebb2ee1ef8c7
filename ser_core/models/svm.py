"""A linear support vector machine over one vector of statistics per clip, by LIBLINEAR: what papers compare with.

One class against the rest, squared hinge loss. It is solved at once, so a training run has one epoch.

What it gives are distances from hyperplanes. Logits are these over one temperature, which is fitted on distances of
clips that the machine did not see (Guo et al. 2017, section 4.2, where Platt's scaling has two numbers a class). One
temperature in all leaves every order as it is: it decides how sure the model is, never what it says, so that UAR does
not depend on it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ser_core.config import CLIP_VECTORS, ConfigError, field_problems, raise_problems, setting
from ser_core.config import Config as FullConfig
from ser_core.metrics.temperature import fitted_temperature
from ser_core.models._functionals import FUNCTIONALS
from ser_core.training.at_once import check_every_class

CITATION = (
    "C. Cortes, V. Vapnik: Support-vector networks. Machine Learning 20, 1995; R.-E. Fan et al.: LIBLINEAR: A library "
    "for large linear classification. JMLR 9, 2008; on functionals as in B. Schuller et al.: The INTERSPEECH 2016 "
    "Computational Paralinguistics Challenge."
)
PRECISION = "fp32"
CHANNELS_LAST = False
READS = ("optim.class_weights", "optim.class_balance_beta")
DEFAULTS = {
    **FUNCTIONALS,
    "optim.epochs": 1,
    "optim.class_weights": "inverse",
}

MOST_PASSES = 5_000
"""Passes over the clips; within the space, RAVDESS needs some hundreds at most."""
CALIBRATION_FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the support vector machine."""

    complexity: float = setting(
        1e-4, "C, what a clip on the wrong side of its margin costs, over normalised values", low=1e-8, high=1e4
    )

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


class SVM(nn.Module):
    """A linear map of a clip's vector; its weights are the hyperplanes' over the temperature."""

    def __init__(self, config: Config, *, bins: int, classes: int) -> None:
        super().__init__()
        self._complexity = config.complexity
        self.head = nn.Linear(bins, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, bins), (batch,) -> logits (batch, classes). A clip is one frame, so lengths say nothing."""
        return self.head(features[:, 0])

    def fit_clips(self, features: Tensor, labels: Tensor, weights: Tensor, *, epoch: int, config: FullConfig) -> None:
        """See `ser_core.training.at_once.FitsItself`.

        Raises:
            ValueError: also where the solver does not come to an end.
        """
        check_every_class(labels, self.head.out_features)
        basis, x = _span(features[:, 0].double().numpy())
        y, counts = labels.numpy(), weights.numpy()
        planes, offsets = self._solved(x, y, counts, config.seed)
        temperature = self._temperature(x, y, counts, config.seed)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(planes @ basis.T / temperature))
            self.head.bias.copy_(torch.from_numpy(offsets / temperature))

    def _solved(self, x: np.ndarray, y: np.ndarray, counts: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(clips, coordinates), (clips,), (clips,) -> hyperplanes (classes, coordinates) and offsets (classes,)."""
        from sklearn.exceptions import ConvergenceWarning  # takes a second, and only who fits needs it
        from sklearn.svm import LinearSVC

        dual = len(x) <= x.shape[1]  # the quicker of two ways to the same planes
        solver = LinearSVC(C=self._complexity, dual=dual, max_iter=MOST_PASSES, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                solver.fit(x, y, sample_weight=counts)
            except ConvergenceWarning as error:
                raise ValueError(
                    f"the support vector machine is not solved after {MOST_PASSES} passes; lower model.complexity "
                    f"({self._complexity:g})"
                ) from error
        if len(solver.classes_) > 2:
            return solver.coef_, solver.intercept_
        # Of two classes there is one plane, with the second class above it.
        return np.concatenate([-solver.coef_, solver.coef_]), np.concatenate([-solver.intercept_, solver.intercept_])

    def _temperature(self, x: np.ndarray, y: np.ndarray, counts: np.ndarray, seed: int) -> float:
        """Fitted where every clip is scored by a machine that did not see it; 1 where a class has a single clip."""
        from sklearn.model_selection import StratifiedKFold

        folds = min(CALIBRATION_FOLDS, int(np.bincount(y).min()))
        if folds < 2:
            return 1.0
        distances = np.empty((len(y), self.head.out_features))
        for fit, rest in StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, y):
            planes, offsets = self._solved(x[fit], y[fit], counts[fit], seed)
            distances[rest] = x[rest] @ planes.T + offsets
        return fitted_temperature(distances, y)


def _span(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis (bins, coordinates) of what the vectors (clips, bins) span, and what they are in it.

    A hyperplane's normal is a sum of clips, so it lies in that span, where distances are the same: of fewer clips than
    values the solver sees a fraction of the numbers and finds the same planes.
    """
    clips, bins = x.shape
    if clips >= bins:
        return np.eye(bins), x
    basis, coordinates = np.linalg.qr(x.T)  # (bins, clips), (clips, clips)
    return basis, coordinates.T


def build(config: Config, *, frames: int, bins: int, classes: int) -> SVM:
    """The machine for clips of one frame, with random weights until it is fitted.

    Raises:
        ConfigError: more than one frame per clip.
    """
    if frames != 1:
        raise ConfigError(
            f"svm takes one vector per clip; got {frames} frames: set features.kind to one of {', '.join(CLIP_VECTORS)}"
        )
    return SVM(config, bins=bins, classes=classes)
