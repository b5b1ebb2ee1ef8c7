"""A convolutional network over the log-mel spectrogram, a bidirectional LSTM over its frames, attention pooling."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ser_core.config import field_problems, raise_problems, setting
from ser_core.modules.explain import GradCam
from ser_core.modules.layers import AttentionPool, BiRecurrent, ConvBlock, as_maps, check_input, frame_mask

CITATION = (
    "J. Zhao, X. Mao, L. Chen: Speech emotion recognition using deep 1D & 2D CNN LSTM networks. "
    "Biomedical Signal Processing and Control 47 (2019); attention pooling: S. Mirsamadi, E. Barsoum, C. Zhang: "
    "Automatic speech emotion recognition using recurrent neural networks with local attention. ICASSP 2017."
)
PRECISION = "bf16"
CHANNELS_LAST = True
TRAINING_ONLY = ("dropout",)
TAKES_MAPS = True
DEFAULTS = {
    "features.kind": "log_mel",
    "features.n_mels": 64,
    # 75 frames of a 3 s clip, so that a run takes half as long as with 150. UAR on validation clips of RAVDESS (six
    # classes on a random split; unseen speakers; 20 epochs, one seed): .73 and .51, with 150 frames .69 and .54.
    "features.window_ms": 50.0,
    "features.hop_ms": 40.0,
    "features.deltas": 1,
    "optim.learning_rate": 3e-3,
    "optim.epochs": 36,
    "augment.freq_mask_bins": 10,
    "augment.time_mask_frames": 12,
}
TIME_POOLS = (2, 2, 1, 1)
"""Time shrinks by 4 only, so that the LSTM sees a step every 160 ms; every block halves the bins."""
LEAST_FRAMES = 4
"""What the pooling leaves one step of."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the CNN-LSTM."""

    width: int = setting(
        16, "channels of the first block; the next three have 2, 4 and 4 times as many", low=1, high=256
    )
    lstm_units: int = setting(128, "units of the LSTM in each direction", low=1, high=2048)
    dropout: float = setting(
        0.2, "share dropped in training, before the LSTM and before the classifier", low=0, high=0.9
    )

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


def least_frames(config: Config) -> int:
    """Fewer frames than this are padded; more padding changes nothing."""
    return LEAST_FRAMES


class CNNLSTM(nn.Module):
    """Four convolutional blocks, one bidirectional LSTM, attention pooling, a linear classifier."""

    def __init__(self, config: Config, *, bins: int, maps: int, classes: int) -> None:
        super().__init__()
        self.maps = maps
        channels = [maps, *(config.width * factor for factor in (1, 2, 4, 4))]
        self.blocks = nn.ModuleList(
            ConvBlock(inputs, outputs, time_pool=time_pool, bin_pool=2)
            for inputs, outputs, time_pool in zip(channels[:-1], channels[1:], TIME_POOLS, strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = BiRecurrent(channels[-1] * (bins // maps // 2 ** len(TIME_POOLS)), config.lstm_units)
        self.pool = AttentionPool(2 * config.lstm_units)
        self.head = nn.Linear(2 * config.lstm_units, classes)
        self.explained_by = GradCam(f"blocks.{len(TIME_POOLS) - 1}", stacked=maps)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, maps * bins), (batch,) -> logits (batch, classes)."""
        x = features * frame_mask(lengths, features.shape[1]).unsqueeze(-1)
        x = as_maps(x, self.maps)  # (batch, maps, frames, bins)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        x = x.transpose(1, 2).flatten(2)  # (batch, channels, steps, bins / 16) -> (batch, steps, channels * bins / 16)
        x = self.lstm(self.dropout(x), lengths)  # (batch, steps, 2 * units)
        return self.head(self.dropout(self.pool(x, lengths)))


def build(config: Config, *, frames: int, bins: int, classes: int, maps: int = 1) -> CNNLSTM:
    """The CNN-LSTM for clips of (frames, bins), the bins being those of `maps` maps side by side.

    Raises:
        ConfigError: fewer frames or bins than the pooling leaves anything of.
    """
    check_input("cnn_lstm", frames=frames, bins=bins, least_frames=LEAST_FRAMES, least_bins=maps * 2 ** len(TIME_POOLS))
    return CNNLSTM(config, bins=bins, maps=maps, classes=classes)
