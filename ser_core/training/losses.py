"""Losses beside PyTorch's own, and weights of classes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ser_core.config import ConfigError, OptimConfig
from ser_core.targets import DIMENSIONS

LOSSES: Mapping[str, tuple[str, ...]] = {"classes": ("cross_entropy", "focal"), "ratings": ("ccc", "mse")}
"""What `optim.loss` may be, of classes (also of votes for them) and of ratings; "auto" is the first of each."""

CLASS_SETTINGS = (
    "optim.label_smoothing", "optim.focal_gamma", "optim.class_weights", "optim.class_balance_beta", "optim.sampling",
)  # fmt: skip
"""Settings that are read where classes are predicted, or votes for them, and not where ratings are."""

_TINY = 1e-8


def focal_loss(
    logits: Tensor, wanted: Tensor, gamma: float, *, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Focal loss (Lin et al. 2017, equations 4 and 5), mean over the batch: a scalar.

    A class counts by (1 - p)^gamma of its cross entropy, so that clips that are recognised already count for little; 0
    is the cross entropy itself. Of soft targets, each class counts by its share.

    Args:
        logits: (batch, classes). wanted: (batch, classes) shares, together 1.
        weights: (classes,) of the classes. label_smoothing: share of `wanted` that is spread over all classes.
    """
    classes = logits.shape[1]
    smoothed = (1 - label_smoothing) * wanted + label_smoothing / classes
    log_p = logits.log_softmax(dim=1)
    # 1 - p, bounded away from 0, where a power below 1 has no gradient.
    missed = (-torch.expm1(log_p)).clamp(min=_TINY)
    terms = smoothed * missed**gamma * log_p  # (batch, classes)
    if weights is not None:
        terms = terms * weights
    return -terms.sum(dim=1).mean()


def agreement_loss(told: Tensor, wanted: Tensor) -> Tensor:
    """1 less the mean concordance correlation coefficient (Lin 1989) of a batch over its dimensions: a scalar.

    All dimensions count alike, as in multi-task learning of arousal, valence and dominance (Parthasarathy & Busso 2017,
    "Jointly predicting arousal, valence and dominance with multi-task learning", Interspeech).

    Args:
        told, wanted: (batch, dimensions).
    """
    centred, sought = told - told.mean(dim=0), wanted - wanted.mean(dim=0)
    covariance = (centred * sought).mean(dim=0)
    spread = centred.square().mean(dim=0) + sought.square().mean(dim=0)
    shift = (told.mean(dim=0) - wanted.mean(dim=0)).square()
    return 1 - (2 * covariance / (spread + shift + _TINY)).mean()


def class_weights(labels: Tensor, classes: int, kind: str, beta: float) -> Tensor | None:
    """Weights (classes,) for labels (clips,), 1 on average over clips, 0 for a class without any; None for all alike.

    Args:
        kind: "inverse" of the number of clips, or "effective": of the effective number of clips, (1 - beta^n) / (1 -
            beta) (Cui et al. 2019, equation 2); "none".
    """
    if kind == "none":
        return None
    counts = torch.bincount(labels, minlength=classes)
    present = counts > 0
    if kind == "inverse":
        return torch.where(present, len(labels) / (present.sum() * counts.clamp(min=1)), 0.0)
    effective = 1 - beta ** counts.double()
    inverse = torch.where(present, 1 / effective.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
    return (inverse * len(labels) / (inverse * counts).sum()).float()


def check_loss(optim: OptimConfig, kind: str) -> None:
    """Raise `ConfigError` for a loss, or for sampling, that a kind of target cannot have."""
    what = "ratings" if kind == DIMENSIONS else "classes"
    if optim.loss not in ("auto", *LOSSES[what]):
        raise ConfigError(f"optim.loss must be auto or one of {', '.join(LOSSES[what])} for {what}; got {optim.loss}")
    if kind == DIMENSIONS and (optim.sampling != "all" or optim.class_weights != "none"):
        raise ConfigError(
            f"ratings have no classes to balance: optim.sampling must be all and optim.class_weights none; got "
            f"{optim.sampling} and {optim.class_weights}"
        )
