"""A small head over a frozen speech encoder: a learned weighted sum of its layers, statistics over time, a classifier.

The protocol of SUPERB and EmoBox. The feature store holds mean and deviation over time of every layer, so the encoder
runs once per clip and a trial takes seconds. The mean of a weighted sum of layers is the weighted sum of their means;
its deviation is not that of their deviations, which stand in for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F

from ser_core.config import ConfigError, FeatureConfig, field_problems, raise_problems, setting
from ser_core.features.encoded import STATISTICS
from ser_core.modules.layers import LayerSum

CITATION = (
    "S. Yang et al.: SUPERB: Speech processing universal performance benchmark. INTERSPEECH 2021; Z. Ma et al.: "
    "EmoBox: Multilingual multi-corpus speech emotion recognition toolkit and benchmark. INTERSPEECH 2024."
)
PRECISION = "fp32"  # too small to gain from bf16
CHANNELS_LAST = False
TRAINING_ONLY = ("dropout",)
TAKES_MAPS = True
DEFAULTS = {
    "features.kind": "encoder_stats",
    "optim.learning_rate": 1e-3,
    "optim.epochs": 30,
    "optim.batch_size": 32,
    # A clip is one vector: there is no time to mask or shift, and neighbouring units have nothing in common.
    "augment.freq_masks": 0,
    "augment.time_masks": 0,
    "augment.time_shift_seconds": 0.0,
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the probe."""

    pretrained: str = setting(
        "facebook/wav2vec2-base", "speech encoder: hub name, local folder, or none for random weights"
    )
    layers: str = setting(
        "weighted", "weighted: a learned weighted sum of all layers; one: a single layer", choices=("weighted", "one")
    )
    depth: float = setting(
        1.0, "which layer is taken alone (layers = one): 0 what enters the lowest, 1 the last", low=0, high=1
    )
    pooling: str = setting("mean_std", "statistics over time that the head sees", choices=("mean", "mean_std"))
    normalisation: str = setting(
        "value",
        "value: each value at mean 0 and deviation 1 over the training clips; layer: layer norm of each layer's "
        "statistics; none",
        choices=("value", "layer", "none"),
    )
    width: int = setting(256, "units of the hidden layer; 0 for a linear classifier", low=0, high=8192)
    dropout: float = setting(0.2, "share dropped in training before the classifier", low=0, high=0.9)

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


def features_for(config: Config, features: FeatureConfig) -> FeatureConfig:
    """Statistics of the encoder that `config` names."""
    return replace(features, kind="encoder_stats", encoder=config.pretrained)


def takes_raw_features(config: Config) -> bool:
    """True where the statistics are not normalised per value."""
    return config.normalisation != "value"


class Probe(nn.Module):
    """Layers combined into one, then a classifier with at most one hidden layer."""

    def __init__(self, config: Config, *, layers: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.layers, self.statistics = layers, STATISTICS if config.pooling == "mean_std" else 1
        self.normalises = config.normalisation == "layer"
        self.alone = round(config.depth * (layers - 1)) if config.layers == "one" else None
        self.sum = LayerSum(layers) if config.layers == "weighted" else None
        inputs = self.statistics * hidden
        self.hidden = nn.Sequential(nn.Linear(inputs, config.width), nn.ReLU()) if config.width else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width or inputs, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, layers * 2 * hidden), (batch,) -> logits (batch, classes). A clip is one frame."""
        x = features[:, 0].unflatten(1, (self.layers, STATISTICS, -1))[:, :, : self.statistics]
        if self.normalises:
            x = F.layer_norm(x, x.shape[-1:])
        combined = x[:, self.alone] if self.sum is None else self.sum(x)  # (batch, statistics, hidden)
        return self.head(self.dropout(self.hidden(combined.flatten(1))))


def build(config: Config, *, frames: int, bins: int, classes: int, maps: int = 1) -> Probe:
    """The probe for clips of one frame that holds the statistics of `maps` layers.

    Raises:
        ConfigError: more than one frame per clip, or no two statistics of every layer.
    """
    if frames != 1 or bins % (STATISTICS * maps):
        raise ConfigError(
            f"probe takes one vector per clip, mean and deviation of every unit of {maps} layers; got {frames} frames "
            f"of {bins} values: its features.kind is encoder_stats"
        )
    return Probe(config, layers=maps, hidden=bins // (STATISTICS * maps), classes=classes)
