"""A shallow convolutional network over the log-mel spectrogram, built to be quick on a CPU."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor, nn

from ser_core.config import field_problems, raise_problems, setting
from ser_core.modules.explain import GradCam
from ser_core.modules.layers import ConvBlock, as_maps, check_input, frame_mask

CITATION = (
    "K. J. Piczak: Environmental sound classification with convolutional neural networks. MLSP 2015; "
    "global average pooling: M. Lin, Q. Chen, S. Yan: Network in network. ICLR 2014."
)
PRECISION = "bf16"
CHANNELS_LAST = True
TRAINING_ONLY = ("dropout",)
TAKES_MAPS = True
DEFAULTS = {
    "features.kind": "log_mel",
    "features.n_mels": 64,
    # 75 frames of a 3 s clip. UAR on validation clips of RAVDESS (random split; unseen speakers): .70 and .57.
    # With silence cut away (trim_db 40, 2.4 s) .71 and .51; with twice the frames a run takes twice as long.
    "features.window_ms": 50.0,
    "features.hop_ms": 40.0,
    # UAR on four speakers of RAVDESS, last five epochs, one seed: 72.9, without them 68.8, as further bins 68.3.
    "features.deltas": 1,
    # UAR on five groups of four development speakers of EmoBox's folds 1, 3 and 5, last five epochs, one seed: 70.0,
    # with the mean over all bands 67.5, and with deviations over time beside the means 70.0.
    "model.pooling": "bands",
    "optim.learning_rate": 1e-2,  # .74 and .57 where 3e-3 gave .70 and .57
    "optim.epochs": 30,
    "augment.freq_mask_bins": 10,
    "augment.time_mask_frames": 12,
}
BLOCKS = 4
"""Each halves frames and bins and doubles the channels."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the shallow CNN."""

    width: int = setting(16, "channels of the first block; each of the next three has twice as many", low=1, high=256)
    pooling: str = setting(
        "mean",
        "what the head sees of the last block's channels: the mean over time and frequency, or over time in each band",
        choices=("mean", "bands"),
    )
    dropout: float = setting(0.1, "share of pooled features dropped in training", low=0, high=0.9)

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


def least_frames(config: Config) -> int:
    """Fewer frames than this are padded; more padding changes nothing."""
    return 2**BLOCKS


class ShallowCNN(nn.Module):
    """Four convolutional blocks, the mean over time, in each band or over all, a linear classifier."""

    def __init__(self, config: Config, *, maps: int, bands: int, classes: int) -> None:
        super().__init__()
        self.maps, self.pooling = maps, config.pooling
        channels = [maps, *(config.width * 2**block for block in range(BLOCKS))]
        self.blocks = nn.ModuleList(
            ConvBlock(inputs, outputs, time_pool=2, bin_pool=2) for inputs, outputs in itertools.pairwise(channels)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels[-1] * (bands if config.pooling == "bands" else 1), classes)
        self.explained_by = GradCam(f"blocks.{BLOCKS - 1}", stacked=maps)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, maps * bins), (batch,) -> logits (batch, classes)."""
        x = features * frame_mask(lengths, features.shape[1]).unsqueeze(-1)
        x = as_maps(x, self.maps)  # (batch, maps, frames, bins)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return self.head(self.dropout(self._pool(x, lengths)))

    def _pool(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(batch, channels, frames, bands), zero in the padding, and (batch,) -> (batch, inputs of the head)."""
        if self.pooling == "mean":
            return x.mean(dim=3).sum(dim=2) / lengths.unsqueeze(1)
        return x.sum(dim=2).flatten(1) / lengths.unsqueeze(1)


def build(config: Config, *, frames: int, bins: int, classes: int, maps: int = 1) -> ShallowCNN:
    """The shallow CNN for clips of (frames, bins), the bins being those of `maps` maps side by side.

    Raises:
        ConfigError: fewer frames or bins than four halvings leave anything of.
    """
    check_input("shallow_cnn", frames=frames, bins=bins, least_frames=2**BLOCKS, least_bins=maps * 2**BLOCKS)
    return ShallowCNN(config, maps=maps, bands=bins // maps // 2**BLOCKS, classes=classes)
