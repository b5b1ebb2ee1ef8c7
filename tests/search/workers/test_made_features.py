"""Features that the search asks for as it goes: made by the worker that asks first, shared through the cache."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import ray
from ray import cloudpickle

from search.workers.shared_features import MadeFeatures, share_maker
from ser_core.config import FeatureConfig
from ser_core.corpora import load_corpus
from ser_core.features.store import CorpusFeatures, corpus_features
from ser_core.splits import make_split

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find tests by their names
pytestmark = pytest.mark.usefixtures("ray_here")
SETTINGS = FeatureConfig(kind="mfcc_stats", n_mels=16, n_mfcc=8, window_ms=31.7)


@ray.remote(num_cpus=0)
def asked(maker: MadeFeatures) -> tuple[tuple[str, ...], float, list[str]]:
    """A worker asks: which clips it gets, the sum of their values, and what audio it read for that."""
    from ser_core.features import computing

    read, original = [], computing.read_audio
    computing.read_audio = lambda path, *args: read.append(path.stem) or original(path, *args)
    try:
        store = maker.store(SETTINGS, threads=1)
    finally:
        computing.read_audio = original
    return store.clip_ids, float(store.frames.sum(dtype=np.float64)), read


@pytest.fixture
def corpus(cache: Path, tmp_path: Path) -> CorpusFeatures:
    """The demo corpus, without any features yet."""
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=cache)
    return corpus_features(manifest, tmp_path / "cache")


def test_workers_of_runs_with_other_test_speakers_compute_every_clip_once(corpus: CorpusFeatures) -> None:
    manifest = corpus.manifest
    runs = [make_split(manifest, f"kfold:2:{fold}", 0).development for fold in (1, 2)]
    answers = ray.get([asked.remote(share_maker(corpus, rows, whole=True)) for rows in (*runs, *runs)])
    heard = Counter(name for _, _, read in answers for name in read)
    assert heard == Counter(clip.path.stem for clip in manifest.clips)
    for (ids, _, _), rows in zip(answers, (*runs, *runs), strict=True):
        assert ids == tuple(manifest.clips[row].clip_id for row in rows)


def test_of_workers_that_ask_at_once_one_computes_and_none_hears_a_test_clip(corpus: CorpusFeatures) -> None:
    rows = make_split(corpus.manifest, "speaker", 0).development
    maker = share_maker(corpus, rows)
    answers = ray.get([asked.remote(maker) for _ in range(3)])
    development = [corpus.manifest.clips[row] for row in rows]
    assert {ids for ids, _, _ in answers} == {tuple(clip.clip_id for clip in development)}
    assert len({total for _, total, _ in answers}) == 1
    heard = Counter(name for _, _, read in answers for name in read)
    assert heard == Counter(clip.path.stem for clip in development)  # each once, by one of the three
    whole = corpus.store(SETTINGS).select(rows)
    assert float(whole.frames.sum(dtype=np.float64)) == answers[0][1]
