"""The precision that training computes in: chosen by device and architecture, and checked before it is trusted.

Reduced precision pays only where the hardware computes in it, and some kernels compute it wrongly: bfloat16
convolutions whose output is one patch wide give garbage or NaN on CPUs with AMX (PyTorch 2.11).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

TOLERANCE = 0.1
"""Largest error of bf16 that counts as rounding: root mean square of the difference from fp32, over that of fp32.

Rounding in emulated bf16 gave at most 0.02 over the logits of any architecture with its first weights, and 0.01 within
a layer; a kernel that computes something else gives about 1.
"""


def resolve_precision(setting: str, preferred: str, device: torch.device) -> str:
    """`setting` itself, or for "auto" what the architecture prefers where the hardware computes in it, else fp32."""
    if setting != "auto":
        return setting
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return preferred if native else "fp32"


def machine_of(device: torch.device) -> str:
    """What decides how bf16 is computed: on another machine it has to be checked anew."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    known = torch.cpu.get_capabilities()
    return f"cpu {' '.join(sorted(name for name in known if known[name] is True))}, torch {torch.__version__}"


def logits_of(model: nn.Module, features: Tensor, lengths: Tensor, precision: str) -> Tensor:
    """(batch, frames, bins), (batch,) -> (batch, classes) float32; `precision` is "fp32" or "bf16"."""
    with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        return model(features, lengths).float()


@torch.inference_mode()
def bf16_fault(model: nn.Module, features: Tensor, lengths: Tensor) -> str:
    """What bf16 computes wrongly in `model` for one batch, as one clause; "" where it differs by rounding alone.

    Every layer with weights is compared with itself in fp32 on the same input, since the logits of first weights hardly
    depend on the clip and would hide a broken layer; the logits are compared too, for all that is no layer. Gradients
    are not compared: where they are not finite, the trial ends as diverged.

    Args:
        features: (batch, frames, bins).
        lengths: (batch,) frames before padding.
    """
    training = model.training
    model.eval()  # neither dropout nor the statistics of batch norms
    try:
        with _faults_of_layers(model) as faults:
            reduced = logits_of(model, features, lengths, "bf16")
        if not faults and (fault := _fault(reduced, logits_of(model, features, lengths, "fp32"))):
            faults.append(f"the output {fault}")
    finally:
        model.train(training)
    return faults[0] if faults else ""


@contextmanager
def _faults_of_layers(model: nn.Module) -> Iterator[list[str]]:
    """Collects what layers compute wrongly in bf16, in the order of their calls."""
    faults: list[str] = []

    def compare(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        if not (isinstance(output, Tensor) and output.dtype == torch.bfloat16):
            return  # the layer left autocast
        with torch.autocast(output.device.type, enabled=False):
            # Not the call, which would come here again.
            expected = layer.forward(*(value.float() if value.is_floating_point() else value for value in inputs))
        if fault := _fault(output.float(), expected):
            faults.append(f"layer {name} {fault}")

    handles = [
        layer.register_forward_hook(lambda *call, name=name: compare(name, *call))
        for name, layer in model.named_modules()
        if list(layer.parameters()) and not list(layer.children())
    ]
    try:
        yield faults
    finally:
        for handle in handles:
            handle.remove()


def _fault(reduced: Tensor, expected: Tensor) -> str:
    """How a tensor of bf16 differs from the one of fp32, "" for rounding, or where fp32 is not finite either."""
    if not torch.isfinite(expected).all():
        return ""  # no fault of bf16's: training will report it
    if not torch.isfinite(reduced).all():
        return "gives values that are not finite"
    scale = expected.square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    error = ((reduced - expected).square().mean().sqrt() / scale).item()
    return f"is off by {100 * error:.0f} %" if error > TOLERANCE else ""
