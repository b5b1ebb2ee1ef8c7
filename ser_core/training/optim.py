"""Optimiser, its state by name, the learning rate as a pure function of the step, when training ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser_core.config import OptimConfig

_KINDS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


def learning_rate(step: int, total_steps: int, settings: OptimConfig) -> float:
    """Learning rate of a step, counted from 0, of the `total_steps` that the full budget has.

    Pinned to the full budget: a run that ends early saw the same rates as one that goes on. `onecycle` climbs linearly
    over the first `warmup_fraction` of the steps and then falls to zero along a cosine (Smith & Topin 2018; cosine:
    Loshchilov & Hutter 2017, equation 5); `cosine` only falls; `constant` stays at the peak.
    """
    peak = settings.learning_rate
    if settings.schedule == "constant":
        return peak
    warmup = round(settings.warmup_fraction * total_steps) if settings.schedule == "onecycle" else 0
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))


@runtime_checkable
class ScalesRates(Protocol):
    """A model whose parts learn at different rates."""

    def learning_rate_scale(self, name: str) -> float:
        """Learning rate of the parameter of this name, as a share of `optim.learning_rate`."""


def build_optimizer(model: nn.Module, settings: OptimConfig) -> torch.optim.Optimizer:
    """Adam or AdamW over the parameters that can be trained; vectors (biases, norms) do not decay.

    Each group has a `scale`, its learning rate as a share of that of the step: 1, or what the model's
    `learning_rate_scale` says of a parameter.
    """
    scaled: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = model.learning_rate_scale(name) if isinstance(model, ScalesRates) else 1.0
            scaled.setdefault(scale, []).append(parameter)
    groups: list[dict[str, Any]] = []
    for scale, trainable in scaled.items():
        matrices, vectors = [p for p in trainable if p.ndim > 1], [p for p in trainable if p.ndim <= 1]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, "scale": scale})
        groups.append({"params": vectors, "weight_decay": 0.0, "scale": scale})
    groups = groups or [{"params": [], "weight_decay": 0.0, "scale": 1.0}]  # of a model that fits itself
    # One fused kernel a step instead of a dozen per parameter, which small models on a CPU spend most of a step on.
    return _KINDS[settings.optimizer](groups, lr=settings.learning_rate, fused=True)


def average_of(model: nn.Module, decay: float) -> AveragedModel | None:
    """The exponential moving average of a model's weights and of what its batch norms have seen; None for decay 0.

    It begins with the weights after the first step.
    """
    if decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as tensors by "<index of the parameter>.<name>"."""
    states = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the state that `optimizer_tensors` gave; each tensor takes the memory layout of its parameter, as it had."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        alike = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        states.setdefault(int(index), {})[name] = alike.detach()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})


def training_ends(optim: OptimConfig, epochs: int, best_epoch: int) -> bool:
    """True after `epochs` when the budget is spent, or when the best epoch (0: none) is too long ago."""
    waited = epochs - best_epoch if best_epoch else 0
    return epochs >= optim.epochs or 0 < optim.early_stop_epochs <= waited
