"""Layers that several architectures share. All of them take clips of different lengths in one padded batch.

Padding must not change what a model says of a clip. A layer therefore zeroes the frames at and after a clip's length
before anything mixes neighbouring frames, so that a padded clip meets the same zeros as an unpadded one meets at the
edge of a convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ser_core.config import ConfigError


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """True for real frames: lengths (batch,) -> (batch, frames) bool."""
    return torch.arange(frames, device=lengths.device) < lengths.unsqueeze(1)


def check_input(architecture: str, *, frames: int, bins: int, least_frames: int, least_bins: int) -> None:
    """Refuse clips that would vanish in an architecture's strides.

    Raises:
        ConfigError: fewer frames or bins than the architecture needs.
    """
    problems = []
    if frames < least_frames:
        problems.append(
            f"{architecture} needs at least {least_frames} frames; got {frames}: raise features.clip_seconds or lower "
            "features.hop_ms"
        )
    if bins < least_bins:
        problems.append(f"{architecture} needs at least {least_bins} bins; got {bins}: raise features.n_mels or n_mfcc")
    if problems:
        raise ConfigError("\n".join(problems))


def as_maps(features: Tensor, maps: int) -> Tensor:
    """Bins that hold a map and its time derivatives side by side, as channels of one image.

    A filter then sees a band's energy and its change at once, as in M. Chen et al.: 3-D convolutional recurrent neural
    networks with attention model for speech emotion recognition. IEEE Signal Processing Letters 25 (2018), section II.

    (batch, frames, maps * bins) -> (batch, maps, frames, bins).
    """
    return features.unflatten(2, (maps, -1)).transpose(1, 2)


class ConvBlock(nn.Module):
    """3x3 convolution, max pooling, batch norm, ReLU over a map of (batch, channels, frames, bins).

    Pooling stands before batch norm and ReLU: they then touch a quarter of the values, which on a CPU is most of a
    small network's time.

    In evaluation, padding leaves a clip's output as it is (pooling drops a last incomplete window; a clip shorter than
    one window keeps one frame). In training, batch statistics are taken over the whole map, padding included.
    """

    def __init__(self, inputs: int, outputs: int, *, time_pool: int, bin_pool: int) -> None:
        super().__init__()
        self.time_pool = time_pool
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
        self.pool = nn.MaxPool2d((time_pool, bin_pool))
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, frames, bins) -> (batch, outputs, frames / time_pool, bins / bin_pool), lengths."""
        x = torch.relu(self.norm(self.pool(self.conv(x))))
        lengths = (lengths // self.time_pool).clamp(min=1)
        mask = frame_mask(lengths, x.shape[2])
        return x * mask[:, None, :, None].to(x.dtype), lengths


class AttentionPool(nn.Module):
    """Weighted mean over time, weights from a learned score per frame (Zhou et al. 2016, ACL, section 3.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # A bias would shift all scores alike, and softmax would undo it.
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, width), (batch,) -> (batch, width)."""
        return torch.einsum("bt,btw->bw", self.weights(x, lengths).to(x.dtype), x)

    def weights(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Share of each frame in the mean: (batch, frames, width), (batch,) -> (batch, frames), 0 in padding."""
        scores = self.score(torch.tanh(x)).squeeze(-1).float()  # (batch, frames)
        return scores.masked_fill(~frame_mask(lengths, x.shape[1]), -torch.inf).softmax(dim=1)


class LayerSum(nn.Module):
    """Weighted sum of layers with weights from a softmax, uniform at the start (Yang et al. 2021, section 2.2)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, layers, …) -> (batch, …)."""
        return torch.einsum("l,bl...->b...", self.scores.softmax(dim=0), x)


class BiRecurrent(nn.Module):
    """One bidirectional LSTM or GRU layer for padded batches: (batch, frames, inputs) -> (batch, frames, 2 * units).

    The backward direction reads each clip from its own last frame. Two one-way layers and a gather do what packed
    sequences do, but need no lengths on the host, so a GPU never waits, and `torch.export` can follow.
    """

    def __init__(self, inputs: int, units: int, *, cell: str = "lstm") -> None:
        super().__init__()
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        self.ahead = layer(inputs, units, batch_first=True)
        self.back = layer(inputs, units, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, inputs), (batch,) -> (batch, frames, 2 * units); frames past the length hold no meaning."""
        if x.is_cuda:
            # Under autocast, to bf16 too, PyTorch runs cuDNN's recurrent layers in fp16 (AutocastRNN.cpp), whose small
            # gradients vanish where nothing scales the loss.
            with torch.autocast("cuda", enabled=False):
                return self._both_ways(x.float(), lengths)
        return self._both_ways(x, lengths)

    def _both_ways(self, x: Tensor, lengths: Tensor) -> Tensor:
        steps = torch.arange(x.shape[1], device=x.device)
        # Reverses the first `length` frames and leaves the padding in place; its own inverse.
        order = torch.where(steps < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - steps, steps)  # (batch, frames)
        back, _ = self.back(_reorder(x, order))
        ahead, _ = self.ahead(x)
        return torch.cat([ahead, _reorder(back, order)], dim=-1)


def _reorder(x: Tensor, order: Tensor) -> Tensor:
    """Frames of (batch, frames, width) in another order (batch, frames) per clip."""
    return x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
