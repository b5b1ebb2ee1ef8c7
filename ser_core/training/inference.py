"""Logits of a model, with or without gradients, in the precision that pays on the device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ser_core.features.device_clips import DeviceClips

EVALUATION_BATCH = 64
"""Clips at a time without gradients; bounds the memory of large models."""


def resolve_precision(setting: str, preferred: str, device: torch.device) -> str:
    """`setting` itself, or for "auto" what the architecture prefers where the hardware computes in it, else fp32."""
    if setting != "auto":
        return setting
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return preferred if native else "fp32"


def logits_of(model: nn.Module, features: Tensor, lengths: Tensor, precision: str) -> Tensor:
    """(batch, frames, bins), (batch,) -> (batch, classes) float32; `precision` is "fp32" or "bf16"."""
    with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        return model(features, lengths).float()


@torch.inference_mode()
def evaluate(model: nn.Module, clips: DeviceClips, rows: Tensor, precision: str) -> Tensor:
    """Logits (rows, classes) of the clips `rows` (rows,) in evaluation mode, crops where `clips` puts them."""
    model.eval()
    return torch.cat([logits_of(model, *clips.batch(batch), precision) for batch in rows.split(EVALUATION_BATCH)])
