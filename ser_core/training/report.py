"""What training says after every epoch. Standard library only, so that readers of records need no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch.

    Attributes:
        epoch: counted from 1.
        train_loss: mean over the epoch's training clips, with augmentation and label smoothing.
        val_loss: mean cross entropy over the validation clips, no smoothing; NaN when there are none (refit).
        val_uar: unweighted average recall on validation, in [0, 1]; NaN when there are none.
        val_war: accuracy (weighted average recall) on validation, in [0, 1]; NaN when there are none.
        learning_rate: at the epoch's last step.
        seconds: wall time of this epoch, training and validation.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_uar: float
    val_war: float
    learning_rate: float
    seconds: float

    @classmethod
    def of_uar(cls, epoch: int, val_uar: float, seconds: float = 0.0) -> EpochReport:
        """An epoch of which only the validation UAR is known; the rest is NaN."""
        return cls(
            epoch=epoch,
            train_loss=math.nan,
            val_loss=math.nan,
            val_uar=val_uar,
            val_war=math.nan,
            learning_rate=math.nan,
            seconds=seconds,
        )
