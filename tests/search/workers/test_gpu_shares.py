"""What a trial needs of a GPU, measured on one; without one, that it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from search.workers.context import WorkerContext
from search.workers.gpu_shares import hold_to_share, is_out_of_memory, measure, measured_config, peak_bytes
from ser_core.architectures import build_model, default_config
from ser_core.features.transforms import clip_frames, settings_key
from spaces import space_for
from tests.search.workers.contexts import make_context, store_of

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")
CLIPS = 400
MODEL = "shallow_cnn"


def cuda_context(folder: Path) -> WorkerContext:
    features, labels = default_config(MODEL).features, np.arange(CLIPS) % 2
    frames = np.random.default_rng(0).normal(
        size=(CLIPS * clip_frames(features), features.n_mels * (1 + features.deltas))
    )
    return make_context(folder, store_of(frames, labels, features), model=MODEL, device="cuda")


@needs_cuda
def test_larger_configurations_need_more_and_the_largest_needs_most(tmp_path: Path) -> None:
    context = cuda_context(tmp_path)
    small, large = (peak_bytes(context, {"model.width": 12, "optim.batch_size": size}) for size in (16, 64))
    store_bytes = context.stores[settings_key(default_config(MODEL).features)].open().frames.nbytes
    assert store_bytes < small < large < torch.cuda.mem_get_info()[1]
    found = measure(context, space_for(MODEL), {})
    assert found.typical <= found.largest
    assert found.largest >= 0.9 * peak_bytes(context, {"model.width": 32, "optim.batch_size": 64})
    assert torch.cuda.memory_allocated() < 2**20  # nothing of it stays


@needs_cuda
def test_who_exceeds_its_share_is_the_one_without_memory(tmp_path: Path) -> None:
    hold_to_share(0.01)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(0.02 * torch.cuda.mem_get_info()[1]), dtype=torch.uint8, device="cuda")
    finally:
        hold_to_share(1.0)


def test_a_process_without_a_gpu_measures_nothing(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    with pytest.raises(RuntimeError, match="sees one; give a number instead of auto"):
        measure(cuda_context(tmp_path), space_for(MODEL), {})


def test_what_is_measured_of_a_fine_tuned_encoder_trains_all_layers_that_it_will_train(
    tiny_encoder: Callable[..., Path],
) -> None:
    encoder = tiny_encoder("hubert")
    config = measured_config("finetune", {"model.pretrained": str(encoder), "model.head_epochs": 3})
    model = build_model(config, frames=4_800, bins=1, classes=2)
    model.begin_epoch(1)
    model.train()(torch.randn(2, 4_800, 1), torch.full((2,), 4_800)).sum().backward()
    tuned = [weight for weight in model.encoder.parameters() if weight.requires_grad]
    assert tuned
    assert all(weight.grad is not None for weight in tuned)


def test_what_counts_as_a_lack_of_memory() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(ValueError("out of memory"))
