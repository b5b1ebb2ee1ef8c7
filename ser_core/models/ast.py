"""The Audio Spectrogram Transformer: a vision transformer over overlapping patches of a Kaldi filter bank.

Weights come from image models (DeiT, ViT) or from a model trained on AudioSet. The names of the parameters are timm's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from timm.models.deit import VisionTransformerDistilled
from torch import Tensor, nn

from ser_core.config import field_problems, raise_problems, setting
from ser_core.models._ast_weights import TOKENS, Grid, fit_positions, initial_weights, of_audioset
from ser_core.modules.explain import AttentionRollout
from ser_core.modules.layers import check_input, frame_mask
from ser_core.modules.pretrained import load_weights

CITATION = "Y. Gong, Y.-A. Chung, J. Glass: AST: Audio Spectrogram Transformer. INTERSPEECH 2021, arXiv 2104.01778."
PRECISION = "bf16"
CHANNELS_LAST = False
TRAINING_ONLY = ("dropout", "drop_path", "layer_decay")
DEFAULTS = {
    "features.kind": "kaldi_fbank",
    "features.n_mels": 128,
    "features.hop_ms": 10.0,
    "features.low_hz": 20.0,  # as the filter bank that the AudioSet weights were trained on
    "optim.optimizer": "adam",
    "optim.learning_rate": 5e-5,
    "optim.weight_decay": 0.0,
    "optim.batch_size": 12,
    "optim.epochs": 25,
    "augment.freq_mask_bins": 48,
    "augment.time_mask_frames": 48,  # clips have 300 frames; the paper's have 1,024, and masks up to 192
}
SIZES = {
    # name: (width, blocks, heads), Touvron et al. 2021, table 1; large: Dosovitskiy et al. 2021, table 1
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
IMAGENET = {
    "tiny": "deit_tiny_distilled_patch16_224.fb_in1k",
    "small": "deit_small_distilled_patch16_224.fb_in1k",
    "base": "deit_base_distilled_patch16_384.fb_in1k",  # the paper's
    "large": "vit_large_patch16_224.augreg_in21k_ft_in1k",
}
"""What `pretrained=imagenet` fetches."""
PATCH = 16


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the Audio Spectrogram Transformer."""

    size: str = setting("base", "width and depth of the transformer", choices=tuple(SIZES))
    stride: int = setting(10, "step between 16 x 16 patches, bins and frames; 16 does not overlap", low=1, high=16)
    pretrained: str = setting(
        "imagenet",
        "initial weights: none (random), imagenet (of this size), a timm hub name, a local file or folder, or an "
        "AudioSet model of transformers such as MIT/ast-finetuned-audioset-10-10-0.4593",
    )
    dropout: float = setting(0.0, "share of the pooled tokens dropped in training", low=0, high=0.9)
    drop_path: float = setting(
        0.0, "share of residual branches dropped in training, rising with depth", low=0, high=0.9
    )
    layer_decay: float = setting(
        1.0, "learning rate of a block as a share of that of the block above; patches and positions are lowest",
        low=0.1, high=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


class OverlappingPatches(nn.Module):
    """16 x 16 patches at any stride: (batch, 1, bins, frames) -> (batch, rows * columns, width).

    Stands in for timm's PatchEmbed, whose stride is the patch's size.
    """

    def __init__(self, *, grid: Grid, stride: int, embed_dim: int, **_timm: Any) -> None:
        super().__init__()
        self.num_patches = grid[0] * grid[1]
        self.proj = nn.Conv2d(1, embed_dim, kernel_size=PATCH, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, bins, frames) -> (batch, rows * columns, width)."""
        return self.proj(x).flatten(2).transpose(1, 2)


class AST(nn.Module):
    """DeiT's transformer over spectrogram patches; the mean of both tokens, layer norm, a linear classifier.

    Padding is zeroed at the input and attended to as silence, as in the published model: its position embeddings fix
    the number of frames.
    """

    def __init__(self, config: Config, *, grid: Grid, classes: int) -> None:
        super().__init__()
        width, depth, heads = SIZES[config.size]
        self.transformer = vision_transformer(
            width, depth, heads, grid=grid, stride=config.stride, drop_path=config.drop_path
        )
        self.depth, self.layer_decay = depth, config.layer_decay
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))
        self.explained_by = AttentionRollout(
            "transformer.blocks", tokens=TOKENS, grid=grid, patch=PATCH, stride=config.stride
        )

    def learning_rate_scale(self, name: str) -> float:
        """Of parameter `name`, as a share of `optim.learning_rate`; it decays by blocks as in Clark et al. 2020."""
        if not name.startswith("transformer."):
            return 1.0
        # What enters the lowest block lies below it; the norm goes with the highest.
        without = self.depth if name.startswith("transformer.norm.") else 0
        _, found, rest = name.partition("blocks.")
        block = int(rest.partition(".")[0]) + 1 if found else without
        return self.layer_decay ** (self.depth + 1 - block)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,) -> logits (batch, classes)."""
        x = features * frame_mask(lengths, features.shape[1]).unsqueeze(-1)
        x = x.transpose(1, 2).unsqueeze(1)  # (batch, 1, bins, frames)
        x = 0.5 * x  # the paper trains on zero mean and a standard deviation of 0.5 (section 2.1)
        tokens = self.transformer.forward_features(x)[:, :TOKENS]  # (batch, 2, width)
        return self.head(self.dropout(tokens.mean(dim=1)))


def vision_transformer(
    width: int, depth: int, heads: int, *, grid: Grid, stride: int, drop_path: float = 0.0
) -> VisionTransformerDistilled:
    """timm's distilled vision transformer without classifier, over a grid of overlapping patches."""

    def patches(*, embed_dim: int, **timm_arguments: Any) -> OverlappingPatches:
        return OverlappingPatches(grid=grid, stride=stride, embed_dim=embed_dim, **timm_arguments)

    return VisionTransformerDistilled(
        embed_dim=width, depth=depth, num_heads=heads, num_classes=0, embed_layer=patches, drop_path_rate=drop_path
    )


def kind_of_weights(config: Config) -> str:
    """What the initial weights were trained on: "audioset", or "" for images, or for nothing."""
    return "audioset" if of_audioset(config.pretrained) else ""


def build(config: Config, *, frames: int, bins: int, classes: int) -> AST:
    """The transformer for clips of exactly (frames, bins).

    Raises:
        ConfigError: fewer frames or bins than one patch.
        PretrainedError: initial weights that cannot be had or do not fit.
    """
    check_input("ast", frames=frames, bins=bins, least_frames=PATCH, least_bins=PATCH)
    grid = ((bins - PATCH) // config.stride + 1, (frames - PATCH) // config.stride + 1)
    if config.pretrained == "none":
        return AST(config, grid=grid, classes=classes)
    name = IMAGENET[config.size] if config.pretrained == "imagenet" else config.pretrained
    weights, old_grid = initial_weights(name)
    weights["pos_embed"] = fit_positions(weights["pos_embed"], old=old_grid, new=grid)
    model = AST(config, grid=grid, classes=classes)
    load_weights(model.transformer, weights, name)
    return model


def without_pretrained(config: Config) -> Config:
    """Settings of the same module with random initial weights, into which saved ones are loaded."""
    return replace(config, pretrained="none")
