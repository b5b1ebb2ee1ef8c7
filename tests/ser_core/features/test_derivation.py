"""What is made of a store is what the audio gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ser_core.clips import Clip, Manifest
from ser_core.config import FeatureConfig
from ser_core.features import computing
from ser_core.features.cache import FeatureStoreError
from ser_core.features.derivation import base_settings, derivation
from ser_core.features.store import corpus_features, feature_store
from ser_core.features.transforms import settings_key
from tests.ser_core.one_clip import features_of

SMALL = FeatureConfig(n_mels=16, n_mfcc=8)
FROM_LOG_MEL = [
    replace(SMALL, deltas=1),
    replace(SMALL, deltas=2, normalisation="clip"),
    replace(SMALL, kind="mfcc"),
    replace(SMALL, kind="mfcc", n_mfcc=5, deltas=2),
    replace(SMALL, kind="mfcc", deltas=1, normalisation="clip"),
]


def noise(index: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(index).standard_normal(4_000 + 700 * index)).astype(np.float32)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder, clips = tmp_path_factory.mktemp("audio"), []
    for index in range(9):
        path = folder / f"{index}.wav"
        soundfile.write(path, noise(index), 16_000, subtype="FLOAT")
        emotion = ("happy", "sad")[index % 2]
        clips.append(Clip(clip_id=str(index), path=path, speaker=str(index % 3), emotion=emotion))
    return Manifest(corpus="noise", clips=tuple(clips), classes=("happy", "sad"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The audio files that were read since, for features."""
    paths: list[Path] = []
    original = computing.read_audio
    monkeypatch.setattr(computing, "read_audio", lambda path, *args: paths.append(path) or original(path, *args))
    return paths


@pytest.mark.parametrize("settings", FROM_LOG_MEL, ids=lambda s: f"{s.kind}-{s.n_mfcc}-{s.deltas}-{s.normalisation}")
def test_a_store_made_of_log_mel_is_what_the_audio_gives_and_reads_none(
    settings: FeatureConfig, manifest: Manifest, tmp_path: Path, read: list[Path]
) -> None:
    feature_store(manifest, SMALL, cache_dir=tmp_path)
    assert len(read) == 9
    store = feature_store(manifest, settings, cache_dir=tmp_path)
    assert len(read) == 9
    assert store.settings == settings
    tolerance = 2e-2 if store.frames.dtype == np.float16 else 1e-6  # values reach 16, where steps are 2^-6
    for index in range(9):
        own = store.frames[slice(*store.bounds[index])]
        np.testing.assert_allclose(own, features_of(noise(index), settings), rtol=1e-6, atol=tolerance)


@given(
    kind=st.sampled_from(["log_mel", "mfcc", "mfcc_stats", "functionals", "kaldi_fbank"]),
    n_mels=st.integers(12, 40),
    fewer=st.integers(0, 8),
    deltas=st.integers(0, 2),
    by_clip=st.booleans(),
    seconds=st.floats(0.1, 0.6),
)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_asked_for_is_made_of_its_base(
    kind: str, n_mels: int, fewer: int, deltas: int, by_clip: bool, seconds: float
) -> None:
    framewise = kind in ("log_mel", "mfcc")
    settings = FeatureConfig(
        kind=kind,
        n_mels=n_mels,
        n_mfcc=n_mels - fewer,
        deltas=deltas if framewise else 0,
        normalisation="clip" if by_clip and kind not in ("mfcc_stats", "functionals") else "corpus",
    )
    base = base_settings(settings)
    assert base_settings(base) == base
    samples = (0.1 * np.random.default_rng(0).standard_normal(round(16_000 * seconds))).astype(np.float32)
    made = derivation(settings)(torch.from_numpy(features_of(samples, base))).numpy()
    np.testing.assert_array_equal(made, features_of(samples, settings))


@pytest.mark.parametrize("kind", ["mfcc_stats", "functionals"])
def test_fewer_cepstra_are_columns_of_the_most(kind: str, manifest: Manifest, tmp_path: Path, read: list[Path]) -> None:
    settings = replace(SMALL, kind=kind)
    store = feature_store(manifest, settings, cache_dir=tmp_path)
    fewer = feature_store(manifest, replace(settings, n_mfcc=5), cache_dir=tmp_path)
    assert len(read) == 9
    assert fewer.bins < store.bins
    np.testing.assert_array_equal(fewer.frames[4], features_of(noise(4), replace(settings, n_mfcc=5))[0])


@pytest.mark.parametrize(
    "settings",
    [SMALL, *FROM_LOG_MEL[:2], replace(SMALL, normalisation="speaker"), replace(SMALL, kind="mfcc_stats")],
    ids=lambda s: f"{s.kind}-{s.deltas}-{s.normalisation}",
)
@pytest.mark.parametrize("whole_is_there", [False, True])
def test_some_clips_alone_have_the_values_of_the_whole_store(
    settings: FeatureConfig, whole_is_there: bool, manifest: Manifest, tmp_path: Path, read: list[Path]
) -> None:
    features, rows = corpus_features(manifest, tmp_path / "cache"), np.array([1, 2, 5, 8])
    whole = corpus_features(manifest, tmp_path / ("cache" if whole_is_there else "other")).store(settings)
    read.clear()
    store = features.store(settings, rows)
    expected = whole.select(rows)
    np.testing.assert_array_equal(store.frames, expected.frames)
    np.testing.assert_array_equal(store.bounds, expected.bounds)
    assert (store.clip_ids, store.fingerprint) == (expected.clip_ids, expected.fingerprint)
    assert store.truth.tolist() == expected.truth.tolist()
    if whole_is_there:
        assert read == []
    elif settings.normalisation != "speaker":  # for which all clips of a speaker are needed
        assert {path.stem for path in read} == {"1", "2", "5", "8"}


def test_what_differs_in_nothing_but_the_cut_shares_one_store(manifest: Manifest, tmp_path: Path) -> None:
    keys = {settings_key(base_settings(settings)) for settings in [SMALL, *FROM_LOG_MEL]}
    assert keys == {settings_key(SMALL)}
    assert settings_key(base_settings(replace(SMALL, hop_ms=20.0))) not in keys


def test_another_process_takes_no_other_file_for_that_of_the_run(manifest: Manifest, tmp_path: Path) -> None:
    changed = (manifest.clips[0].path.read_bytes()[:-4] + b"\0\0\0\1").ljust(10)
    copies = tuple(replace(clip, path=tmp_path / clip.path.name) for clip in manifest.clips)
    for clip, copy in zip(manifest.clips, copies, strict=True):
        copy.path.write_bytes(clip.path.read_bytes())
    features = replace(corpus_features(replace(manifest, clips=copies), tmp_path / "cache"), elsewhere=True)
    features.store(SMALL, np.array([1, 2]))
    copies[0].path.write_bytes(changed)
    features.store(replace(SMALL, hop_ms=20.0), np.array([1, 2]))  # of which the changed one is none
    with pytest.raises(FeatureStoreError, match=r"0\.wav on .* is another file than when the run began"):
        features.store(SMALL)
