"""What training says after every epoch. Standard library only, so that readers of records need no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import Any

from ser_core.named_scores import DIMENSION_SCORES

Sums = Mapping[str, Sequence[float]]
"""What validation clips come to, so that those of several folds can be added up: see `ser_core.targets`."""

SUMS = ("hits", "clips", "told", "moments")
"""Names of `Sums`: of classes the clips that were predicted rightly, all of them, and those that were predicted so, one
number a class; of dimensions six moments each."""

VALIDATION = "val_"
"""Before the name of a score, it is the key of that score in a record."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch.

    Attributes:
        epoch: counted from 1; through all folds where they are trained one after another.
        train_loss: mean over the epoch's training clips, with augmentation and label smoothing.
        val_loss: mean loss over the validation clips, no smoothing; NaN when there are none (refit).
        learning_rate: at the epoch's last step.
        seconds: wall time of this epoch, training and validation.
        scores: name in `ser_core.named_scores` -> value on validation; none in a refit.
        sums: of the validation clips; empty where there are none and in reports of early versions.
    """

    epoch: int
    train_loss: float
    val_loss: float
    learning_rate: float
    seconds: float
    scores: Mapping[str, float] = field(default_factory=dict)
    sums: Sums = field(default_factory=dict)

    @classmethod
    def of_score(
        cls, epoch: int, value: float, seconds: float = 0.0, *, objective: str = "uar", sums: Sums | None = None
    ) -> EpochReport:
        """An epoch of which only the objective is known, and perhaps its clips; the rest is NaN."""
        return cls(
            epoch=epoch,
            train_loss=math.nan,
            val_loss=math.nan,
            learning_rate=math.nan,
            seconds=seconds,
            scores={objective: value},
            sums=sums or {},
        )

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> EpochReport:
        """A report as `as_json` left it; null was NaN.

        Raises:
            TypeError, AttributeError: fields that are missing or unknown, or of no report.
        """
        values: dict[str, Any] = {name: math.nan if value is None else value for name, value in fields.items()}
        sums = {name: tuple(values.pop(name)) for name in SUMS if name in values}
        own = [name for name in values if name.startswith(VALIDATION) and name != "val_loss"]
        scores = {name.removeprefix(VALIDATION): values.pop(name) for name in own}
        return cls(**values, scores=scores, sums=sums)

    def as_json(self) -> dict[str, Any]:
        """All that is known, by name; numbers that are not finite are as they are."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train_loss,
            "val_loss": self.val_loss,
            **{f"{VALIDATION}{name}": value for name, value in self.scores.items()},
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
            **self.sums,
        }

    def score(self, name: str) -> float:
        """A score on validation, NaN where it is not known."""
        return self.scores.get(name, math.nan)


def pooled_score(name: str, reports: Sequence[EpochReport]) -> float:
    """A score of the validation clips of several folds together, after one epoch of each.

    It is that of all clips as one set, so that a fold, or a speaker, with few clips does not count for more. Where a
    report does not know its clips, as in early versions, it is the mean of the folds' own scores.
    """
    sums = pooled_sums(reports)
    if not sums or name not in _OF_SUMS:
        return fmean(report.score(name) for report in reports)
    return _OF_SUMS[name](sums)


def pooled_sums(reports: Sequence[EpochReport]) -> Sums:
    """The sums of all reports together; empty where one of them does not know its clips."""
    if not all(report.sums for report in reports):
        return {}
    names = [name for name in reports[0].sums if all(name in report.sums for report in reports)]
    return {name: tuple(map(sum, zip(*(report.sums[name] for report in reports), strict=True))) for name in names}


def _uar(sums: Sums) -> float:
    return fmean(hits / clips for hits, clips in zip(sums["hits"], sums["clips"], strict=True) if clips)


def _war(sums: Sums) -> float:
    return sum(sums["hits"]) / sum(sums["clips"])


def _macro_f1(sums: Sums) -> float:
    counts = zip(sums["hits"], sums["clips"], sums["told"], strict=True)
    return fmean(2 * hits / (clips + told) for hits, clips, told in counts if clips + told)


def _agreement(name: str, sums: Sums) -> float:
    from ser_core.metrics.agreement import AGREEMENT, of_flat  # NumPy, which few readers of records need
    from ser_core.metrics.scores import mean_of_defined

    return float(mean_of_defined(AGREEMENT[name](of_flat(sums["moments"]))))


_OF_SUMS: Mapping[str, Callable[[Sums], float]] = {
    "uar": _uar,
    "war": _war,
    "macro_f1": _macro_f1,
    **{name: partial(_agreement, name) for name in DIMENSION_SCORES},
}
"""Scores that follow from the sums of some clips; others of several folds are the mean over them."""
