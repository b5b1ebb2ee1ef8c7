"""How learning curves become the score of a configuration: the one place that decides it.

Records, ASHA, the ranking of trials, pages and simulations all ask here. Needs neither torch nor Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ser_core.named_scores import EARLIER_OBJECTIVE
from ser_core.training.report import EpochReport, pooled_score

LAST_EPOCHS = 5


def best_epoch(values: Sequence[float]) -> float:
    """The largest value. It rewards one lucky epoch, the more of them there are."""
    return max(_numbers(values), default=math.nan)


def best_third(values: Sequence[float]) -> float:
    """Mean of the best third of the values, at least three of them: one lucky epoch counts for little."""
    numbers = sorted(_numbers(values), reverse=True)
    return fmean(numbers[: max(3, len(numbers) // 3)]) if numbers else math.nan


def last_epochs(values: Sequence[float]) -> float:
    """Mean of the last `LAST_EPOCHS` values."""
    numbers = _numbers(values[-LAST_EPOCHS:])
    return fmean(numbers) if numbers else math.nan


def _numbers(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "best": best_epoch,
    "best-third": best_third,
    "last": last_epochs,
}
"""Name of a score -> what it makes of the values after each epoch so far; NaN counts as nothing."""

EARLIER_SCORE = "best"
"""Of runs whose plan names none: early versions knew no other."""

DEFAULT_SCORE = "best-third"
"""Of new runs. Its correlation with the test UAR is higher than the best epoch's by 0 to 0.03 on every number of inner
folds, and that of the last epochs lower (benchmarks/truth/mlp-mfcc-ravdess.jsonl)."""


@dataclass(frozen=True)
class Scoring:
    """How the reports of one training run become its score.

    Where folds are trained one after another, the validation clips of those that are complete are pooled: the value of
    epoch e is the objective, such as UAR, of what each of these folds predicted after its own epoch e, all clips
    together. So a fold counts by its clips, and complete folds score as those that are trained side by side. A later
    fold that is under way adds nothing until it is complete.

    Attributes:
        score: name in `STATISTICS`.
        fold_epochs: epochs of each fold where folds are trained one after another, 0 otherwise.
        objective: name in `ser_core.named_scores.OBJECTIVES`, of what is scored.
    """

    score: str = EARLIER_SCORE
    fold_epochs: int = 0
    objective: str = EARLIER_OBJECTIVE

    def value(self, report: EpochReport) -> float:
        """The objective after one epoch; NaN where it has none."""
        return report.score(self.objective)

    def folds(self, epochs: int) -> int:
        """Folds that are complete after so many epochs; 0 where folds are not trained one after another."""
        return epochs // self.fold_epochs if self.fold_epochs else 0

    def curve(self, reports: Sequence[EpochReport]) -> list[float]:
        """The objective on validation by epoch, over the folds that are complete or over the first one."""
        folds, each = self.folds(len(reports)), self.fold_epochs
        if folds < 2:
            return [self.value(report) for report in (reports[:each] if folds else reports)]
        own = (reports[fold * each : (fold + 1) * each] for fold in range(folds))
        return [pooled_score(self.objective, epoch) for epoch in zip(*own, strict=True)]

    def of(self, reports: Sequence[EpochReport]) -> float:
        """The score after these epochs, NaN when no epoch has a value."""
        folds = self.folds(len(reports))
        if folds > 1 and not (last := reports[folds * self.fold_epochs - 1]).sums:
            return self.value(last)  # all that Optuna kept of a later fold is the score itself, see `reported`
        return STATISTICS[self.score](self.curve(reports))

    def best_epoch(self, reports: Sequence[EpochReport]) -> int:
        """The epoch with the highest value, counted from 1 within its fold; the earliest of equals; 0 for none."""
        curve = self.curve(reports)
        highest = best_epoch(curve)
        return curve.index(highest) + 1 if math.isfinite(highest) else 0

    def reported(self, reports: Sequence[EpochReport]) -> list[float]:
        """What Optuna is told after each epoch: the value of that epoch, from the second fold on the score.

        A later fold that is under way tells what the complete ones score, since a part of its own schedule says nothing
        that could be compared; its last epoch tells the score with it.
        """
        values, each = [self.value(report) for report in reports], self.fold_epochs
        for start in range(each, len(reports), each) if each else ():
            end = start + each
            before = self.of(reports[:start])
            values[start:end] = [before] * (len(values[start:end]))
            if end <= len(reports):
                values[end - 1] = self.of(reports[:end])
        return values

    def so_far(self, reports: Sequence[EpochReport]) -> list[float]:
        """The score after each epoch."""
        first = self.fold_epochs or len(reports)
        return [
            *(self.of(reports[:epoch]) for epoch in range(1, min(first, len(reports)) + 1)),
            *self.reported(reports)[first:],
        ]


EARLIER_SCORING = Scoring()
"""As early versions scored: by the best epoch, of folds side by side."""
