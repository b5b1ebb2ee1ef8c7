"""What all tests share: real speech where the environment names it, seeds, one thread, no network."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

# Before torch and transformers are imported, and inherited by Ray's workers. One thread per process: tests run real
# searches with several workers on few cores.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import numpy as np
import pytest
import torch
from hypothesis import settings

from tests.tiny_encoders import save_tiny_encoder

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
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_encoder(family, **settings)`: the folder of a checkpoint that is only read, see `save_tiny_encoder`."""

    @cache
    def made(family: str = "wav2vec2", **settings: object) -> Path:
        folder = tmp_path_factory.mktemp(family)
        save_tiny_encoder(folder, family, **settings)  # type: ignore[arg-type]
        return folder

    return made


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
