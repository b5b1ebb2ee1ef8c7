"""The parts of benchmarks/large_corpus.py on a small corpus."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import large_corpus
import pytest
from large_corpus import Peaks, check_seen, compare, make_corpus, memory_of, processes_below

from ser_core.architectures import default_config
from ser_core.corpora import load_corpus
from ser_core.features.store import feature_store


def test_the_corpus_is_made_once_and_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_corpus, "SPEAKERS", 3)
    path = make_corpus(tmp_path, 12)
    manifest = load_corpus(str(path), skip_bad=False, classes=None, cache_dir=tmp_path / "cache")
    assert len(manifest.clips) == 12
    assert set(manifest.speakers.tolist()) == {"s0", "s1", "s2"}
    written = path.stat().st_mtime_ns
    assert make_corpus(tmp_path, 12).stat().st_mtime_ns == written


def test_streamed_and_resident_epochs_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_corpus, "SPEAKERS", 2)
    path = make_corpus(tmp_path, 40)
    config = default_config("shallow_cnn", {**large_corpus.SEARCHED, "optim.batch_size": 8})
    manifest = load_corpus(str(path), skip_bad=False, classes=None, cache_dir=tmp_path / "cache")
    store = feature_store(manifest, config.features, cache_dir=tmp_path / "cache")
    speed = compare(store, config, 32, 2, "small")
    assert speed.model == "small"
    assert min(speed.resident, speed.streamed, speed.ratio) > 0


def test_processes_are_found_below_their_parents() -> None:
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=sys.stdin)"
    with subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE) as child:
        while not (grandchildren := processes_below(child.pid)):
            time.sleep(0.05)
        found = processes_below(os.getpid())  # those of other tests, too
        child.communicate(b"\n")
    assert {child.pid, *grandchildren} <= found.keys()
    assert Path(found[child.pid]).name.startswith("python")


def test_a_measurement_that_saw_no_process_train_is_an_error() -> None:
    check_seen({"driver": Peaks(), "trial process 7": Peaks()})
    with pytest.raises(SystemExit, match="no process that trains was seen"):
        check_seen({"driver": Peaks()})


def test_memory_is_told_apart_by_whose_it_is() -> None:
    before = memory_of(os.getpid())
    size = 32 * 2**20
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:  # no memory that was free before
        held.write(bytes(size))
        status = memory_of(os.getpid())
    assert status["RssAnon"] - before["RssAnon"] > size / 2
    assert status["VmRSS"] >= status["RssAnon"]
    peaks = Peaks()
    peaks.see(status)
    peaks.see(before)
    assert (peaks.own, peaks.resident) == (status["RssAnon"], status["VmRSS"])
    assert memory_of(2**22 + 1) == {}
