"""Asynchronous successive halving, stopping variant, with one bracket (Li et al. 2020, arXiv 1810.05934, section 3).

Pure bookkeeping: no Ray, no Optuna, no clock, no random numbers. The search, its resumption and simulations all use it.
One bracket: several would need a draw for every trial, and the first rung is placed where rankings can be trusted.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from search.run_folder.finals_rule import recipe_trial
from search.run_folder.records import RunRecords, TrialRecord
from search.run_folder.rungs import fold_rungs, rung_epochs
from search.run_folder.scoring import Scoring
from ser_core.training.report import EpochReport
from spaces.several import choice_of, for_choice


@dataclass
class Asha:
    """Decides after every epoch whether a trial is worth another one.

    A rung is an epoch count. A trial that reaches one is compared, by its score so far, with every trial that reached
    that rung before it:

    - it goes on when it is among the best 1/reduction of them, itself counted in, as do equals of the last good one;
    - while fewer than `reduction` trials stand on the rung there is nothing to judge by, and it goes on;
    - NaN ranks below every number and never goes on once a rung can judge.

    A trial stands on a rung with the score that it had at that very epoch, however often it is resumed, since epochs
    are handed in one by one; an epoch that is handed in again changes nothing.

    Where a trial trains several folds one after another, epochs count through all of them. Rungs lie within the first
    fold, and at the ends of folds, where trials are compared by their score over equally many folds.

    Args:
        max_epochs: full budget of a fold.
        grace_epochs: first rung, at least 1; None while it is not known: then there are no rungs within the first fold
            until `place_rungs`.
        reduction: one in this many goes on, above 1; also the factor between rungs.
        folds: that are trained one after another.

    Raises:
        ValueError: bounds broken, with the value.
    """

    max_epochs: int
    grace_epochs: int | None
    reduction: float
    folds: int = 1
    rungs: dict[int, dict[int, float]] = field(init=False, default_factory=dict)
    _ordered: dict[int, list[float]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.reduction > 1:
            raise ValueError(f"reduction must be above 1; got {self.reduction}")
        self._place(fold_rungs(self.max_epochs, self.reduction, self.folds))
        if self.grace_epochs is not None:
            self.place_rungs(self.grace_epochs)

    @property
    def last_epoch(self) -> int:
        """Full budget of a trial; one that reaches it is complete, so no rung lies there."""
        return self.folds * self.max_epochs

    def place_rungs(self, grace_epochs: int) -> None:
        """Place empty rungs within the first fold, from `grace_epochs` on; none when that is its full budget or more.

        Raises:
            ValueError: less than 1 epoch.
        """
        if grace_epochs < 1:
            raise ValueError(f"grace epochs must be at least 1; got {grace_epochs}")
        self.grace_epochs = grace_epochs
        self._place(rung_epochs(self.max_epochs, grace_epochs, self.reduction, self.folds))

    def _place(self, epochs: Iterable[int]) -> None:
        """Rungs at these epochs; those that are there already keep their trials."""
        self.rungs = {epoch: self.rungs.get(epoch, {}) for epoch in epochs}
        self._ordered = {epoch: self._ordered.get(epoch, []) for epoch in self.rungs}

    def stops(self, trial: int, epoch: int, score: float) -> bool:
        """Put `trial` on the rung at `epoch`, if there is one, and say whether the trial is to end here.

        Args:
            trial: trial number.
            epoch: finished epochs, from 1.
            score: after them, larger is better, NaN when none had a value.
        """
        rung = self.rungs.get(epoch)
        if rung is None or trial in rung:
            return False
        rung[trial] = score
        ordered = self._ordered[epoch]  # every number on the rung, so that a verdict costs no walk over it
        if not math.isnan(score):
            insort(ordered, score)
        if len(rung) < self.reduction:
            return False
        if math.isnan(score):
            return True
        better = len(ordered) - bisect_right(ordered, score)
        return better >= max(1, math.floor(len(rung) / self.reduction))

    def judge(self, trial: int, epochs: Sequence[EpochReport], scoring: Scoring) -> int:
        """Put `trial` on every rung that it has reached -> the first one at which it is to end, 0 when it goes on.

        The verdict of a rung on which it stands already is not asked again: that it trained beyond it was the verdict.
        Several rungs are new at once where they were placed while the trial was at work.

        Args:
            trial: trial number.
            epochs: so far, from the first.
            scoring: how they become its score.
        """
        stopped = 0
        for epoch, rung in self.rungs.items():
            reached = epoch <= len(epochs) and trial not in rung
            if reached and self.stops(trial, epoch, scoring.of(epochs[:epoch])):
                stopped = stopped or epoch
        return stopped


def verdict(
    asha: Asha | Mapping[str, Asha], records: RunRecords, trial: TrialRecord, epochs: Sequence[EpochReport]
) -> int:
    """Put a trial with these epochs on the rungs that it has reached -> the rung that ends it, 0 for none.

    None ends an architecture's recipe where folds follow one another: all are needed to tell what others are worth.

    Args:
        asha: the rungs, or those of each architecture.
    """
    stopped = for_choice(asha, trial.params).judge(trial.number, epochs, trial.scoring)
    needed = trial.scoring.fold_epochs and trial is recipe_trial(records, choice_of(trial.params))
    return 0 if needed else stopped
