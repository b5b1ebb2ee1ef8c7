"""What a model's outputs mean: modules that make probabilities or ratings of them, from training to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ser_core.targets import DIMENSIONS


class Probabilities(nn.Module):
    """Logits (…, classes) -> probabilities (…, classes)."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=-1)

    def facts(self) -> dict[str, Any]:
        """What a model folder must keep of it."""
        return {}


class Rescaled(nn.Module):
    """Standardised ratings (…, dimensions) -> ratings on the scale of the data.

    Args:
        mean, deviation: (dimensions,) of the ratings that the model was fitted to.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs * self.deviation + self.mean

    def standardised(self, ratings: Tensor) -> Tensor:
        """The inverse: ratings (…, dimensions) as a model's outputs would have them."""
        return (ratings - self.mean) / self.deviation

    def facts(self) -> dict[str, Any]:
        """What a model folder must keep of it."""
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}


Meaning = Probabilities | Rescaled


def meaning_of(kind: str, facts: Mapping[str, Any]) -> Meaning:
    """The module that a model folder describes.

    Args:
        kind: of the target. facts: as the module's own `facts` gave them.

    Raises:
        KeyError, TypeError, ValueError: facts that are none.
    """
    if kind != DIMENSIONS:
        return Probabilities()
    meaning = Rescaled(facts["mean"], facts["deviation"])
    if meaning.mean.shape != meaning.deviation.shape or not (meaning.deviation > 0).all():
        raise ValueError(f"ratings need a mean and a deviation above 0 each; got {facts}")
    return meaning
