"""Asynchronous successive halving, stopping variant, with one bracket (Li et al. 2020, arXiv 1810.05934, section 3).

Pure bookkeeping: no Ray, no Optuna, no clock, no random numbers. The search, its resumption and simulations all use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Asha:
    """Decides after every epoch whether a trial is worth another one.

    A rung is an epoch count. A trial that reaches one is compared, by its best value so far, with every trial that
    reached that rung before it:

    - it goes on when it is among the best 1/reduction of them, itself counted in, as do equals of the last good one;
    - while fewer than `reduction` trials stand on the rung there is nothing to judge by, and it goes on;
    - NaN ranks below every number and never goes on once a rung can judge.

    A trial stands on a rung with the value that it had at that very epoch, however often it is resumed, since epochs
    are handed in one by one; telling an epoch twice changes nothing.

    Args:
        max_epochs: full budget; a trial that reaches it is complete, so no rung lies there.
        grace_epochs: first rung, at least 1.
        reduction: one in this many goes on, above 1; also the factor between rungs.

    Raises:
        ValueError: bounds broken, with the value.
    """

    max_epochs: int
    grace_epochs: int
    reduction: float
    rungs: dict[int, dict[int, float]] = field(init=False)

    def __post_init__(self) -> None:
        if self.grace_epochs < 1:
            raise ValueError(f"grace epochs must be at least 1; got {self.grace_epochs}")
        if not self.reduction > 1:
            raise ValueError(f"reduction must be above 1; got {self.reduction}")
        self.rungs = {epoch: {} for epoch in rung_epochs(self.max_epochs, self.grace_epochs, self.reduction)}

    def stops(self, trial: int, epoch: int, best: float) -> bool:
        """Put `trial` on the rung at `epoch`, if there is one, and say whether the trial is to end here.

        Args:
            trial: trial number.
            epoch: finished epochs, from 1.
            best: best value of any of them, larger is better, NaN when none had one.
        """
        rung = self.rungs.get(epoch)
        if rung is None or trial in rung:
            return False
        rung[trial] = best
        if len(rung) < self.reduction:
            return False
        if math.isnan(best):
            return True
        better = sum(value > best for value in rung.values())  # NaN compares as not better
        return better >= max(1, math.floor(len(rung) / self.reduction))


def rung_epochs(max_epochs: int, grace_epochs: int, reduction: float) -> tuple[int, ...]:
    """Epoch counts of the rungs: grace, grace * reduction, grace * reduction^2 …, rounded, below `max_epochs`."""
    epochs = []
    rung = float(grace_epochs)
    while round(rung) < max_epochs:
        epochs.append(round(rung))
        rung *= reduction
    return tuple(dict.fromkeys(epochs))


def default_grace_epochs(max_epochs: int) -> int:
    """A fifth of the budget, rounded up.

    Measured on RAVDESS with 40 random CNN configurations of 27 epochs: the ranking at epoch 3 agrees with the final one
    at Spearman 0.36, at epoch 6 at 0.76. Earlier rungs throw good configurations away.
    """
    return math.ceil(max_epochs / 5)
