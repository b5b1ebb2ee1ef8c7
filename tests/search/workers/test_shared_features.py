"""Features that all workers of a node share, on a real Ray whose object store is small."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import cloudpickle

from search.workers import shared_features as shared_stores
from search.workers.shared_features import SharedStore, clear_stores, local_store_bytes, share_stores, usable_bytes
from ser_core.config import FeatureConfig
from ser_core.features.store import FeatureStore
from ser_core.targets import Emotions

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find tests by their names
MB = 2**20
OBJECT_STORE_BYTES = 80 * MB

pytestmark = pytest.mark.usefixtures("ray_here")


def make_store(megabytes: int) -> FeatureStore:
    """Clips of 1 to 3 KiB frames; every value of a clip is its number."""
    lengths = 1 + np.arange(megabytes * 512) % 3
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    clips = len(lengths)
    return FeatureStore(
        frames=np.repeat(np.arange(clips, dtype=np.float32), lengths)[:, None] * np.ones(256, np.float32),
        offsets=offsets,
        truth=np.arange(clips) % 8,
        clip_ids=tuple(f"clip-{row}" for row in range(clips)),
        target=Emotions(tuple("abcdefgh")),
        settings=FeatureConfig(),
        fingerprint="test",
    )


def anonymous_mb() -> float:
    """Memory of this process that is in no file and in no other process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return float(line.split()[1]) / 1024
    raise AssertionError("no such line")


@ray.remote(num_cpus=0)
class Reader:
    """A worker that opens a store and reads all of it."""

    def read(self, shared: SharedStore) -> dict[str, Any]:
        before = anonymous_mb()
        store = shared.open()
        total = float(store.frames.sum(dtype=np.float64))
        return {
            "process": os.getpid(),
            "grown_mb": anonymous_mb() - before,
            "writeable": store.frames.flags.writeable,
            "owns": store.frames.flags.owndata,
            "kind": type(store.frames),
            "total": total,
            "ends": [store.clip_ids[0], store.clip_ids[-1]],
            "labels": store.truth.tolist(),
            "first": store.frames[store.offsets[5]].tolist()[:2],
        }


@pytest.mark.parametrize(
    ("megabytes", "where"),
    [
        pytest.param(32, "in Ray's object store: one copy per node", id="object-store"),
        pytest.param(96, "memory-mapped from", id="mapped"),
    ],
)
def test_all_workers_of_a_node_read_the_same_memory(megabytes: int, where: str, tmp_path: Path) -> None:
    store, log = make_store(megabytes), list[str]()
    rows = np.arange(1, len(store.clip_ids))  # all but a test clip
    [shared] = share_stores({"key": store}, rows, tmp_path, log.append).values()
    assert len(log) == 1
    assert where in log[0]
    assert bool(shared.frames) == (where == "memory-mapped from")
    readers = [Reader.remote() for _ in range(2)]
    found = ray.get([reader.read.remote(shared) for reader in readers])
    assert len({each["process"] for each in found}) == 2
    for each in found:
        assert each["grown_mb"] < megabytes / 4
        assert not each["writeable"]
        assert not each["owns"]
        assert each["kind"] is np.ndarray  # a memmap would be pickled as something else
        assert each["total"] == store.frames.sum(dtype=np.float64)  # the clip left out is all zeros
        assert each["ends"] == ["clip-1", store.clip_ids[-1]]
        assert each["labels"] == store.truth[rows].tolist()
        assert each["first"] == [6.0, 6.0]
    for reader in readers:
        ray.kill(reader)


def test_what_is_mapped_is_written_once_and_deleted_at_the_end(tmp_path: Path) -> None:
    store = make_store(80)
    rows = np.arange(0, len(store.clip_ids), 2)
    log = list[str]()
    small = share_stores({"key": store}, rows[:100], tmp_path, log.append)["key"]
    assert not small.frames  # few rows of a large store fit
    assert share_stores({"key": store}, rows[:100], tmp_path, log.append, runs=1_000)["key"].frames  # not so often
    clear_stores(tmp_path)
    all_rows = np.arange(len(store.clip_ids))
    first = share_stores({"key": store}, all_rows, tmp_path, log.append)["key"]
    written = os.stat(first.frames)
    again = share_stores({"key": store}, all_rows, tmp_path, log.append)["key"]
    assert os.stat(again.frames).st_mtime_ns == written.st_mtime_ns
    assert "80 MiB of features are more than the 64 MiB that the smallest object store" in log[-1]
    other = share_stores({"key": store}, all_rows[1:], tmp_path, log.append)["key"]
    assert other.frames != first.frames
    assert not (other.open().frames == 0).any()  # the clip that was left out is in no file of the workers
    clear_stores(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_store_that_is_made_here_leaves_memory_for_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(32)
    stores, rows = {"key": store}, np.arange(len(store.clip_ids))
    assert local_store_bytes(stores, rows) == int(store.frames.nbytes / 0.8) + shared_stores.SPARE_BYTES
    monkeypatch.setattr(ray._private.utils, "estimate_available_memory", lambda: 700 * MB)
    assert local_store_bytes(stores, rows) == 280 * MB
    monkeypatch.setattr(ray._private.utils, "estimate_available_memory", lambda: 0)
    assert local_store_bytes(stores, rows) == shared_stores.SPARE_BYTES


def test_the_smallest_node_decides() -> None:
    nodes = [{"object_store_memory": 100.0}, {"object_store_memory": 50.0}]
    assert usable_bytes(nodes) == 40
    assert usable_bytes([*nodes, {"CPU": 1.0}]) == 0
    assert usable_bytes([]) == 0
