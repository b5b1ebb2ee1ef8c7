"""What the score of a run is, decided here alone: that of its default model, the ensemble of the refitted seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.wording import Bounds, count, spread


@dataclass(frozen=True, kw_only=True)
class RunScore:
    """A test score of a run, as shares.

    Attributes:
        value, interval: None where they are not defined; the interval is over test speakers.
        of: what was scored: "ensemble of 3 models", "one model", or "mean of 3 models" of a version without ensembles.
        single: mean and deviation of the single models in per cent, "" where there is one alone.
    """

    value: float | None
    interval: Bounds | None
    of: str
    single: str

    def numbers(self) -> dict[str, Any]:
        """As the JSON files hold it."""
        return {"value": self.value, "interval": self.interval}


def run_score(test: Mapping[str, Any], name: str = "uar") -> RunScore:
    """The score of a run from the part `test` of result.json, or from one like it of the clips of several folds.

    Args:
        name: "uar", "war" or "macro_f1".
    """
    models = test[name]
    number = len(models["seeds"])
    if number == 1:
        return RunScore(value=models["mean"], interval=models.get("interval"), of="one model", single="")
    single = spread(models["mean"], models["std"], unit="")
    if test.get("ensemble") is None:
        of = f"mean of {count(number, 'model')}"
        return RunScore(value=models["mean"], interval=models.get("interval"), of=of, single=single)
    own = test["ensemble"][name]
    return RunScore(
        value=own["value"], interval=own["interval"], of=f"ensemble of {count(number, 'model')}", single=single
    )
