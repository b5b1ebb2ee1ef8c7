"""Features that all workers of a node share, on a real Ray whose object store is small."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import cloudpickle

from search.workers import shared_features as shared_stores
from search.workers.shared_features import (
    CommonFeatures,
    SharedStore,
    clear_stores,
    local_store_bytes,
    share_stores,
    usable_bytes,
)
from ser_core.config import FeatureConfig
from ser_core.features.frames import end_to_end
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
        bounds=end_to_end(offsets),
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
            "first": store.frames[store.bounds[5, 0]].tolist()[:2],
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
    [shared] = share_stores({"key": store}, rows, CommonFeatures(tmp_path), log.append).values()
    assert len(log) == 1
    assert where in log[0]
    assert isinstance(shared.frames, str) == (where == "memory-mapped from")
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
    small = share_stores({"key": store}, rows[:100], CommonFeatures(tmp_path), log.append)["key"]
    assert isinstance(small.frames, ray.ObjectRef)  # few rows of a large store fit
    all_rows = np.arange(len(store.clip_ids))
    first = share_stores({"key": store}, all_rows, CommonFeatures(tmp_path), log.append)["key"]
    written = os.stat(first.frames)
    again = share_stores({"key": store}, all_rows, CommonFeatures(tmp_path), log.append)["key"]
    assert os.stat(again.frames).st_mtime_ns == written.st_mtime_ns
    assert "80 MiB of features are more than the 64 MiB that the smallest object store" in log[-1]
    other = share_stores({"key": store}, all_rows[1:], CommonFeatures(tmp_path), log.append)["key"]
    assert other.frames != first.frames
    assert not (other.open().frames == 0).any()  # the clip that was left out is in no file of the workers
    clear_stores(tmp_path)
    assert not any(tmp_path.iterdir())


def test_runs_of_other_speakers_share_the_frames_and_know_of_their_own_clips_alone(tmp_path: Path) -> None:
    store, log, common = make_store(16), list[str](), CommonFeatures(tmp_path, whole=True)
    folds = [np.flatnonzero(np.arange(len(store.clip_ids)) % 3 != tested) for tested in range(3)]
    shared = [share_stores({"key": store}, rows, common, log.append)["key"] for rows in folds]
    assert log == ["16 MiB of features in Ray's object store: one copy per node"]
    assert len({each.frames for each in shared}) == 1
    for rows, each in zip(folds, shared, strict=True):
        found, own = each.open(), store.select(rows)
        assert found.clip_ids == own.clip_ids
        assert found.truth.tolist() == own.truth.tolist()
        assert all(np.array_equal(*clips) for clips in zip(found.clips(), own.clips(), strict=True))
    assert common.copied_bytes == store.frames.nbytes


def test_runs_of_the_same_speakers_share_what_holds_no_test_clip(tmp_path: Path) -> None:
    store, log, common = make_store(16), list[str](), CommonFeatures(tmp_path)
    rows = np.arange(1, len(store.clip_ids))
    shared = [share_stores({"key": store}, rows, common, log.append)["key"] for _ in range(2)]
    assert len(log) == len({each.frames for each in shared}) == 1
    assert not (shared[0].open().frames == 0).any()


def test_what_is_common_and_too_large_is_mapped_once_and_counts_what_others_have_taken(tmp_path: Path) -> None:
    first, second, log, common = make_store(40), make_store(32), list[str](), CommonFeatures(tmp_path, whole=True)
    second = replace(second, fingerprint="another")
    rows = np.arange(1, len(second.clip_ids))
    laid = [share_stores({"key": store}, rows, common, log.append)["key"] for store in (first, second, second)]
    assert isinstance(laid[0].frames, ray.ObjectRef)
    assert laid[1].frames == laid[2].frames == str(next(tmp_path.glob("features/*/frames.npy")).resolve())
    assert "32 MiB of features are more than the 24 MiB that the smallest object store" in log[-1]
    assert len(log) == 2
    assert laid[1].open().clip_ids == second.clip_ids[1:]


def test_a_store_that_is_made_here_leaves_memory_for_trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = make_store(32)
    stores, rows = {"key": store}, np.arange(len(store.clip_ids))
    common = CommonFeatures(tmp_path)
    whole = CommonFeatures(tmp_path, whole=True)
    assert local_store_bytes(stores, rows, common) == int(store.frames.nbytes / 0.8) + shared_stores.SPARE_BYTES
    assert local_store_bytes(stores, rows[:9], whole) == local_store_bytes(stores, rows, common)
    assert (
        local_store_bytes(stores, rows, common, kinds=3)
        == int(3 * store.frames.nbytes / 0.8) + shared_stores.SPARE_BYTES
    )
    monkeypatch.setattr(ray._private.utils, "estimate_available_memory", lambda: 700 * MB)
    assert local_store_bytes(stores, rows, common) == 280 * MB
    monkeypatch.setattr(ray._private.utils, "estimate_available_memory", lambda: 0)
    assert local_store_bytes(stores, rows, common) == shared_stores.SPARE_BYTES


def test_the_smallest_node_decides() -> None:
    nodes = [{"object_store_memory": 100.0}, {"object_store_memory": 50.0}]
    assert usable_bytes(nodes) == 40
    assert usable_bytes([*nodes, {"CPU": 1.0}]) == 0
    assert usable_bytes([]) == 0
