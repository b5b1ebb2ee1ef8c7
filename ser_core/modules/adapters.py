"""Low-rank adapters in the layers of a speech encoder (Hu et al. 2022, arXiv 2106.09685), by the `peft` library."""

from __future__ import annotations

from importlib.util import find_spec
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser_core.modules.encoders import Encoder

TARGETS = ("attention", "feed_forward", "both")
"""Which linear maps of a layer are adapted."""
MISSING = "low-rank adapters need peft: pip install 'ser-search[finetune]', or fix model.tuning to layers or head"
_PLAIN = ("gru_rel_pos_linear", "linear_pos")
"""Linear maps of positions, not of the hidden state."""


def adapters_available() -> bool:
    """True where `peft` is installed."""
    return find_spec("peft") is not None


def add_adapters(encoder: Encoder, *, lowest: int, targets: str, rank: int, alpha: float, dropout: float) -> None:
    """Put adapters beside linear maps of the layers from `lowest` on, in place; all other weights are frozen.

    An adapter starts at zero, so the encoder computes what it did before.

    Args:
        targets: one of `TARGETS`.
        alpha: adapters are scaled by alpha / rank.
        dropout: share of an adapter's input that is dropped in training.
    """
    from peft import LoraConfig, inject_adapter_in_model  # seconds to import, and only this needs it

    names = [
        name
        for index, layer in enumerate(encoder.stack.layers)
        if index >= lowest
        for name in (f"layers.{index}.{part}" for part in _linear_maps(layer, targets))
    ]
    if encoder.facts.family == "wavlm":
        _attend_by_module(encoder)
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)
    inject_adapter_in_model(settings, encoder.stack)


def _linear_maps(layer: nn.Module, targets: str) -> list[str]:
    """Names of a layer's linear maps that are adapted."""
    found = []
    for name, module in layer.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith(_PLAIN):
            part = "attention" if "attn" in name or "attention" in name else "feed_forward"
            if targets in (part, "both"):
                found.append(name)
    return found


def _attend_by_module(encoder: Encoder) -> None:
    """WavLM's attention hands its weights to a function, past any adapter: let it call its linear maps instead."""
    for layer in encoder.stack.layers:
        attention = layer.attention
        attention.torch_multi_head_self_attention = MethodType(_attention, attention)


def _attention(self: Any, x: Tensor, mask: Tensor | None, bias: Tensor) -> tuple[Tensor, None]:
    """`WavLMAttention.torch_multi_head_self_attention`: (batch, frames, hidden), (batch, frames), bias (batch * heads,
    frames, frames) -> (batch, frames, hidden)."""
    batch, frames, hidden = x.shape
    query, key, value = (
        linear(x).view(batch, frames, self.num_heads, -1).transpose(1, 2)  # (batch, heads, frames, units)
        for linear in (self.q_proj, self.k_proj, self.v_proj)
    )
    added = bias.view(batch, self.num_heads, frames, frames).to(query.dtype)
    if mask is not None:
        added = added.masked_fill(~mask.bool()[:, None, None, :], torch.finfo(added.dtype).min)
    dropout = self.dropout if self.training else 0.0
    seen = F.scaled_dot_product_attention(query, key, value, attn_mask=added, dropout_p=dropout)
    return self.out_proj(seen.transpose(1, 2).reshape(batch, frames, hidden)), None
