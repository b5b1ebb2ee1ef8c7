"""An architecture that trains like a small perceptron until it fails in the way that its settings say."""

import weakref
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ser_core.config import field_problems, raise_problems, setting
from ser_core.models.mlp import DEFAULTS  # noqa: F401 (every architecture has them)

CITATION = "none"
PRECISION = "fp32"
CHANNELS_LAST = False
ALIVE = weakref.WeakSet()


@dataclass(frozen=True, kw_only=True)
class Config:
    how: str = setting("never", "what goes wrong")
    batch: int = setting(10, "in which training batch; 0 while it is built", low=0)

    def __post_init__(self):
        raise_problems(field_problems(self, "model"))


def fail(how, logits):
    if how == "NaN":
        return logits * float("nan")
    if how == "infinity":
        return logits * float("inf")
    if how == "host memory":
        raise MemoryError
    if how == "numpy":
        np.empty(10**14)
    if how == "Torch on the CPU":
        torch.empty(10**14)
    if how == "Torch on CUDA":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    if how == "CUDA's text":
        raise RuntimeError("CUDA error: out of memory")
    if how == "cuDNN":
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
    if how == "cuBLAS":
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    if how == "the system":
        raise OSError(12, "Cannot allocate memory")
    if how == "a cycle":
        try:
            raise ValueError("no such\nthing")
        except ValueError as error:
            kept = error  # noqa: F841 (its traceback holds this frame, which holds it)
            raise
    return logits


class Saboteur(nn.Module):
    def __init__(self, config, bins, classes):
        super().__init__()
        self.config, self.batches = config, 0
        self.layers = nn.Sequential(nn.Linear(bins, 16), nn.ReLU(), nn.Linear(16, classes))
        ALIVE.add(self)
        if config.batch == 0:
            fail(config.how, None)

    def forward(self, features, lengths):
        logits = self.layers(features.squeeze(1))
        self.batches += self.training
        return fail(self.config.how, logits) if self.batches == self.config.batch else logits


def build(config, *, frames, bins, classes):
    return Saboteur(config, bins, classes)
