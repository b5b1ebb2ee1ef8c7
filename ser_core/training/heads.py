"""What a model's outputs are fitted to, by which loss, and what they mean: a head for each kind of target.

`head_of` is the only place that asks which kind it is; training knows a `Head`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ser_core.config import Config, ConfigError, OptimConfig
from ser_core.outputs import Meaning, Probabilities, Rescaled
from ser_core.targets import DIMENSIONS, VOTES, Emotions, Target
from ser_core.training.losses import agreement_loss, check_loss, class_weights, focal_loss

LEAST_DEVIATION = 1e-6
"""Of ratings; a dimension that does not vary is centred."""


class Head(Protocol):
    """The end of a model in training, on the device."""

    @property
    def meaning(self) -> Meaning:
        """Makes what is predicted of the model's outputs."""

    def wanted(self, rows: Tensor) -> Tensor:
        """What the outputs are fitted to: clips (batch,) -> (batch, outputs), which augmentation may mix."""

    def loss(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Training loss of a batch (batch, outputs): a scalar."""

    def validation_loss(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """The same of clips (rows,) that are validated, without smoothing or weights."""

    def drawn(self, rows: Tensor) -> Tensor:
        """The clips (rows,) of an epoch in random order, as often as the settings would have each of them."""

    def classes_of(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Classes (rows,) of clips and weights (classes,) of classes, for models that fit themselves.

        Raises:
            ConfigError: ratings, which such models do not predict.
        """


def head_of(config: Config, target: Target, truth: np.ndarray, fit: np.ndarray, device: torch.device) -> Head:
    """The head for a target.

    Args:
        truth: of all clips. fit: rows (rows,) of those to fit on, which alone decide weights and scales.

    Raises:
        ConfigError: a loss, or sampling, that the target cannot have.
    """
    check_loss(config.optim, target.kind)
    known = torch.tensor(truth, device=device)
    rows = torch.tensor(fit, device=device)
    if target.kind == DIMENSIONS:
        return _RatingHead(config.optim, known.float(), rows)
    labels = truth
    if isinstance(target, Emotions):
        labels = target.labels(truth)
    shares = known.float() if target.kind == VOTES else None
    return _ClassHead(config.optim, torch.tensor(labels, device=device), shares, rows, len(target.names))


class _ClassHead:
    """Probabilities of classes, fitted to one class of each clip, or to shares of votes.

    Args:
        labels: (clips,) class indices. shares: (clips, classes) of votes; None for one-hot labels.
    """

    def __init__(self, optim: OptimConfig, labels: Tensor, shares: Tensor | None, fit: Tensor, classes: int) -> None:
        self._optim, self._labels, self._shares, self._classes = optim, labels, shares, classes
        self._weights = class_weights(labels[fit], classes, optim.class_weights, optim.class_balance_beta)
        self.meaning = Probabilities()

    def wanted(self, rows: Tensor) -> Tensor:
        if self._shares is not None:
            return self._shares[rows]
        return F.one_hot(self._labels[rows], self._classes).float()

    def loss(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        optim = self._optim
        if optim.loss == "focal":
            return focal_loss(
                outputs, wanted, optim.focal_gamma, weights=self._weights, label_smoothing=optim.label_smoothing
            )
        return F.cross_entropy(outputs, wanted, weight=self._weights, label_smoothing=optim.label_smoothing)

    def validation_loss(self, outputs: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(outputs, self._labels[rows] if self._shares is None else self._shares[rows])

    def drawn(self, rows: Tensor) -> Tensor:
        if self._optim.sampling == "balanced":
            counts = torch.bincount(self._labels[rows], minlength=self._classes)
            chances = 1.0 / counts[self._labels[rows]]
            return rows[torch.multinomial(chances, len(rows), replacement=True)]
        return rows[torch.randperm(len(rows), device=rows.device)]

    def classes_of(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._labels[rows], self._weights


class _RatingHead:
    """Standardised ratings.

    Args:
        ratings: (clips, dimensions).
    """

    def __init__(self, optim: OptimConfig, ratings: Tensor, fit: Tensor) -> None:
        self._squared = optim.loss == "mse"
        own = ratings[fit].double()
        deviation = own.std(dim=0, correction=0)
        deviation = torch.where(deviation > LEAST_DEVIATION, deviation, 1.0)
        self.meaning = Rescaled(own.mean(dim=0).tolist(), deviation.tolist()).to(ratings.device)
        self._standardised = self.meaning.standardised(ratings)

    def wanted(self, rows: Tensor) -> Tensor:
        return self._standardised[rows]

    def loss(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(outputs, wanted) if self._squared else agreement_loss(outputs, wanted)

    def validation_loss(self, outputs: Tensor, rows: Tensor) -> Tensor:
        return self.loss(outputs, self._standardised[rows])

    def drawn(self, rows: Tensor) -> Tensor:
        return rows[torch.randperm(len(rows), device=rows.device)]

    def classes_of(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        raise ConfigError("this model tells classes apart and predicts no ratings; choose another")
