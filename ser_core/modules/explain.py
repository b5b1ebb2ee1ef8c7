"""Where a model looks: a map over the features of every clip, (frames, bins), in [0, 1].

    maps = explain(model, features, lengths, targets)

The method is the architecture's choice: its module has an attribute `explained_by` that holds one of the methods below.
A module without one is explained by `GradientInput`, which asks nothing of it.

A map says what moves the score of one class in this one model. It does not say that the model is right, nor what a
listener would hear, and maps of different methods cannot be compared with one another (Adebayo et al. 2018, "Sanity
checks for saliency maps", NeurIPS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_core.modules.layers import AttentionPool, frame_mask


class Method(Protocol):
    """How the modules of an architecture are explained.

    Attributes:
        name: as figures print it. source: the paper.
        of_class: True when a map belongs to one class, False when it would be the same for every class.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    of_class: ClassVar[bool]

    def maps(self, model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """See `explain`; values are at least 0, of any scale."""


def explained_by(model: nn.Module) -> Method:
    """The method that the module names, else `GradientInput`."""
    method: Method = getattr(model, "explained_by", GradientInput())
    return method


def explain(model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    """What part of its input moves the model's score of a class, in evaluation mode; the model is left as it was.

    Args:
        features: (batch, frames, bins), zero from `lengths` on.
        lengths: (batch,) frames before padding.
        targets: (batch,) int64, the class to explain for each clip.

    Returns:
        (batch, frames, bins) float32 in [0, 1]; the largest value of a clip is 1, or 0 where nothing speaks for its
        class.
    """
    training = model.training
    try:
        # cuDNN has no gradient of a recurrent layer in evaluation mode.
        with torch.backends.cudnn.flags(enabled=False):
            maps = explained_by(model).maps(model.eval(), features.detach(), lengths, targets).detach().float()
    finally:
        model.train(training)
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class GradientInput:
    """The size of gradient times input, for any module: a first-order account of what each value adds to the score."""

    name: ClassVar = "Gradient × input"
    source: ClassVar = "Shrikumar et al. 2016, Not just a black box, arXiv 1605.01713"
    of_class: ClassVar = True

    def maps(self, model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,), (batch,) -> (batch, frames, bins)."""
        with torch.enable_grad():
            features = features.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(_scores(model, features, lengths, targets).sum(), features)
        return (gradient * features).abs()


@dataclass(frozen=True)
class Occlusion:
    """How much the score falls when a value of a clip's vector is set to its mean: for modules without gradients.

    Values that a module does not use move nothing. A rise of the score counts as a fall does.
    """

    name: ClassVar = "Occlusion"
    source: ClassVar = "Zeiler & Fergus 2014, Visualizing and understanding convolutional networks, ECCV"
    of_class: ClassVar = True

    def maps(self, model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """(batch, 1, bins), (batch,), (batch,) -> (batch, 1, bins); of longer clips it would take too long."""
        bins = features.shape[2]
        maps = torch.empty_like(features)
        with torch.no_grad():
            whole = _scores(model, features, lengths, targets)  # (batch,)
            for clip in range(len(features)):
                hidden = features[clip].expand(bins, -1) * (1 - torch.eye(bins, device=features.device))
                each = (hidden.unsqueeze(1), lengths[clip].expand(bins), targets[clip].expand(bins))
                maps[clip, 0] = (whole[clip] - _scores(model, *each)).abs()
        return maps


@dataclass(frozen=True)
class GradCam:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2), enlarged from the layer's cells to the input.

    For a network that ends in a mean over its last feature maps and a linear classifier, that layer's Grad-CAM is the
    class activation map (Zhou et al. 2016).

    Attributes:
        layer: dotted name of the module whose output is explained: feature maps, or a tuple that begins with them.
        stacked: maps of equal size, side by side along the input's bins, that the model sees as channels: each gets the
            same cells.
        bins_first: True for maps of (batch, channels, bins, frames), False for (batch, channels, frames, bins).
    """

    layer: str
    stacked: int = 1
    bins_first: bool = False
    name: ClassVar = "Grad-CAM"
    source: ClassVar = "Selvaraju et al. 2017, Grad-CAM, ICCV"
    of_class: ClassVar = True

    def maps(self, model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,), (batch,) -> (batch, frames, bins); zero in padding."""
        with torch.enable_grad(), _observed(model.get_submodule(self.layer)) as calls:
            # Of an input that asks for gradients, so that there is a graph even where all weights are frozen.
            score = _scores(model, features.clone().requires_grad_(), lengths, targets).sum()
            _, output = calls[0]
            activations = output[0] if isinstance(output, tuple) else output  # (batch, channels, cells, cells)
            (gradient,) = torch.autograd.grad(score, activations)
        weights = gradient.mean(dim=(2, 3), keepdim=True)  # (batch, channels, 1, 1)
        cells = (weights * activations).sum(dim=1, keepdim=True).relu()  # (batch, 1, cells, cells)
        if self.bins_first:
            cells = cells.transpose(2, 3)
        size = features.shape[1], features.shape[2] // self.stacked
        maps = F.interpolate(cells.detach().float(), size=size, mode="bilinear").squeeze(1).repeat(1, 1, self.stacked)
        return maps * frame_mask(lengths, features.shape[1]).unsqueeze(-1)


@dataclass(frozen=True)
class AttentionRollout:
    """How much of every patch reaches a vision transformer's first tokens (Abnar & Zuidema 2020, section 3).

    In each block, attention is averaged over heads and mixed half and half with the identity, which stands for the
    residual connection; the product over blocks says what each token is made of. A value of the input gets the mean of
    the patches that cover it, and 0 at edges that none reaches. Padding, to which the transformer attends, has a share.

    Attributes:
        blocks: dotted name of the blocks, each with timm's `attn`.
        tokens: leading tokens that the classifier reads; the map is their mean.
        grid: patches along bins and along frames. patch, stride: side of a patch, and the step, which is no
            longer, in bins and frames.
    """

    blocks: str
    tokens: int
    grid: tuple[int, int]
    patch: int
    stride: int
    name: ClassVar = "Attention roll-out"
    source: ClassVar = "Abnar & Zuidema 2020, Quantifying attention flow in transformers, ACL"
    of_class: ClassVar = False

    def maps(self, model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,), (batch,) -> (batch, frames, bins)."""
        attentions = _attentions(model.get_submodule(self.blocks), lambda: model(features, lengths))
        rolled = rollout(attentions)[:, : self.tokens, self.tokens :].mean(dim=1)  # (batch, patches)
        return self._over_input(rolled, features.shape[2], features.shape[1]).transpose(1, 2)

    def _over_input(self, patches: Tensor, bins: int, frames: int) -> Tensor:
        """(batch, patches), row by row of the grid -> (batch, bins, frames)."""
        rows, columns = self.grid
        covered = (self.stride * (rows - 1) + self.patch, self.stride * (columns - 1) + self.patch)
        spread = patches.unsqueeze(1).expand(-1, self.patch**2, -1)  # (batch, values of a patch, patches)
        total, times = (
            F.fold(values, covered, kernel_size=self.patch, stride=self.stride).squeeze(1)
            for values in (spread, torch.ones_like(spread))
        )
        return F.pad(total / times, (0, frames - covered[1], 0, bins - covered[0]))


@dataclass(frozen=True)
class FrameAttention:
    """The weights of an `AttentionPool`, one per frame, the same for all bins.

    They weigh frames that a recurrent layer has mixed, so a peak lies near what matters rather than on it.

    Attributes:
        layer: dotted name of the pool; it must see one step per frame.
    """

    layer: str
    name: ClassVar = "Attention weights over time"
    source: ClassVar = "Zhou et al. 2016, Attention-based bidirectional LSTM, ACL"
    of_class: ClassVar = False

    def maps(self, model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """(batch, frames, bins), (batch,), (batch,) -> (batch, frames, bins); zero in padding."""
        pool = model.get_submodule(self.layer)
        if not isinstance(pool, AttentionPool):
            raise TypeError(f"FrameAttention needs an AttentionPool; {self.layer} is a {type(pool).__name__}")
        with torch.no_grad(), _observed(pool) as calls:
            model(features, lengths)
            inputs, _ = calls[0]
            return pool.weights(*inputs).unsqueeze(-1).expand_as(features)


def rollout(attentions: list[Tensor]) -> Tensor:
    """Attention of every block, (batch, tokens, tokens) from first to last -> their roll-out of the same shape.

    Each row, the shares of all input tokens in one output token, sums to 1 as those of the attentions do.
    """
    rolled = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    for attention in attentions:
        rolled = 0.5 * (attention @ rolled + rolled)
    return rolled


def _attentions(blocks: nn.Module, run: Callable[[], Any]) -> list[Tensor]:
    """Attention of every block while `run` is called, averaged over heads: (batch, tokens, tokens) each.

    Fused kernels never hold the attention, so they are switched off meanwhile.
    """
    layers: list[Any] = [block.attn for block in blocks.children()]
    fused = [layer.fused_attn for layer in layers]
    means: list[Tensor] = []
    with torch.no_grad(), ExitStack() as hooks:
        for layer in layers:
            layer.fused_attn = False
            # The attention passes the dropout, which leaves it as it is in evaluation mode.
            handle = layer.attn_drop.register_forward_hook(lambda *call: means.append(call[-1].float().mean(dim=1)))
            hooks.callback(handle.remove)
        try:
            run()
        finally:
            for layer, value in zip(layers, fused, strict=True):
                layer.fused_attn = value
    return means


def _scores(model: nn.Module, features: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    """Logit of each clip's own target class: (batch,)."""
    logits: Tensor = model(features, lengths)  # (batch, classes)
    return logits.gather(1, targets.unsqueeze(1)).squeeze(1)


@contextmanager
def _observed(layer: nn.Module) -> Iterator[list[tuple[Any, Any]]]:
    """Collects (inputs, output) of every call of a layer."""
    calls: list[tuple[Any, Any]] = []
    handle = layer.register_forward_hook(lambda _layer, inputs, output: calls.append((inputs, output)))
    try:
        yield calls
    finally:
        handle.remove()
