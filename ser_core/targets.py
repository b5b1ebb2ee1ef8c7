"""What is predicted of a clip, and how well: the one place that knows classes from votes and ratings.

A target owns the names of a model's outputs, the scores that there are, and the sums from which they follow. Whoever
trains, tests, compares or resamples speakers asks it, and need not know which one it is. Beside it, each kind has its
losses and what is made of a model's outputs: `ser_core.training.heads`, `ser_core.outputs`.

Adding up is what makes resampling cheap: a target turns clips into sums per speaker, once, and scores of resampled
speakers follow from sums of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from ser_core.metrics.agreement import AGREEMENT, MOMENTS, moments
from ser_core.metrics.scores import macro_f1, mean_of_defined, uar, war
from ser_core.named_scores import (
    CLASS_OBJECTIVES,
    CLASS_SCORES,
    DIMENSION_SCORES,
    RATING_OBJECTIVES,
    SCORES,
    VOTE_SCORES,
    Score,
)
from ser_core.settings import ConfigError

EMOTION, VOTES, DIMENSIONS = "emotion", "votes", "dimensions"
"""Kinds of targets; `--target` names the first two so, and dimensions by their columns."""


class Target(Protocol):
    """What is predicted.

    Attributes:
        kind: one of the above. scores: names of its scores, in the order of tables.
        names: of the outputs: classes, or dimensions.
        objective: the score that a search maximises.
    """

    kind: ClassVar[str]
    scores: ClassVar[tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def objective(self) -> str: ...

    def sums(
        self, truth: np.ndarray, told: np.ndarray, group: np.ndarray, groups: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """What the clips of each group, such as a speaker's, come to.

        Args:
            truth: (clips,) class indices, or (clips, names) shares or ratings.
            told: (clips, names) what a model says: probabilities, or ratings.
            group: (clips,) in [0, groups).
            weights: (clips,) of each clip; 1 by default.

        Returns:
            (groups, …) float64, to be added up at will.
        """

    def score(self, name: str, sums: np.ndarray) -> np.ndarray:
        """A score of sums (a…, …) with any leading axes a: (a…)."""

    def in_both(self, truth: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Clips (clips,) bool by which those `inside` can be compared with all others."""

    def reported(self, sums: np.ndarray) -> dict[str, tuple[float, ...]]:
        """Sums (…) of validation clips as an epoch's report keeps them, see `ser_core.training.report`."""


