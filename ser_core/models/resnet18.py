"""ResNet-18 over the log-mel spectrogram, taken as an image of one channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import timm
from timm.models import adapt_input_conv
from torch import Tensor, nn

from ser_core.config import field_problems, raise_problems, setting
from ser_core.modules.explain import GradCam
from ser_core.modules.layers import check_input, frame_mask
from ser_core.modules.pretrained import PretrainedError, image_weights, load_weights

CITATION = "K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition. CVPR 2016."
PRECISION = "bf16"
CHANNELS_LAST = True
TRAINING_ONLY = ("dropout", "drop_path")
DEFAULTS = {
    "features.kind": "log_mel",
    "features.n_mels": 64,
    # 75 frames of a 3 s clip, so that a run takes half as long as with 150. On RAVDESS (random split, one seed), 12
    # epochs gave .61 UAR on validation.
    "features.window_ms": 50.0,
    "features.hop_ms": 40.0,
    "optim.learning_rate": 2e-3,
    "optim.weight_decay": 0.05,
    "optim.epochs": 20,
    "augment.freq_mask_bins": 10,
    "augment.time_mask_frames": 12,
}
IMAGENET = "resnet18.tv_in1k"
"""What `pretrained=imagenet` fetches: torchvision's weights of the original recipe."""
STRIDE = 32
"""Bins or frames of the input per cell of the last feature map."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of ResNet-18."""

    pretrained: str = setting("none", "initial weights: none (random), imagenet, a timm hub name, or a local file")
    dropout: float = setting(0.0, "share of pooled features dropped in training", low=0, high=0.9)
    drop_path: float = setting(
        0.0, "share of residual branches dropped in training, rising with depth", low=0, high=0.9
    )

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


class ResNet18(nn.Module):
    """timm's ResNet-18 with one input channel, the mean over frequency and the clip's own time, a linear classifier.

    Padding is zeroed at the input and left out of the mean over time, so what it holds never matters. How much of it
    there is can: the strided convolutions of the last cells before the end see its zeros after batch norm.
    """

    def __init__(self, config: Config, *, classes: int) -> None:
        super().__init__()
        self.backbone = timm.create_model(
            "resnet18", in_chans=1, num_classes=0, global_pool="", drop_path_rate=config.drop_path
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.backbone.num_features, classes)
        # Not the last stage, which leaves 2 x 3 cells of a 3 s clip: too few to show anything.
        self.explained_by = GradCam("backbone.layer3", bins_first=True)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,) -> logits (batch, classes)."""
        x = features * frame_mask(lengths, features.shape[1]).unsqueeze(-1)
        x = self.backbone(x.transpose(1, 2).unsqueeze(1))  # (batch, 1, bins, frames) -> (batch, 512, bins / 32, cells)
        mask = frame_mask((lengths + STRIDE - 1) // STRIDE, x.shape[-1]).to(x.dtype)  # (batch, cells)
        x = (x.mean(dim=2) * mask.unsqueeze(1)).sum(dim=2) / mask.sum(dim=1, keepdim=True)  # (batch, 512)
        return self.head(self.dropout(x))


def build(config: Config, *, frames: int, bins: int, classes: int) -> ResNet18:
    """ResNet-18 for clips of (frames, bins).

    Raises:
        ConfigError: less than one cell of frames or bins.
        PretrainedError: initial weights that cannot be had or do not fit.
    """
    check_input("resnet18", frames=frames, bins=bins, least_frames=STRIDE, least_bins=STRIDE)
    model = ResNet18(config, classes=classes)
    if config.pretrained != "none":
        name = IMAGENET if config.pretrained == "imagenet" else config.pretrained
        weights = image_weights(name)
        weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
        if "conv1.weight" not in weights:
            raise PretrainedError(f"weights {name!r} are not of a ResNet: they lack conv1.weight")
        # The three colours are summed, as for a grey image shown in all of them.
        weights["conv1.weight"] = adapt_input_conv(1, weights["conv1.weight"], weights["conv1.weight"].shape[1])
        load_weights(model.backbone, weights, name)
    return model


def without_pretrained(config: Config) -> Config:
    """Settings of the same module with random initial weights, into which saved ones are loaded."""
    return replace(config, pretrained="none")
