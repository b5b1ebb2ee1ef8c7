"""What the service says, as JSON values: predictions as `ser predict --json` prints them."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from ser_core.targets import DIMENSIONS, Target


class FileAnswer(BaseModel):
    """One file: a prediction, or why there is none."""

    file: str = Field(description="Its name, as it was sent.")
    seconds: float | None = Field(default=None, description="How much speech it holds.")
    error: str | None = Field(default=None, description="Why it could not be predicted.")


class EmotionAnswer(FileAnswer):
    """Of a model that tells emotions apart."""

    emotion: str | None = Field(default=None, description="The most probable one.")
    probabilities: dict[str, float] = Field(default={}, description="Of every emotion; together 1.")


class RatingsAnswer(FileAnswer):
    """Of a model that rates dimensions."""

    ratings: dict[str, float] = Field(default={}, description="Of every dimension, on the scale of the training data.")


Answer = TypeVar("Answer", bound=FileAnswer)


class Predictions(BaseModel, Generic[Answer]):
    """An answer to /predict, a line a file in their order."""

    predictions: list[Answer]


class Problem(BaseModel):
    """A request that is not served."""

    error: str = Field(description="The rule, what broke it, and what to do.")


class Health(BaseModel):
    """An answer to /healthz."""

    status: str


def answer_of(target: Target) -> type[EmotionAnswer] | type[RatingsAnswer]:
    """What is answered of a file by a model of this target."""
    return RatingsAnswer if target.kind == DIMENSIONS else EmotionAnswer


def answers_of(target: Target) -> type[BaseModel]:
    """What is answered of all files of a request."""
    return Predictions[RatingsAnswer] if target.kind == DIMENSIONS else Predictions[EmotionAnswer]
