"""Features computed by the nodes of a real Ray cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ray
import soundfile
from ray import cloudpickle
from ray.cluster_utils import Cluster

from search.workers import computed_features
from search.workers._remote_calls import in_order, nodes_without
from search.workers.computed_features import compute_on_workers, worth_spreading
from search.workers.ray_session import ray_session
from ser_core.clips import Clip, Manifest
from ser_core.config import FeatureConfig
from ser_core.features.audio import AudioError
from ser_core.features.store import feature_store

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find tests by their names
LOG_MEL = FeatureConfig(kind="log_mel", n_mels=16, n_mfcc=8)
STORE_BYTES = 80 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one CPU each."""
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()


@pytest.fixture
def corpus(tmp_path: Path) -> Manifest:
    """Clips of 0.3 to 1.2 s of noise, so that the order in which they are ready is not theirs."""
    made = []
    for number in range(24):
        path, random = tmp_path / f"{number}.wav", np.random.default_rng(number)
        soundfile.write(path, 0.1 * random.standard_normal(random.integers(4_800, 19_200)), 16_000)
        made.append(Clip(clip_id=str(number), path=path, speaker=str(number % 3), emotion=("happy", "sad")[number % 2]))
    return Manifest(corpus="noise", clips=tuple(made), classes=("happy", "sad"))


def where(number: int) -> tuple[int, str]:
    time.sleep(0.2)  # else one node has done all before the other has started a process
    return number, ray.get_runtime_context().get_node_id()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise AudioError("clip 3 is broken")
    return number


def die(number: int) -> int:
    os._exit(1)


def test_calls_come_back_in_order_from_every_node(cluster: Cluster) -> None:
    nodes = set()
    with ray_session(cluster.address, object_store_bytes=0):
        for expected, (number, node) in enumerate(in_order(where, range(300))):
            assert number == expected
            nodes.add(node)
            if len(nodes) == 2:
                break
    assert len(nodes) == 2


def test_what_a_call_raises_arrives_as_it_was(cluster: Cluster) -> None:
    seen = []
    with ray_session(cluster.address, object_store_bytes=0), pytest.raises(AudioError, match=r"^clip 3 is broken$"):
        seen.extend(in_order(fail_at_three, range(20)))
    with ray_session(cluster.address, object_store_bytes=0), pytest.raises(ConnectionError, match="lost a call"):
        list(in_order(die, [0]))


def test_workers_compute_what_the_driver_would(
    cluster: Cluster, corpus: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computed_features, "CLIPS_PER_TASK", 3)
    log: list[str] = []
    done: list[tuple[int, int]] = []
    alone = feature_store(corpus, LOG_MEL, cache_dir=tmp_path / "alone")
    compute = partial(compute_on_workers, address=cluster.address, on_gpus=False, log=log.append)
    for _ in range(2):  # the second time from the cache, which asks nobody
        spread = feature_store(
            corpus,
            LOG_MEL,
            cache_dir=tmp_path / "spread",
            compute=compute,
            progress=lambda ready, clips: done.append((ready, clips)),
        )
        np.testing.assert_array_equal(spread.frames, alone.frames)
        np.testing.assert_array_equal(spread.bounds, alone.bounds)
        assert spread.fingerprint == alone.fingerprint
    assert log == ["The workers compute the features of 24 clips."]
    assert done == [(ready, 24) for ready in range(3, 25, 3)]
    corpus.clips[7].path.write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"7\.wav"):
        feature_store(corpus, LOG_MEL, cache_dir=tmp_path / "broken", compute=compute)


def test_where_a_node_does_not_see_the_corpus_the_driver_computes(
    cluster: Cluster, corpus: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes are one machine here, so what they answer about a file that is missing is asked apart."""
    with ray_session(cluster.address, object_store_bytes=0):
        assert nodes_without(corpus.clips[0].path) == []
        assert nodes_without(Path("/no/such/file")) == [os.uname().nodename] * 2
    monkeypatch.setattr(computed_features, "nodes_without", lambda _: ["worker-1"])
    log: list[str] = []
    computed = list(compute_on_workers(corpus.clips, LOG_MEL, address=cluster.address, on_gpus=False, log=log.append))
    assert sum(map(len, computed)) == 24
    assert log[0].startswith("worker-1 cannot read ")
    assert "this machine alone computes the features" in log[0]


def process(number: int) -> int:
    return os.getpid()


def test_a_cluster_without_nodes_waits_for_one_and_calls_on_its_gpu_share_a_process(corpus: Manifest) -> None:
    """The GPU is Ray's word for one: nothing is computed on it."""
    small = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    try:
        with ray_session(made.address, object_store_bytes=0), ThreadPoolExecutor(1) as pool:
            asked = pool.submit(nodes_without, corpus.clips[0].path)
            made.add_node(num_cpus=1, num_gpus=1, object_store_memory=STORE_BYTES)
            assert asked.result(timeout=120) == []
            assert len(set(in_order(process, range(6), gpus=1.0))) == 1
    finally:
        made.shutdown()


def test_small_corpora_are_not_worth_it() -> None:
    encoder = FeatureConfig(kind="encoder")
    assert [worth_spreading(clips, LOG_MEL) for clips in (1_440, 262_000)] == [False, True]
    assert [worth_spreading(clips, encoder) for clips in (100, 1_440)] == [False, True]
