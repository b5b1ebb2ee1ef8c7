"""Small corpora on disk, and what is needed to break them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_core.clips import Manifest
from ser_core.corpora import load_corpus

WriteAudio = Callable[..., Path]
Load = Callable[..., Manifest]


@pytest.fixture
def write_audio() -> WriteAudio:
    """Writes 0.2 s of noise, different for every path, making folders on the way."""

    def write(path: Path, *, rate_hz: int = 16_000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(list(path.name.encode())).normal(0, 0.1, (rate_hz // 5, channels))
        soundfile.write(path, noise, rate_hz, subtype="PCM_16")
        return path

    return write


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load_corpus` with a cache folder of the test's own and defaults."""

    def load(where: Path | str, *, skip_bad: bool = False, classes: str | None = None) -> Manifest:
        return load_corpus(str(where), skip_bad=skip_bad, classes=classes, cache_dir=tmp_path / "cache")

    return load
