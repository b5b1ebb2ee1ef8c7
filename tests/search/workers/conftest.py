"""Ray for the tests of a module, and an architecture that fails on demand."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ser_core.models
from search.workers.ray_session import ray_session
from ser_core.architectures import architecture

OBJECT_STORE_BYTES = 256 * 2**20


@pytest.fixture(scope="module")
def ray_here(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ray on this machine; its object store has the module's OBJECT_STORE_BYTES, where the module has them."""
    with ray_session(None, object_store_bytes=getattr(request.module, "OBJECT_STORE_BYTES", OBJECT_STORE_BYTES)):
        yield


@pytest.fixture
def saboteur(tmp_path: Path) -> Iterator[Any]:
    """The architecture of `saboteur.py`, found by its folder as every other is."""
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(Path(__file__).parent / "saboteur.py", folder)
    ser_core.models.__path__.append(str(folder))
    yield architecture("saboteur")
    ser_core.models.__path__.remove(str(folder))
    del sys.modules["ser_core.models.saboteur"]
