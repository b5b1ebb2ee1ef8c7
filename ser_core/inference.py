"""Logits of a model without gradients, in float32: what validation, prediction and the exported graph share."""

from __future__ import annotations

from contextlib import closing

import torch
from torch import Tensor, nn

from ser_core.features.device_clips import DeviceClips, Wanted

EVALUATION_BATCH = 64
"""Clips at a time without gradients; bounds the memory of large models."""


@torch.inference_mode()
def evaluate(model: nn.Module, clips: DeviceClips, rows: Tensor) -> Tensor:
    """Logits (rows, classes) of the clips `rows` (rows,) in evaluation mode, crops where `clips` puts them.

    Always in float32, whatever the model trained in: a score belongs to the numbers that the saved model gives, on any
    device.
    """
    model.eval()
    with closing(clips.batches([Wanted(batch) for batch in rows.split(EVALUATION_BATCH)])) as batches:
        return torch.cat([model(*batch).float() for batch in batches])
