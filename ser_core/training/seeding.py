"""Random draws that depend on a seed and an epoch alone, and leave the process's random state as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Torch's global generators seeded by (seed, epoch), put back afterwards; epoch 0 is the drawing of weights.

    The generators are the global ones because dropout knows no other. As an epoch's draws follow from its number,
    a checkpoint needs no random state.
    """
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(mixed)
        for forked in devices:
            with torch.cuda.device(forked):
                torch.cuda.manual_seed(mixed)
        yield