@dataclass(frozen=True)
class Emotions:
    """One of several classes for each clip; what was told is that of the largest probability."""

    names: tuple[str, ...]
    objective: str = "uar"
    kind: ClassVar[str] = EMOTION
    scores: ClassVar[tuple[str, ...]] = CLASS_SCORES

    def labels(self, truth: np.ndarray) -> np.ndarray:
        """Class indices (clips,) of what is true."""
        return truth

    def sums(
        self, truth: np.ndarray, told: np.ndarray, group: np.ndarray, groups: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Confusion (groups, classes, classes), true by predicted; see `Target.sums`."""
        classes = len(self.names)
        cell = (group.astype(np.int64) * classes + self.labels(truth)) * classes + told.argmax(axis=1)
        counts = np.bincount(cell, weights=weights, minlength=groups * classes**2)
        return counts.reshape(groups, classes, classes).astype(np.float64)

    def score(self, name: str, sums: np.ndarray) -> np.ndarray:
        """See `Target.score`."""
        return _OF_CONFUSION[name](sums)

    def in_both(self, truth: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Clips of classes that both sides have."""
        labels = self.labels(truth)
        shared: np.ndarray = np.isin(labels, np.intersect1d(labels[inside], labels[~inside]))
        return shared

    def reported(self, sums: np.ndarray) -> dict[str, tuple[float, ...]]:
        """Hits, clips and predictions of every class, whole numbers."""
        counts = {"hits": sums.diagonal(), "clips": sums.sum(axis=1), "told": sums.sum(axis=0)}
        return {name: tuple(values.astype(np.int64).tolist()) for name, values in counts.items()}


@dataclass(frozen=True)
class Votes(Emotions):
    """Shares of votes for several classes: each clip has a most-voted class, and a distribution."""

    kind: ClassVar[str] = VOTES
    scores: ClassVar[tuple[str, ...]] = VOTE_SCORES

    def labels(self, truth: np.ndarray) -> np.ndarray:
        """The class with most votes, of shares (clips, classes)."""
        most: np.ndarray = truth.argmax(axis=1)
        return most

    def sums(
        self, truth: np.ndarray, told: np.ndarray, group: np.ndarray, groups: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Confusion of the most-voted classes, flat, then clips and summed divergence: (groups, classes^2 + 2)."""
        confusion = super().sums(truth, told, group, groups, weights).reshape(groups, -1)
        own = np.ones(len(truth)) if weights is None else weights
        clips = np.bincount(group, weights=own, minlength=groups)
        divergence = np.bincount(group, weights=own * js_divergence(truth, told), minlength=groups)
        return np.concatenate([confusion, clips[:, None], divergence[:, None]], axis=1)

    def score(self, name: str, sums: np.ndarray) -> np.ndarray:
        """See `Target.score`."""
        if name == "js_divergence":
            return np.divide(
                sums[..., -1], sums[..., -2], out=np.full(sums.shape[:-1], np.nan), where=sums[..., -2] > 0
            )
        return super().score(name, self._confusion(sums))

    def reported(self, sums: np.ndarray) -> dict[str, tuple[float, ...]]:
        return super().reported(self._confusion(sums))

    def _confusion(self, sums: np.ndarray) -> np.ndarray:
        return sums[..., :-2].reshape(*sums.shape[:-1], len(self.names), len(self.names))


@dataclass(frozen=True)
class Dimensions:
    """Ratings of a clip, such as arousal and valence, each a number; a score is the mean over them."""

    names: tuple[str, ...]
    objective: str = "ccc"
    kind: ClassVar[str] = DIMENSIONS
    scores: ClassVar[tuple[str, ...]] = DIMENSION_SCORES

    def sums(
        self, truth: np.ndarray, told: np.ndarray, group: np.ndarray, groups: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Moments (groups, dimensions, 6), see `ser_core.metrics.agreement`; and see `Target.sums`."""
        own = moments(truth.astype(np.float64), told.astype(np.float64))  # (clips, dimensions, 6)
        if weights is not None:
            own = own * weights[:, None, None]
        added = np.zeros((groups, len(self.names), MOMENTS))
        np.add.at(added, group, own)
        return added

    def score(self, name: str, sums: np.ndarray) -> np.ndarray:
        """See `Target.score`: the mean over the dimensions."""
        return mean_of_defined(self.of_each(name, sums))

    def of_each(self, name: str, sums: np.ndarray) -> np.ndarray:
        """A score of every dimension: (a…, dimensions, 6) -> (a…, dimensions)."""
        return AGREEMENT[name](sums)

    def in_both(self, truth: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """All clips."""
        return np.full(len(truth), True)

    def reported(self, sums: np.ndarray) -> dict[str, tuple[float, ...]]:
        """The moments of all dimensions one after another."""
        return {"moments": tuple(sums.ravel().tolist())}


KINDS: Mapping[str, type[Emotions] | type[Dimensions]] = {EMOTION: Emotions, VOTES: Votes, DIMENSIONS: Dimensions}

_OF_CONFUSION: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"uar": uar, "war": war, "macro_f1": macro_f1}


def make_target(kind: str, names: Sequence[str], objective: str | None = None) -> Target:
    """The target of a kind.

    Args:
        objective: None for the usual one.

    Raises:
        ConfigError: a score that such a target does not have, or by which nothing can be maximised.
    """
    if objective is None:
        return KINDS[kind](tuple(names))
    check_objective(kind, objective)
    return KINDS[kind](tuple(names), objective)


def check_objective(kind: str, objective: str) -> None:
    """Raise `ConfigError` for an objective that a kind of target cannot have."""
    possible = objectives_of(kind)
    if objective not in possible:
        what = "predicted ratings" if kind == DIMENSIONS else "predicted classes"
        raise ConfigError(f"--objective must be one of {', '.join(possible)} for {what}; got {objective}")


def objectives_of(kind: str) -> tuple[str, ...]:
    """What can be maximised of a kind of target, its usual objective first."""
    return RATING_OBJECTIVES if kind == DIMENSIONS else CLASS_OBJECTIVES


def kind_of(target: str) -> str:
    """The kind that a value of `--target` asks for: a word, or names of columns with commas between."""
    return target if target in (EMOTION, VOTES) else DIMENSIONS


def headline(target: Target) -> Score:
    """The score that a target is judged by, with its words."""
    return SCORES[target.objective]


def js_divergence(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence (Lin 1991, equation 4.1, equal weights) of distributions (…, classes), in bits: (…).

    0 for equal distributions, 1 for such that share no class; symmetric, and defined where one of them has zeros.
    """
    mean = (first + second) / 2
    return (_relative_entropy(first, mean) + _relative_entropy(second, mean)) / 2


def _relative_entropy(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of the first to the second, in bits, where the second is above 0 wherever the first is."""
    safe = np.where(first > 0, first / np.where(second > 0, second, 1.0), 1.0)
    entropy: np.ndarray = (first * np.log2(safe)).sum(axis=-1)
    return entropy
