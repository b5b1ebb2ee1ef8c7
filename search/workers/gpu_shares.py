"""How much of a GPU a trial needs, measured on the GPU itself: what `--gpus-per-trial auto` does.

Ray hands out shares of a GPU without keeping anybody inside its own. So a worker's allocator is held to its share
(`hold_to_share`), and a trial that runs out of memory there is done anew with a larger one (`_dispatch`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from search.workers.context import WorkerContext, full_config
from search.workers.placement import Node, Request, gpu_kinds, jobs_per_gpu
from ser_core.architectures import trained_from_start
from ser_core.config import Config, ConfigError
from ser_core.splits import Fold
from ser_core.training.folds import train_folds
from ser_core.training.steps import full_clips_per_step
from spaces.knobs import Choice, Float, Knob, Space, Value
from spaces.several import ARCHITECTURE, architectures_in, chosen_settings

HELD_SHARE = 0.95
"""Of its share, that a worker may allocate: CUDA itself takes some beside it."""

CONTEXT_BYTES = 600 * 2**20
"""… and this much at least, whatever the share: its context and kernels are not the allocator's."""

MEMORY_SIGNS = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed", "allocation_failed",
    "cublas_status_not_initialized", "cudnn_status_not_initialized",
)  # fmt: skip
"""What Torch's allocators, cuDNN, cuBLAS and the system say where they raise nothing more particular than RuntimeError
or OSError; in small letters. A full GPU has no room for the handle of a library either: "not initialized"."""

MEASURED_STEPS = 3
"""Optimiser steps of a measurement: the second is the first with the optimiser's state in memory."""

MEASURED_ROWS = 512
"""Validation clips of a measurement, at least a batch of them."""


@dataclass(frozen=True, kw_only=True)
class GpuMemory:
    """What a GPU of one kind has, and what trials need of it, in bytes.

    Attributes:
        total: of the GPU.
        typical, largest: at the peak, for the first configuration of the space and for the one that needs most; CUDA's
            own included. Infinite when the GPU is too small.
    """

    total: float
    typical: float
    largest: float

    def __str__(self) -> str:
        needs = (f"{need / 2**30:.1f} GiB" if math.isfinite(need) else "more" for need in (self.typical, self.largest))
        typical, largest = needs
        return f"{self.total / 2**30:.0f} GiB; a typical configuration needs {typical}, the largest {largest}"


def share_requests(
    cpus: float, measured: Mapping[str, GpuMemory], nodes: Sequence[Node], log: Callable[[str], None]
) -> list[Request]:
    """What a trial is to ask for on each kind of GPU.

    Args:
        cpus: of one trial.
        measured: by kind.
        nodes: of the cluster; no more trials are put on a GPU than the cores beside it can feed.
        log: gets a line on what was found for each kind.
    """
    requests = []
    for kind, memory in measured.items():
        beside = max(node["CPU"] / node["GPU"] for node in nodes if node.get("GPU") and kind in gpu_kinds([node]))
        count = jobs_per_gpu(memory.total, memory.typical, memory.largest, most=max(1, int(beside / cpus)))
        requests.append(Request(cpus=cpus, gpus=math.floor(1e4 / count) / 1e4, kind=kind))
        log(f"GPU {kind or 'of this machine'}: {memory}; {count} at once on each")
    return requests


def measure(context: WorkerContext, space: Space, fixed: Mapping[str, Value]) -> GpuMemory:
    """Train a few steps of several configurations on this process's GPU, of every architecture that there is.

    Raises:
        RuntimeError: no GPU here.
        Exception: whatever training the first configuration of the space raises, but for a lack of memory.
    """
    if not torch.cuda.is_available():
        raise RuntimeError(
            "a share of a GPU can be measured only where PyTorch sees one; give a number instead of auto"
        )
    choices: list[dict[str, Value]] = [{ARCHITECTURE: name} for name in architectures_in(space)] or [{}]
    needs = [_needs(context, space.fixed(choice), {**fixed, **choice}) for choice in choices]
    typical, largest = (max(own) for own in zip(*needs, strict=True))
    return GpuMemory(total=torch.cuda.mem_get_info()[1], typical=typical, largest=largest)


