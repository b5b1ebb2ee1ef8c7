"""A speech encoder fine-tuned end to end: from what it takes of a clip to the emotion.

The head is trained first, then with it the top layers of the encoder, all layers, or low-rank adapters in them. The
front end stays frozen, as do the positions: they were trained on far more speech than a corpus of emotions has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ser_core.config import ConfigError, FeatureConfig, field_problems, raise_problems, setting
from ser_core.modules.adapters import MISSING, TARGETS, adapters_available, add_adapters
from ser_core.modules.encoder_families import encoder_facts, seconds_at_once
from ser_core.modules.encoders import Encoder, frames_of, load_encoder
from ser_core.modules.layers import AttentionPool, LayerSum, frame_mask
from ser_core.training.augment import mask_bins, mask_frames

CITATION = (
    "J. Wagner et al.: Dawn of the transformer era in speech emotion recognition. IEEE TPAMI 45 (2023); adapters: "
    "E. J. Hu et al.: LoRA: Low-rank adaptation of large language models. ICLR 2022."
)
PRECISION = "bf16"
CHANNELS_LAST = False
TRAINING_ONLY = (
    "head_epochs", "encoder_rate", "layer_decay", "lora_dropout", "dropout", "mask_frames", "mask_units",
    "checkpointing",
)  # fmt: skip
FROM_START = {"model.head_epochs": 0}
DEFAULTS = {
    "features.kind": "encoder_input",
    "optim.learning_rate": 1e-3,
    "optim.epochs": 20,
    "optim.batch_size": 16,
    "optim.warmup_fraction": 0.1,
    # Masks belong on hidden states: `model.mask_frames` and `model.mask_units`.
    "augment.freq_masks": 0,
    "augment.time_masks": 0,
}
MASKS = 2
"""Masks of each kind on a clip's hidden states."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the fine-tuned encoder."""

    pretrained: str = setting(
        "facebook/wav2vec2-base", "speech encoder: hub name, local folder, or none for random weights"
    )
    tuning: str = setting(
        "layers",
        "what is trained beside the head; layers: the top layers; lora: low-rank adapters in them; head: nothing",
        choices=("layers", "lora", "head"),
    )
    tuned_share: float = setting(0.5, "share of the layers, from the top, that are tuned; 1 for all", low=0.01, high=1)
    head_epochs: int = setting(1, "epochs at the start in which the head alone is trained", low=0, high=1_000)
    encoder_rate: float = setting(
        0.05, "learning rate of the top layer or of adapters, as a share of the head's", low=0, high=10
    )
    layer_decay: float = setting(
        0.9, "learning rate of a layer as a share of that of the layer above (tuning = layers)", low=0.1, high=1
    )
    lora_rank: int = setting(8, "rank of the adapters", low=1, high=256)
    lora_alpha: float = setting(16.0, "adapters are scaled by this over their rank", low=0.1, high=1_024)
    lora_dropout: float = setting(0.0, "share of the adapters' input dropped in training", low=0, high=0.9)
    lora_targets: str = setting("both", "linear maps that have adapters", choices=TARGETS)
    layers: str = setting(
        "last", "what is pooled; last: the encoder's output; weighted: a learned sum of all layers",
        choices=("last", "weighted"),
    )  # fmt: skip
    pooling: str = setting(
        "mean_std", "over time: mean, mean and deviation, or attention", choices=("mean", "mean_std", "attention")
    )
    width: int = setting(256, "units of the hidden layer of the head; 0 for a linear one", low=0, high=8192)
    dropout: float = setting(0.2, "share dropped in training before the classifier", low=0, high=0.9)
    mask_frames: int = setting(
        10, "largest width of two SpecAugment masks over the frames that enter the layers", low=0, high=1_000
    )
    mask_units: int = setting(
        0, "largest width of two SpecAugment masks over the units that enter the layers", low=0, high=1_000
    )
    checkpointing: bool = setting(
        False, "compute hidden states again for the gradient instead of keeping them: less memory, a third more time"
    )

    def __post_init__(self) -> None:
        problems = field_problems(self, "model")
        if self.tuning == "lora" and not adapters_available():
            problems.append(f"model.tuning = lora cannot be had: {MISSING}")
        raise_problems(problems)


def features_for(config: Config, features: FeatureConfig) -> FeatureConfig:
    """What the encoder that `config` names takes."""
    return replace(features, kind="encoder_input", encoder=config.pretrained)


def takes_raw_features(config: Config) -> bool:
    """True: the encoder normalises its input as it was trained."""
    return True


def least_frames(config: Config) -> int | None:
    """Steps that give the encoder a frame; None for an encoder whose hidden states depend on padding.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    facts = encoder_facts(config.pretrained)
    return None if facts.padding_counts else -(-facts.least_samples // facts.step_samples)


def kind_of_weights(config: Config) -> str:
    """Whether changes of samples reach the encoder: "log_mel" where it takes none, "level" where it hears loudness
    too, "" where it brings every clip to one level.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    facts = encoder_facts(config.pretrained)
    if not facts.takes_samples:
        return "log_mel"
    return "" if facts.normalises else "level"


