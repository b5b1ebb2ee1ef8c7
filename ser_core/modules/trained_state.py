"""The state of a module without what is frozen: what a checkpoint and a model folder keep of a fine-tuned encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor, nn


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """`module.state_dict()` without the parameters that need no gradient; of most modules, all of it."""
    frozen = _frozen(module)
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def load_trained_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set what `trained_state` gave; what is frozen stays as it is.

    Raises:
        RuntimeError: names or shapes that differ.
    """
    result = module.load_state_dict(dict(state), strict=False)
    missing = sorted(set(result.missing_keys) - _frozen(module))
    if missing or result.unexpected_keys:
        raise RuntimeError(f"the state lacks {missing[:3]} and has {result.unexpected_keys[:3]} beyond the module")


def frozen_sha256(module: nn.Module) -> str:
    """What tells the frozen weights of a module from all others; "" of one that has none."""
    frozen = sorted((name, value) for name, value in module.named_parameters() if not value.requires_grad)
    digest = hashlib.sha256()
    for name, value in frozen:
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest() if frozen else ""


def _frozen(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
