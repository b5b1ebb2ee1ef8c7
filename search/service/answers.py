"""What the service says, as JSON values: predictions as `ser predict --json` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, Field


class Prediction(BaseModel):
    """One file: a prediction, or why there is none."""

    file: str = Field(description="Its name, as it was sent.")
    emotion: str | None = Field(default=None, description="The most probable one.")
    probabilities: dict[str, float] = Field(default={}, description="Of every emotion; together 1.")
    seconds: float | None = Field(default=None, description="How much speech it holds.")
    error: str | None = Field(default=None, description="Why it could not be predicted.")


class Predictions(BaseModel):
    """An answer to /predict, a line a file in their order."""

    predictions: list[Prediction]


class Problem(BaseModel):
    """A request that is not served."""

    error: str = Field(description="The rule, what broke it, and what to do.")


class Health(BaseModel):
    """An answer to /healthz."""

    status: str


def prediction(classes: Sequence[str], probabilities: np.ndarray | None) -> dict[str, Any]:
    """(classes,) as JSON values, rounded to six digits; None for silence."""
    if probabilities is None:
        return {"emotion": None, "probabilities": {}}
    shares = {word: round(float(share), 6) for word, share in zip(classes, probabilities, strict=True)}
    return {"emotion": classes[int(probabilities.argmax())], "probabilities": shares}
