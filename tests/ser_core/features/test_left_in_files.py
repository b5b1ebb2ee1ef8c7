"""Samples whose store would be too large are left in the audio files, with the same result to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_core.architectures import default_config
from ser_core.clips import Clip, Manifest
from ser_core.config import Config
from ser_core.features import computing
from ser_core.features.cache import FeatureStoreError
from ser_core.features.file_frames import FileFrames
from ser_core.features.placement import Where
from ser_core.features.store import CorpusFeatures, corpus_features
from ser_core.splits import Fold
from ser_core.training.run import train

CLIPS = 12


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Clips at 22.05 kHz, so that they are resampled."""
    folder = tmp_path_factory.mktemp("audio")
    clips = []
    for index in range(CLIPS):
        noise = 0.1 * np.random.default_rng(index).standard_normal(round(22_050 * (0.2 + 0.02 * index)))
        soundfile.write(folder / f"{index}.wav", noise, 22_050, subtype="PCM_16")
        emotion = ("happy", "sad")[index % 2]
        clips.append(Clip(clip_id=str(index), path=folder / f"{index}.wav", speaker=str(index), emotion=emotion))
    return Manifest(corpus="noise", clips=tuple(clips), classes=("happy", "sad"))


@pytest.fixture
def config(tiny_encoder: Callable[..., Path]) -> Config:
    return default_config(
        "finetune",
        {
            "model.pretrained": str(tiny_encoder(stable=True)), "features.clip_seconds": 0.3, "optim.batch_size": 4,
            "optim.epochs": 2, "model.head_epochs": 0, "augment.time_shift_seconds": 0.1, "precision": "fp32",
        },
    )  # fmt: skip


def left(manifest: Manifest, cache: Path, **limits: int) -> CorpusFeatures:
    return corpus_features(manifest, cache, **{"sample_limit_bytes": 0, **limits})


def test_frames_are_those_of_the_store_and_only_their_lengths_are_kept(
    manifest: Manifest, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = corpus_features(manifest, tmp_path / "stored").store(config.features)
    assert stored.frames.dtype == np.int16
    found = left(manifest, tmp_path / "left").store(config.features)
    assert isinstance(found.frames, FileFrames)
    assert (found.frames.shape, found.frames.dtype) == (stored.frames.shape, stored.frames.dtype)
    assert (found.fingerprint, found.clip_ids) == (stored.fingerprint, stored.clip_ids)
    for ours, theirs in zip(found.clips(), stored.clips(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    kept = sum(path.stat().st_size for path in (tmp_path / "left").rglob("*") if path.is_file())
    assert kept < 2_000 < stored.frames.nbytes
    monkeypatch.setattr(computing, "read_audio", None)
    again = left(manifest, tmp_path / "left").store(config.features)  # without a look at the audio
    np.testing.assert_array_equal(again.bounds, stored.bounds)


def test_some_clips_alone_can_be_left_in_files(manifest: Manifest, config: Config, tmp_path: Path) -> None:
    rows = np.array([1, 4, 5])
    few = left(manifest, tmp_path).store(config.features, rows)
    whole = left(manifest, tmp_path).store(config.features).select(rows)
    assert few.clip_ids == whole.clip_ids == ("1", "4", "5")
    np.testing.assert_array_equal(few.bounds, whole.bounds)
    for ours, theirs in zip(few.clips(), whole.clips(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_training_from_files_equals_training_from_the_store(manifest: Manifest, config: Config, tmp_path: Path) -> None:
    fold = Fold(fit=np.arange(8), evaluate=np.arange(8, CLIPS))
    places, results = [], []
    for features in (corpus_features(manifest, tmp_path), left(manifest, tmp_path)):
        run = train(config, fold, features.store(config.features), device="cpu")
        places.append(run.placement.where)
        results.append([replace(report, seconds=0.0) for report in run])
        results.append(run.predict(np.arange(CLIPS)).tolist())
    assert places == [Where.RESIDENT, Where.FILES]
    assert results[:2] == results[2:]


def test_what_is_small_enough_is_stored_and_so_are_other_kinds(
    manifest: Manifest, config: Config, tmp_path: Path
) -> None:
    features = left(manifest, tmp_path, sample_limit_bytes=10**6)
    assert isinstance(features.store(config.features).frames, np.ndarray)
    log_mel = replace(config.features, kind="log_mel")
    assert isinstance(left(manifest, tmp_path).store(log_mel).frames, np.ndarray)


def test_a_process_that_did_not_read_the_digests_compares_the_files(
    manifest: Manifest, config: Config, tmp_path: Path
) -> None:
    features = replace(
        left(manifest, tmp_path), elsewhere=True, audio=(b"another", *left(manifest, tmp_path).audio[1:])
    )
    with pytest.raises(FeatureStoreError, match=r"0\.wav on .* is another file than when the run began"):
        features.store(config.features)
