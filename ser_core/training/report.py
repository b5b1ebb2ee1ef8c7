"""What training says after every epoch. Standard library only, so that readers of records need no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch.

    Attributes:
        epoch: counted from 1; through all folds where they are trained one after another.
        train_loss: mean over the epoch's training clips, with augmentation and label smoothing.
        val_loss: mean cross entropy over the validation clips, no smoothing; NaN when there are none (refit).
        val_uar: unweighted average recall on validation, in [0, 1]; NaN when there are none.
        val_war: accuracy (weighted average recall) on validation, in [0, 1]; NaN when there are none.
        learning_rate: at the epoch's last step.
        seconds: wall time of this epoch, training and validation.
        hits, clips: validation clips that were predicted rightly, and all of them, one number a class; empty when there
            are none and in reports of early versions.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_uar: float
    val_war: float
    learning_rate: float
    seconds: float
    hits: Sequence[float] = ()
    clips: Sequence[float] = ()

    @classmethod
    def of_uar(
        cls,
        epoch: int,
        val_uar: float,
        seconds: float = 0.0,
        *,
        hits: Sequence[float] = (),
        clips: Sequence[float] = (),
    ) -> EpochReport:
        """An epoch of which only the validation UAR is known, and perhaps its clips; the rest is NaN."""
        return cls(
            epoch=epoch,
            train_loss=math.nan,
            val_loss=math.nan,
            val_uar=val_uar,
            val_war=math.nan,
            learning_rate=math.nan,
            seconds=seconds,
            hits=hits,
            clips=clips,
        )

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> EpochReport:
        """A report as `as_json` left it; null was NaN.

        Raises:
            TypeError, AttributeError: fields that are missing or unknown, or of no report.
        """
        values: dict[str, Any] = {name: math.nan if value is None else value for name, value in fields.items()}
        values |= {name: tuple(values[name]) for name in ("hits", "clips") if name in values}
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """All that is known, by name; numbers that are not finite are as they are."""
        return {name: value for name, value in vars(self).items() if name not in ("hits", "clips") or value}


def pooled_uar(reports: Sequence[EpochReport]) -> float:
    """UAR of the validation clips of several folds together, after one epoch of each.

    A class is averaged over all of its clips, so that a fold, or a speaker, with few clips does not count for more.
    Where a report does not know its clips, as in early versions, it is the mean of the folds' own UARs.
    """
    hits, clips = pooled_counts(reports)
    if not clips:
        return fmean(report.val_uar for report in reports)
    return fmean(right / total for right, total in zip(hits, clips, strict=True) if total)


def pooled_counts(reports: Sequence[EpochReport]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Hits and clips per class, summed over the reports; empty where one of them does not know its clips."""
    if not all(report.clips for report in reports):
        return (), ()
    hits = tuple(sum(own) for own in zip(*(report.hits for report in reports), strict=True))
    clips = tuple(sum(own) for own in zip(*(report.clips for report in reports), strict=True))
    return hits, clips