def _needs(context: WorkerContext, space: Space, fixed: Mapping[str, Value]) -> tuple[float, float]:
    """Bytes that the first configuration of a space needs, and the one that needs most."""
    typical: dict[str, Value] = dict(space.first[0]) if space.first else {}

    def peak(params: Mapping[str, Value]) -> float:
        return peak_bytes(context, chosen_settings({**fixed, **params}))

    first = peak(typical)
    return first, largest_configuration(space, typical, first, peak)[1]


def largest_configuration(
    space: Space, typical: Mapping[str, Value], first: float, peak: Callable[[Mapping[str, Value]], float]
) -> tuple[dict[str, Value], float]:
    """The configuration that needs most memory, found knob by knob: each takes its dearest value and keeps it.

    Exact where knobs add up or multiply. Knobs with real values are left alone: rates and probabilities change no
    tensor's size.

    Args:
        typical: where it begins. first: what that needs.
        peak: bytes that a configuration needs; raises `ConfigError` for one that cannot be.
    """
    largest, most = dict(typical), first
    for name, knob in space.knobs.items():
        if isinstance(knob, Float):
            continue
        for value in _ends(knob):
            candidate = {**largest, name: value}
            if value == largest.get(name) or not space.active(name, candidate):
                continue
            try:
                needed = peak(candidate)
            except ConfigError:
                continue
            if needed > most:
                largest, most = candidate, needed
    return largest, most


def _ends(knob: Knob) -> Sequence[Value]:
    return knob.values if isinstance(knob, Choice) else (knob.low, knob.high)


def measured_config(model: str, params: Mapping[str, Value]) -> Config:
    """The configuration of an epoch that needs as much memory as any of a trial with these settings."""
    return trained_from_start(full_config(model, {**params, "optim.epochs": 1}))


def peak_bytes(context: WorkerContext, params: Mapping[str, Value]) -> float:
    """Memory of this GPU at the peak of training and validating, CUDA's own included; infinite when it is too small."""
    config = measured_config(context.model, params)
    store = context.open_store(config.features)
    rows = MEASURED_STEPS * full_clips_per_step(config)
    folds = [
        Fold(fit=_some(fold.fit, rows), evaluate=_some(fold.evaluate, MEASURED_ROWS))
        for fold in context.folds["search"]
    ]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        run = train_folds(config, folds, store, device=context.device)
        try:
            next(run)
        finally:
            run.close()
        free, total = torch.cuda.mem_get_info()
        beside = total - free - torch.cuda.memory_reserved()  # CUDA's context and kernels
        return float(torch.cuda.max_memory_reserved() + beside)
    except Exception as error:
        if is_out_of_memory(error):
            return math.inf
        raise
    finally:
        torch.cuda.empty_cache()


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """Up to so many of the rows, evenly from all of them, so that every class is among them."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)] if len(rows) else rows


def hold_to_share(share: float) -> None:
    """Keep this process's allocator inside its share of the GPU, so that it is the one that runs out of memory."""
    if share > 0 and torch.cuda.is_available():  # a worker without a GPU may see one, and must not open a context on it
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(allocator_share(share, total))


def allocator_share(share: float, total: float) -> float:
    """The part of a GPU with `total` bytes that the allocator of a worker with that share may take: all of a whole one.

    CUDA's own needs come off; of a share so small that half of it is not left, half stays.
    """
    if share >= 1:
        return 1.0
    return max(min(HELD_SHARE * share, share - CONTEXT_BYTES / total), share / 2)


def is_out_of_memory(error: Exception) -> bool:
    """True for a lack of memory, on the GPU or the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(sign in str(error).lower() for sign in MEMORY_SIGNS)
