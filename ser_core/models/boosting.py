"""Gradient-boosted trees over one vector of statistics per clip, by scikit-learn: a baseline without a network.

An epoch is some rounds of boosting, each of which adds one tree per class, so that a search can end a weak trial early
and a refit goes on for as many rounds as were best. Logits are the sums of the trees, as they are: boosting minimises
the cross entropy of their softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ser_core.config import CLIP_VECTORS, ConfigError, field_problems, raise_problems, setting
from ser_core.config import Config as FullConfig
from ser_core.models._functionals import FUNCTIONALS
from ser_core.modules.explain import Occlusion
from ser_core.modules.trees import Tree, TreeSums
from ser_core.training.at_once import check_every_class

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingClassifier

CITATION = (
    "J. H. Friedman: Greedy function approximation: a gradient boosting machine. Annals of Statistics 29(5), 2001, and "
    "Stochastic gradient boosting. Computational Statistics & Data Analysis 38(4), 2002; F. Pedregosa et al.: "
    "Scikit-learn: Machine learning in Python. JMLR 12, 2011."
)
PRECISION = "fp32"
CHANNELS_LAST = False
READS = (
    "optim.learning_rate",
    "optim.epochs",
    "optim.class_weights",
    "optim.class_balance_beta",
    "optim.early_stop_epochs",
)
DEFAULTS = {
    **FUNCTIONALS,
    "optim.epochs": 30,
    "optim.learning_rate": 0.1,
    "optim.class_weights": "inverse",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the trees; of each, the share `optim.learning_rate` is added (Friedman 2001, section 5)."""

    rounds: int = setting(5, "rounds of boosting an epoch, each of a tree per class", low=1, high=1_000)
    depth: int = setting(3, "questions from the root of a tree to a leaf, at most", low=1, high=16)
    leaf_clips: int = setting(5, "fewest clips that a leaf holds", low=1, high=1_000)
    clip_share: float = setting(
        0.5, "share of the clips, drawn anew for every round, that its trees see (Friedman 2002)", low=0.05, high=1
    )
    value_share: float = setting(
        0.02, "share of a clip's values, drawn anew for every question, among which it chooses", low=0.001, high=1
    )

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


class Boosting(nn.Module):
    """Sums of trees, one per class; of two classes a single sum, for the second against the first."""

    explained_by = Occlusion()  # a step of a tree has no gradient

    def __init__(self, config: Config, *, classes: int) -> None:
        super().__init__()
        self._config, self._classes = config, classes
        self.trees = TreeSums(1 if classes == 2 else classes)
        self._fitted: GradientBoostingClassifier | None = None  # so that an epoch need not begin with the first

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, bins), (batch,) -> logits (batch, classes). A clip is one frame, so lengths say nothing."""
        sums = self.trees(features[:, 0]).to(features.dtype)
        return torch.cat([torch.zeros_like(sums), sums], dim=1) if self._classes == 2 else sums

    def fit_clips(self, features: Tensor, labels: Tensor, weights: Tensor, *, epoch: int, config: FullConfig) -> None:
        """See `ser_core.training.at_once.FitsItself`. Draws are scikit-learn's own, in the order of the rounds."""
        check_every_class(labels, self._classes)
        rounds = epoch * self._config.rounds
        if self._fitted is None or self._fitted.n_estimators > rounds:
            self._fitted = _classifier(self._config, config)
        self._fitted.set_params(n_estimators=rounds)
        self._fitted.fit(features[:, 0].numpy(), labels.numpy(), sample_weight=weights.numpy())
        rate = config.optim.learning_rate
        self.trees.grow([[_tree(each.tree_, rate) for each in trees] for trees in self._fitted.estimators_])


def _classifier(own: Config, config: FullConfig) -> GradientBoostingClassifier:
    from sklearn.ensemble import GradientBoostingClassifier  # takes a second, and only who fits needs it

    return GradientBoostingClassifier(
        init="zero",
        warm_start=True,
        n_estimators=1,
        learning_rate=config.optim.learning_rate,
        max_depth=own.depth,
        min_samples_leaf=own.leaf_clips,
        subsample=own.clip_share,
        max_features=own.value_share,
        random_state=config.seed,
    )


def _tree(tree: object, rate: float) -> Tree:
    """A tree of scikit-learn, with the learning rate in its leaves."""
    feature, threshold, left, right, value = (
        getattr(tree, name) for name in ("feature", "threshold", "children_left", "children_right", "value")
    )
    return Tree(feature, threshold, left, right, rate * value[:, 0, 0])


def build(config: Config, *, frames: int, bins: int, classes: int) -> Boosting:
    """No tree yet, for clips of one frame.

    Raises:
        ConfigError: more than one frame per clip.
    """
    if frames != 1:
        raise ConfigError(
            f"boosting takes one vector per clip; got {frames} frames: set features.kind to one of "
            f"{', '.join(CLIP_VECTORS)}"
        )
    return Boosting(config, classes=classes)