class FineTuned(nn.Module):
    """An encoder, its layers combined and pooled over time, then a classifier with at most one hidden layer."""

    def __init__(self, config: Config, encoder: Encoder, *, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        depth, hidden = encoder.facts.layers, encoder.facts.hidden
        self._lowest = depth - max(1, round(config.tuned_share * depth))
        self._config, self._heads_only = config, config.tuning == "head"
        _prepare(encoder, config, self._lowest)
        encoder.stack.layers[0].register_forward_pre_hook(self._masked)
        self.sum = LayerSum(depth + 1) if config.layers == "weighted" else None
        self.pool = AttentionPool(hidden) if config.pooling == "attention" else None
        inputs = 2 * hidden if config.pooling == "mean_std" else hidden
        self.hidden = nn.Sequential(nn.Linear(inputs, config.width), nn.ReLU()) if config.width else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.width or inputs, classes)

    def begin_epoch(self, epoch: int) -> None:
        """In the first epochs the head alone is trained, so that its first, random gradients spoil no layer."""
        self._heads_only = self._config.tuning == "head" or epoch <= self._config.head_epochs

    def train(self, mode: bool = True) -> FineTuned:
        """An encoder that is not trained is not disturbed either: it stays in evaluation mode."""
        super().train(mode)
        self.encoder.train(mode and not self._heads_only)
        return self

    def learning_rate_scale(self, name: str) -> float:
        """Of parameter `name`, as a share of `optim.learning_rate`; it decays by layers as in Clark et al. 2020."""
        if not name.startswith("encoder."):
            return 1.0
        if self._config.tuning == "lora":
            return self._config.encoder_rate
        _, found, rest = name.partition("layers.")
        above = self.encoder.facts.layers - 1 - int(rest.partition(".")[0]) if found else 0  # the final norm: none
        return self._config.encoder_rate * self._config.layer_decay**above

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, steps, values), (batch,) -> logits (batch, classes)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._heads_only):
            states = self.encoder(features, lengths)
        x = states[-1] if self.sum is None else self.sum(torch.stack(states, dim=1))  # (batch, frames, hidden)
        pooled = self._pooled(x, frames_of(self.encoder.facts, lengths))
        return self.head(self.dropout(self.hidden(pooled)))

    def _pooled(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, hidden), (batch,) -> (batch, inputs of the head), over real frames alone."""
        if self.pool is not None:
            return self.pool(x, lengths)
        real = frame_mask(lengths, x.shape[1]).unsqueeze(-1)
        x = x.float() * real
        mean = x.sum(dim=1) / lengths[:, None]  # (batch, hidden)
        if self._config.pooling == "mean":
            return mean
        variance = ((x - mean[:, None]) * real).square().sum(dim=1) / lengths[:, None]
        return torch.cat([mean, (variance + 1e-6).sqrt()], dim=1)

    def _masked(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """SpecAugment on (batch, frames, hidden) as it enters the lowest layer, in training (Park et al. 2019)."""
        (x, *rest), widths = inputs, self._config
        if layer.training and widths.mask_frames:
            whole = torch.full((len(x),), x.shape[1], device=x.device)
            x = mask_frames(x, whole, MASKS, widths.mask_frames)
        if layer.training and widths.mask_units:
            x = mask_bins(x, MASKS, widths.mask_units)
        return (x, *rest)


def _prepare(encoder: Encoder, config: Config, lowest: int) -> None:
    """Freeze what is not tuned, and switch off what training would add by itself."""
    net = encoder.net
    net.config.apply_spec_augment = False  # draws from NumPy's generator; `FineTuned` masks instead
    for name in ("layerdrop", "encoder_layerdrop"):  # a layer left out has no hidden state to sum
        if hasattr(net.config, name):
            setattr(net.config, name, 0.0)
    if hasattr(net, "layerdrop"):  # Whisper keeps it beside its configuration
        net.layerdrop = 0.0
    encoder.requires_grad_(False)
    if hasattr(net, "feature_extractor"):
        net.feature_extractor._freeze_parameters()  # else its input asks for a gradient all the same
    if config.tuning == "lora":
        add_adapters(
            encoder, lowest=lowest, targets=config.lora_targets, rank=config.lora_rank, alpha=config.lora_alpha,
            dropout=config.lora_dropout,
        )  # fmt: skip
    elif config.tuning == "layers":
        for module in (*encoder.stack.layers[lowest:], encoder.final_norm):
            module.requires_grad_(True)
    if config.checkpointing:
        net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def build(config: Config, *, frames: int, bins: int, classes: int) -> FineTuned:
    """The encoder with its head, for clips of `frames` steps of the encoder's input.

    Raises:
        ConfigError: other input than the encoder takes, or more of it than it takes at once.
        PretrainedError: an encoder that cannot be loaded.
    """
    encoder = load_encoder(config.pretrained)
    facts = encoder.facts
    if bins != facts.values:
        raise ConfigError(
            f"finetune takes what encoder {facts.name!r} takes, {facts.values} values a step; got {bins}: its "
            f"features.kind is encoder_input"
        )
    if frames * facts.step_samples < facts.least_samples:
        raise ConfigError(
            f"finetune needs at least {facts.least_samples} samples for a frame of encoder {facts.name!r}; got "
            f"{frames * facts.step_samples}: raise features.clip_seconds"
        )
    if facts.most_steps and frames > facts.most_steps:
        raise ConfigError(
            f"features.clip_seconds may be at most {seconds_at_once(facts):g} for encoder {facts.name!r}, which takes "
            f"no more at once"
        )
    return FineTuned(config, encoder, classes=classes)
