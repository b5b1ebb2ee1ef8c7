"""Asynchronous successive halving, stopping variant, with one bracket (Li et al. 2020, arXiv 1810.05934, section 3).

Pure bookkeeping: no Ray, no Optuna, no clock, no random numbers. The search, its resumption and simulations all use it.
One bracket: several would need a draw for every trial, and the first rung is placed where rankings can be trusted.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from search.run_folder.rungs import rung_epochs


@dataclass
class Asha:
    """Decides after every epoch whether a trial is worth another one.

    A rung is an epoch count. A trial that reaches one is compared, by its best value so far, with every trial that
    reached that rung before it:

    - it goes on when it is among the best 1/reduction of them, itself counted in, as do equals of the last good one;
    - while fewer than `reduction` trials stand on the rung there is nothing to judge by, and it goes on;
    - NaN ranks below every number and never goes on once a rung can judge.

    A trial stands on a rung with the value that it had at that very epoch, however often it is resumed, since epochs
    are handed in one by one; an epoch that is handed in again changes nothing.

    Args:
        max_epochs: full budget; a trial that reaches it is complete, so no rung lies there.
        grace_epochs: first rung, at least 1; None while it is not known: then there are no rungs until `place_rungs`.
        reduction: one in this many goes on, above 1; also the factor between rungs.

    Raises:
        ValueError: bounds broken, with the value.
    """

    max_epochs: int
    grace_epochs: int | None
    reduction: float
    rungs: dict[int, dict[int, float]] = field(init=False, default_factory=dict)
    _ordered: dict[int, list[float]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.reduction > 1:
            raise ValueError(f"reduction must be above 1; got {self.reduction}")
        if self.grace_epochs is not None:
            self.place_rungs(self.grace_epochs)

    def place_rungs(self, grace_epochs: int) -> None:
        """Place empty rungs, the first at `grace_epochs`; none when that is the full budget or more.

        Raises:
            ValueError: less than 1 epoch.
        """
        if grace_epochs < 1:
            raise ValueError(f"grace epochs must be at least 1; got {grace_epochs}")
        self.grace_epochs = grace_epochs
        self.rungs = {epoch: {} for epoch in rung_epochs(self.max_epochs, grace_epochs, self.reduction)}
        self._ordered = {epoch: [] for epoch in self.rungs}

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
        ordered = self._ordered[epoch]  # every number on the rung, so that a verdict costs no walk over it
        if not math.isnan(best):
            insort(ordered, best)
        if len(rung) < self.reduction:
            return False
        if math.isnan(best):
            return True
        better = len(ordered) - bisect_right(ordered, best)
        return better >= max(1, math.floor(len(rung) / self.reduction))

    def judge(self, trial: int, values: Sequence[float]) -> int:
        """Put `trial` on every rung that it has reached -> the first one at which it is to end, 0 when it goes on.

        The verdict of a rung on which it stands already is not asked again: that it trained beyond it was the verdict.
        Several rungs are new at once where they were placed while the trial was at work.

        Args:
            trial: trial number.
            values: after each epoch so far, from the first; NaN counts as nothing.
        """
        stopped = 0
        for epoch, rung in self.rungs.items():
            if epoch <= len(values) and trial not in rung and self.stops(trial, epoch, best_of(values[:epoch])):
                stopped = stopped or epoch
        return stopped


def best_of(values: Iterable[float]) -> float:
    """The largest one, NaN counting as nothing; NaN when there is no number."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)
