"""Made run folders, the cache that real runs share, and disks of a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ser_core.artifact import Predictor
from ser_core.features.store import FeatureStore
from tests.search.disks import mounted
from tests.search.made_results import untrained
from tests.search.run_maker import RunMaker


@pytest.fixture
def untrained_model() -> Callable[..., tuple[Predictor, FeatureStore]]:
    """Makes a model with random weights and a store of random features: see `untrained`."""
    return untrained


@pytest.fixture
def run_maker(tmp_path: Path) -> Callable[..., RunMaker]:
    """Makes a run folder: `run_maker("name", trials=40, synthetic=True).search().finish()`."""
    return lambda name="study", **settings: RunMaker(tmp_path / name, **settings)


@pytest.fixture
def tested(run_maker: Callable[..., RunMaker]) -> Callable[..., Path]:
    """A finished run whose model has a share `skill` of the test clips right."""

    def make(name: str, skill: float, seed: int = 0, people: int = 6, seeds: int = 3, **plan: Any) -> Path:
        plan = {"model": name, "seeds": seeds, **plan}
        maker = run_maker(name, trials=6, max_epochs=6, **plan).search(fail_every=0).finish()
        return maker.predict(skill, seed=seed, speakers=people, seeds=seeds).folder

    return make


@pytest.fixture(scope="session", name="cache")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests keep corpora and features."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def thousand_trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with 1,000 ended trials of up to 50 epochs; not to be written to."""
    return RunMaker(tmp_path_factory.mktemp("thousand") / "study", max_epochs=50, trials=1000).search().folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a disk that holds so much: `small_disk("24m")` is its folder. Needs root."""
    with ExitStack() as disks:
        yield lambda size: disks.enter_context(mounted(tmp_path / "disk", "-t", "tmpfs", "-o", f"size={size}", "tmpfs"))
