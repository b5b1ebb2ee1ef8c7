"""What the score of a run is, decided here alone: that of its default model, the ensemble of the refitted seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.wording import Bounds, count, spread
from ser_core.named_scores import EARLIER_OBJECTIVE, SCORES, Score
from ser_core.targets import EMOTION, KINDS


@dataclass(frozen=True, kw_only=True)
class RunScore:
    """A test score of a run, as shares.

    Attributes:
        value, interval: None where they are not defined; the interval is over test speakers.
        of: what was scored: "ensemble of 3 models", "one model", or "mean of 3 models" of a version without ensembles.
        single: mean and deviation of the single models, without a unit, "" where there is one alone.
    """

    value: float | None
    interval: Bounds | None
    of: str
    single: str

    def numbers(self) -> dict[str, Any]:
        """As the JSON files hold it."""
        return {"value": self.value, "interval": self.interval}


def headline_of(result: Mapping[str, Any]) -> Score:
    """What the run of a result.json, or the model of an evaluation.json, is judged by; of early versions UAR."""
    return SCORES[result.get("target", {}).get("objective", EARLIER_OBJECTIVE)]


def scores_of_result(result: Mapping[str, Any]) -> tuple[Score, ...]:
    """All scores of a result.json or an evaluation.json: what it is judged by first."""
    own = KINDS[result.get("target", {}).get("kind", EMOTION)].scores
    return tuple(SCORES[name] for name in dict.fromkeys((headline_of(result).name, *own)))


def validation_score(numbers: Mapping[str, Any], score: Score, prefix: str = "") -> Any:
    """What a part of result.json has under the name of the run's objective on validation, such as `val_uar`."""
    return numbers[f"{prefix}val_{score.name}"]


def run_score(test: Mapping[str, Any], name: str) -> RunScore:
    """The score of a run from the part `test` of result.json, or from one like it of the clips of several folds.

    Args:
        name: of one of its scores.
    """
    models = test[name]
    number = len(models["seeds"])
    if number == 1:
        return RunScore(value=models["mean"], interval=models.get("interval"), of="one model", single="")
    single = spread(models["mean"], models["std"], score=SCORES[name], unit="")
    if test.get("ensemble") is None:
        of = f"mean of {count(number, 'model')}"
        return RunScore(value=models["mean"], interval=models.get("interval"), of=of, single=single)
    own = test["ensemble"][name]
    return RunScore(
        value=own["value"], interval=own["interval"], of=f"ensemble of {count(number, 'model')}", single=single
    )
