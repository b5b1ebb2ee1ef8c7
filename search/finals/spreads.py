"""Scores over seeds, and how they and their bounds stand in JSON files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from search.run_folder.predictions import Predictions
from ser_core.metrics.scores import Interval
from ser_core.targets import Target


@dataclass(frozen=True)
class Spread:
    """A score over seeds.

    Attributes:
        seeds: its value with every seed, in their order; NaN where a seed does not define it.
        interval: of the mean; None where there is none to show.
    """

    seeds: tuple[float, ...]
    interval: Interval | None = None

    @property
    def mean(self) -> float:
        """Over the seeds that define the score; NaN where none does."""
        return fmean(self._defined or [math.nan])

    @property
    def std(self) -> float:
        """Standard deviation over the seeds that define the score; NaN for fewer than two."""
        return stdev(self._defined) if len(self._defined) > 1 else math.nan

    @property
    def _defined(self) -> list[float]:
        return [value for value in self.seeds if math.isfinite(value)]

    def numbers(self) -> dict[str, Any]:
        """As the JSON files hold it."""
        interval = {} if self.interval is None else {"interval": bounds_of(self.interval)}
        return {"mean": self.mean, "std": self.std, "seeds": list(self.seeds), **interval}


def leading_scores(test: Predictions) -> tuple[str, ...]:
    """The scores that are told of speakers and groups: the objective, and the first two of the target."""
    return tuple(dict.fromkeys((test.target.objective, *test.target.scores[:2])))


def spread_of(each: Sequence[Mapping[str, float]], name: str, interval: Interval | None = None) -> Spread:
    """One score of every seed."""
    return Spread(tuple(score[name] for score in each), interval)


def bounds_of(interval: Interval) -> list[float]:
    """[low, high]; NaN where the interval is not defined."""
    return [interval.low, interval.high]


def target_facts(target: Target) -> dict[str, Any]:
    """What was predicted, and the score that it is judged by, as `result.json` and `evaluation.json` hold it."""
    return {"kind": target.kind, "names": list(target.names), "objective": target.objective}
