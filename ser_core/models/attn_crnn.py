"""An attentive convolutional recurrent network over the frames of a pretrained speech encoder.

The encoder is frozen: the feature store holds what it says of every clip, computed once: the frames of one layer, or of
all layers for a learned weighted sum. With `tuned_layers` the store holds what enters the encoder's top layers, and
these become part of the model and are trained with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ser_core.config import ConfigError, FeatureConfig, field_problems, raise_problems, setting
from ser_core.modules.encoder_families import encoder_facts
from ser_core.modules.encoders import TopLayers, load_encoder
from ser_core.modules.explain import FrameAttention
from ser_core.modules.layers import AttentionPool, BiRecurrent, LayerSum, frame_mask

CITATION = (
    "A. Baevski, H. Zhou, A. Mohamed, M. Auli: wav2vec 2.0: A framework for self-supervised learning of speech "
    "representations. NeurIPS 2020; attentive recurrent network: C.-W. Huang, S. S. Narayanan: Deep convolutional "
    "recurrent neural network with attention mechanism for robust speech emotion recognition. ICME 2017."
)
PRECISION = "bf16"
CHANNELS_LAST = False
TAKES_MAPS = True
TRAINING_ONLY = ("dropout",)
DEFAULTS = {
    "features.kind": "encoder",
    "optim.learning_rate": 1e-3,
    "optim.epochs": 30,
    "augment.freq_masks": 0,  # neighbouring units of an encoder have nothing in common
    "augment.time_mask_frames": 24,
}
KERNEL = 5
"""Frames that the convolution spans: 100 ms of most encoders."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the attentive convolutional recurrent network."""

    pretrained: str = setting(
        "facebook/wav2vec2-base", "speech encoder: hub name, local folder, or none for random weights"
    )
    layers: str = setting(
        "one", "one: the frames of one layer, features.encoder_layer; weighted: a learned weighted sum of all layers'",
        choices=("one", "weighted"),
    )  # fmt: skip
    tuned_layers: int = setting(
        0, "top transformer layers of the encoder that are trained; 0 freezes all", low=0, high=48
    )
    width: int = setting(128, "channels of the convolution", low=1, high=2048)
    cell: str = setting("gru", "cell of the recurrent layer", choices=("gru", "lstm"))
    recurrent_units: int = setting(128, "units of the recurrent layer in each direction", low=1, high=2048)
    dropout: float = setting(
        0.2, "share dropped in training, before the recurrent layer and before the classifier", low=0, high=0.9
    )

    def __post_init__(self) -> None:
        problems = field_problems(self, "model")
        if not problems and self.layers == "weighted" and self.tuned_layers:
            problems.append(
                f"model.tuned_layers must be 0 with model.layers = weighted, which sums the frozen encoder's layers; "
                f"got {self.tuned_layers}: --model finetune trains layers and sums them"
            )
        raise_problems(problems)


def features_for(config: Config, features: FeatureConfig) -> FeatureConfig:
    """Frames of the encoder that `config` names: of one layer or of all; with tuned layers, what enters the lowest.

    Raises:
        ConfigError: more tuned layers than the encoder has.
        PretrainedError: tuned layers of an encoder whose configuration cannot be had.
    """
    kind = "encoder_layers" if config.layers == "weighted" else "encoder"
    features = replace(features, kind=kind, encoder=config.pretrained)
    if config.tuned_layers == 0:
        return features
    depth = encoder_facts(config.pretrained).layers
    if config.tuned_layers > depth:
        raise ConfigError(
            f"model.tuned_layers may be at most {depth}, the layers of {config.pretrained!r}; got {config.tuned_layers}"
        )
    return replace(features, encoder_layer=depth - config.tuned_layers)


def takes_raw_features(config: Config) -> bool:
    """True with tuned layers: they were trained on the hidden state as it is, and normalising would undo that."""
    return config.tuned_layers > 0


def least_frames(config: Config) -> int:
    """Fewer frames than this are padded; more padding changes nothing."""
    return 1


class AttnCRNN(nn.Module):
    """A sum of layers or tuned layers if any, a convolution over time, a recurrent layer, attention pooling, a
    linear classifier.

    In evaluation, padding leaves a clip's output as it is. In training, batch norm's statistics include it.
    """

    def __init__(self, config: Config, *, bins: int, classes: int, maps: int, top: nn.Module | None) -> None:
        super().__init__()
        self.top, self.maps = top, maps
        self.sum = LayerSum(maps) if config.layers == "weighted" else None
        # Batch norm brings its own offset, so the convolution needs none.
        self.conv = nn.Conv1d(bins // maps, config.width, KERNEL, padding=KERNEL // 2, bias=False)
        self.norm = nn.BatchNorm1d(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = BiRecurrent(config.width, config.recurrent_units, cell=config.cell)
        self.pool = AttentionPool(2 * config.recurrent_units)
        self.head = nn.Linear(2 * config.recurrent_units, classes)
        self.explained_by = FrameAttention("pool")

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,) -> logits (batch, classes)."""
        real = frame_mask(lengths, features.shape[1])  # (batch, frames)
        x = features if self.top is None else self.top(features, real)
        if self.sum is not None:
            x = self.sum(x.unflatten(2, (self.maps, -1)).transpose(1, 2))  # (batch, frames, bins / maps)
        x = x * real.unsqueeze(-1)
        x = torch.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)  # (batch, frames, width)
        x = self.recurrent(self.dropout(x), lengths)  # (batch, frames, 2 * units)
        return self.head(self.dropout(self.pool(x, lengths)))


def build(config: Config, *, frames: int, bins: int, classes: int, maps: int = 1) -> AttnCRNN:
    """The network for encoder frames of `bins` units, those of `maps` layers, for clips of any number of frames.

    Raises:
        ConfigError: frames of one layer for a sum of layers, or the other way round.
        ConfigError: tuned layers that are wider or narrower than the frames, or too many of them.
        PretrainedError: tuned layers of an encoder that cannot be loaded.
    """
    if (config.layers == "weighted") != (maps > 1) or bins % maps:
        raise ConfigError(
            f"attn_crnn takes frames of one layer, or of all for model.layers = weighted; got model.layers = "
            f"{config.layers} and {bins} units of {maps} layers"
        )
    top = None
    if config.tuned_layers:
        encoder = load_encoder(config.pretrained)
        hidden, depth = encoder.facts.hidden, encoder.facts.layers
        if bins != hidden or config.tuned_layers > depth:
            raise ConfigError(
                f"encoder {config.pretrained!r} has {depth} layers of {hidden} units; got frames of {bins} and "
                f"model.tuned_layers={config.tuned_layers}: features.encoder must be model.pretrained"
            )
        top = TopLayers(encoder, config.tuned_layers)
    return AttnCRNN(config, bins=bins, classes=classes, maps=maps, top=top)
