"""A recurrent network over log-mel frames, averaged over time: about the least that an architecture needs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ser_core.config import field_problems, raise_problems, setting

CITATION = "Cho et al.: Learning phrase representations using RNN encoder-decoder. EMNLP 2014."
PRECISION = "fp32"
CHANNELS_LAST = False
DEFAULTS = {"features.kind": "log_mel", "features.hop_ms": 20.0, "optim.learning_rate": 3e-3}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the network: with `setting`, each can be fixed with --set and searched with --space."""

    units: int = setting(32, "units of the recurrent layer", low=1, high=1024)
    dropout: float = setting(0.2, "share of units dropped before the classifier", low=0, high=0.9)

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


class MeanGRU(nn.Module):
    """A GRU, the mean of its outputs over the frames that are no padding, a linear classifier."""

    def __init__(self, config: Config, *, bins: int, classes: int) -> None:
        super().__init__()
        self.gru = nn.GRU(bins, config.units, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.units, classes)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,) frames before padding -> logits (batch, classes)."""
        outputs, _ = self.gru(features)  # (batch, frames, units)
        frames = torch.arange(outputs.shape[1], device=lengths.device)
        heard = (frames < lengths[:, None]).unsqueeze(-1)  # (batch, frames, 1)
        mean = (outputs * heard).sum(dim=1) / lengths[:, None].to(outputs.dtype)  # (batch, units)
        return self.head(self.dropout(mean))


def build(config: Config, *, frames: int, bins: int, classes: int) -> MeanGRU:
    """The network for clips of (frames, bins)."""
    return MeanGRU(config, bins=bins, classes=classes)
