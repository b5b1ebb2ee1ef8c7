"""A multilayer perceptron over one vector of statistics per clip: the small baseline."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ser_core.config import CLIP_VECTORS, ConfigError, field_problems, raise_problems, setting
from ser_core.models._functionals import FUNCTIONALS

CITATION = (
    "D. E. Rumelhart, G. E. Hinton, R. J. Williams: Learning representations by back-propagating errors. "
    "Nature 323 (1986); utterance statistics as in B. Schuller et al.: The INTERSPEECH 2009 Emotion Challenge."
)
PRECISION = "fp32"  # too small to gain from bf16: converting costs more than the products
CHANNELS_LAST = False
TRAINING_ONLY = ("dropout",)
DEFAULTS = {
    **FUNCTIONALS,
    "optim.epochs": 16,  # as good as 40
    "optim.learning_rate": 1e-2,
    "optim.batch_size": 64,  # as good as 32 on RAVDESS, in half the time
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the perceptron."""

    width: int = setting(128, "units of each hidden layer", low=1, high=8192)
    layers: int = setting(1, "hidden layers", low=1, high=8)
    dropout: float = setting(0.5, "share of hidden units dropped in training", low=0, high=0.9)

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


class MLP(nn.Module):
    """Hidden layers of linear map, batch norm, ReLU and dropout, then a linear classifier."""

    def __init__(self, config: Config, *, bins: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in [bins] + [config.width] * (config.layers - 1):
            # Batch norm brings its own offset, so the linear map needs none.
            layers += [nn.Linear(inputs, config.width, bias=False), nn.BatchNorm1d(config.width)]
            layers += [nn.ReLU(), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(config.width, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, bins), (batch,) -> logits (batch, classes). A clip is one frame, so lengths say nothing."""
        return self.head(self.layers(features.squeeze(1)))


def build(config: Config, *, frames: int, bins: int, classes: int) -> MLP:
    """The perceptron for clips of one frame.

    Raises:
        ConfigError: more than one frame per clip.
    """
    if frames != 1:
        raise ConfigError(
            f"mlp takes one vector per clip; got {frames} frames: set features.kind to one of {', '.join(CLIP_VECTORS)}"
        )
    return MLP(config, bins=bins, classes=classes)
