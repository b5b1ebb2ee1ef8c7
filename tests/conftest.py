"""What all tests share: real speech where the environment names it, seeds, one thread, no network."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch and transformers are imported, and inherited by Ray's workers. One thread per process: tests run real
# searches with several workers on few cores.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import numpy as np
import pytest
import torch
from hypothesis import settings

if TYPE_CHECKING:
    from transformers import Wav2Vec2Model

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def ravdess_root() -> Path:
    """The RAVDESS speech corpus, 24 actors; skips where SER_RAVDESS does not name it."""
    return _folder_from_environment("SER_RAVDESS", "the folder of the RAVDESS speech corpus")


@pytest.fixture(scope="session")
def ravdess_original_root() -> Path:
    """Some RAVDESS files as published (48 kHz); skips where SER_RAVDESS_ORIGINAL does not name them."""
    return _folder_from_environment("SER_RAVDESS_ORIGINAL", "a folder with RAVDESS files as published, at 48 kHz")


@pytest.fixture(scope="session")
def make_wav2vec2() -> Callable[..., Wav2Vec2Model]:
    """A function that saves a small wav2vec 2.0 encoder with random weights, in the format of the real ones.

    `make_wav2vec2(folder, layers=2, stable=False, seed=0)`; hidden states are 16 wide, no weight is zero. `stable`
    takes the layer norms of the large encoders.
    """

    def make(folder: Path, *, layers: int = 2, stable: bool = False, seed: int = 0) -> Wav2Vec2Model:
        from transformers import Wav2Vec2Config, Wav2Vec2Model  # only a few tests pay for the import

        torch.manual_seed(seed)
        settings = Wav2Vec2Config(
            hidden_size=16,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=(8,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            do_stable_layer_norm=stable,
            feat_extract_norm="layer" if stable else "group",
        )
        model = Wav2Vec2Model(settings).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(0, 0.1)
        model.save_pretrained(folder)
        return model

    return make


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Every test starts from the same global random state, alone or in any order."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (libraries under test draw from it)
    torch.manual_seed(0)


def _folder_from_environment(variable: str, meaning: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it names {meaning}")
    path = Path(value)
    if not path.is_dir():
        pytest.fail(f"{variable} must name {meaning}; {value} is not a folder")
    return path
