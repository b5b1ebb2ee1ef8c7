"""The store: right features for the right clip, a cache that is never wrong, and access for training."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser_core.clips import Clip, Manifest
from ser_core.config import FeatureConfig
from ser_core.features import computing as module
from ser_core.features.audio import AudioError
from ser_core.features.cache import FeatureStoreError
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore, feature_store
from ser_core.features.transforms import settings_key
from ser_core.targets import Emotions
from tests.ser_core.one_clip import stored_features_of
from tests.tiny_encoders import save_tiny_encoder

LOG_MEL = FeatureConfig(kind="log_mel", n_mels=16, n_mfcc=8)


def noise(seed: int, seconds: float) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds))).astype(np.float32)


def write_corpus(folder: Path, clips: int = 11) -> Manifest:
    """Clips of 0.3 to 0.8 s of noise, two emotions."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for index in range(clips):
        path = folder / f"{index:02}.wav"
        soundfile.write(path, noise(index, 0.3 + 0.05 * index), 16_000, subtype="FLOAT")
        emotion = ("happy", "sad")[index % 2]
        made.append(Clip(clip_id=f"clip{index}", path=path, speaker=str(index % 3), emotion=emotion))
    return Manifest(corpus="noise", clips=tuple(made), classes=("happy", "sad"))


@pytest.fixture
def manifest(tmp_path):
    return write_corpus(tmp_path / "audio")


@pytest.fixture
def computed(monkeypatch):
    """Number of clips whose features were computed since."""
    count = []
    original = module.read_audio
    monkeypatch.setattr(module, "read_audio", lambda *args: count.append(1) or original(*args))
    return count


def store_of_lengths(lengths: list[int], **settings) -> FeatureStore:
    """A store whose frame t of clip i holds 1000 * (i + 1) + t, so that every value tells where it came from."""
    frames = np.concatenate([1000 * (i + 1) + np.arange(n) for i, n in enumerate(lengths)]).astype(np.float32)
    return FeatureStore(
        frames=np.stack([frames, frames], axis=1),
        bounds=end_to_end(np.concatenate([[0], np.cumsum(lengths)])),
        truth=np.zeros(len(lengths), dtype=np.int64),
        clip_ids=tuple(f"clip{i}" for i in range(len(lengths))),
        target=Emotions(("happy", "sad")),
        settings=FeatureConfig(**settings),
        fingerprint="0",
    )


def test_each_clip_has_its_own_features_and_label(manifest, tmp_path):
    store = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert store.clip_ids == tuple(f"clip{i}" for i in range(11))
    assert store.truth.tolist() == [0, 1] * 5 + [0]
    assert store.bins == 16
    for index in range(11):
        ours = store.frames[slice(*store.bounds[index])]
        np.testing.assert_array_equal(ours, stored_features_of(noise(index, 0.3 + 0.05 * index), LOG_MEL))


def test_the_second_time_nothing_is_computed(manifest, tmp_path, computed):
    first = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert len(computed) == 11
    second = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert len(computed) == 11
    np.testing.assert_array_equal(second.frames, first.frames)
    assert second.fingerprint == first.fingerprint


def test_what_only_cuts_or_pads_shares_the_cache(manifest, tmp_path, computed):
    feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    longer = FeatureConfig(kind="log_mel", n_mels=16, n_mfcc=8, clip_seconds=5.0, crop="start")
    assert feature_store(manifest, longer, cache_dir=tmp_path / "cache").settings == longer
    assert len(computed) == 11


def test_a_changed_file_is_noticed_whatever_its_size_and_time_say(manifest, tmp_path):
    before = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    path = manifest.clips[4].path
    status = path.stat()
    soundfile.write(path, noise(99, 0.5), 16_000, subtype="FLOAT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    after = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert after.fingerprint != before.fingerprint
    start, stop = after.bounds[4]
    np.testing.assert_array_equal(after.frames[start:stop], stored_features_of(noise(99, 0.5), LOG_MEL))


def test_moved_files_keep_their_cache(manifest, tmp_path, computed):
    feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    shutil.move(tmp_path / "audio", tmp_path / "elsewhere")
    moved = tuple(replace(clip, path=tmp_path / "elsewhere" / clip.path.name) for clip in manifest.clips)
    feature_store(replace(manifest, clips=moved), LOG_MEL, cache_dir=tmp_path / "cache")
    assert len(computed) == 11


@pytest.mark.parametrize("name", ["frames.npy", "offsets.npy", "store.json"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "gone"])
def test_a_damaged_cache_is_computed_anew(manifest, tmp_path, computed, name, damage):
    whole = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    path = tmp_path / "cache" / "features" / whole.fingerprint / name
    content = bytearray(path.read_bytes())
    wanted = whole.frames.copy()
    if damage == "gone":
        path.unlink()
    else:
        content[-5] ^= 0x5A
        path.write_bytes(content if damage == "altered" else content[:-20])
    again = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert len(computed) == 22
    np.testing.assert_array_equal(again.frames, wanted)


def test_an_interrupted_computation_leaves_nothing(manifest, tmp_path, monkeypatch):
    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache", progress=interrupted)
    assert [path.suffix for path in (tmp_path / "cache" / "features").iterdir()] in ([], [".lock"])
    assert len(feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache").clip_ids) == 11


def test_the_rest_of_a_killed_computation_is_cleared_away(manifest, tmp_path):
    killed = child(tmp_path, "feature_store(*arguments, progress=lambda done, total: os.kill(os.getpid(), 9))")
    killed.communicate(timeout=300)
    assert killed.returncode == -9
    features = tmp_path / "cache" / "features"
    assert [path.suffix for path in features.iterdir() if path.is_dir()] == [".tmp"]
    store = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert [path.name for path in features.iterdir() if path.is_dir()] == [store.fingerprint]


def test_a_full_disk_is_a_clear_error(manifest, tmp_path):
    limited = child(tmp_path, "resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192)); feature_store(*arguments)")
    _, error = limited.communicate(timeout=300)
    assert "FeatureStoreError: features cannot be written to" in error
    assert "make room there or choose another cache folder" in error
    assert not [path for path in (tmp_path / "cache" / "features").iterdir() if path.is_dir()]


def test_processes_that_ask_at_once_all_get_the_same(manifest, tmp_path):
    children = [child(tmp_path, "print(feature_store(*arguments).frames.tobytes().hex())") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in children]
    store = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert [output.strip() for output, _ in outputs] == [store.frames.tobytes().hex()] * 2, outputs[0][1]
    folders = [path for path in (tmp_path / "cache" / "features").iterdir() if path.is_dir()]
    assert [path.name for path in folders] == [store.fingerprint]


def child(folder: Path, statement: str) -> subprocess.Popen[str]:
    """Another process that runs `statement` with the corpus of fixture `manifest`; `arguments` ask for its store."""
    program = f"""
import functools, os, resource
from dataclasses import astuple, replace
from pathlib import Path
from ser_core.features import store as module
from ser_core.clips import Clip, Manifest
from ser_core.config import FeatureConfig
from ser_core.targets import Emotions
paths = sorted(Path({str(folder / "audio")!r}).iterdir())
clips = tuple(Clip(clip_id=path.stem, path=path, speaker="a", emotion="sad") for path in paths)
manifest = Manifest(corpus="noise", clips=clips, classes=("sad", "happy"))
arguments = (manifest, FeatureConfig(n_mels=16, n_mfcc=8))
feature_store = functools.partial(module.feature_store, cache_dir=Path({str(folder / "cache")!r}))
{statement}
"""
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_cache_folder_that_cannot_be_made_is_a_clear_error(manifest, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FeatureStoreError, match=r"cannot be written to .*file/features.*choose another cache folder"):
        feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "file")


def test_a_bad_file_is_named(manifest, tmp_path):
    manifest.clips[3].path.write_text("no audio")
    with pytest.raises(AudioError, match=r"03\.wav: not an audio file"):
        feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    manifest.clips[3].path.unlink()
    with pytest.raises(FeatureStoreError, match=r"03\.wav cannot be read"):
        feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")


def test_progress_counts_clips_and_is_silent_from_the_cache(manifest, tmp_path):
    seen = []
    feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache", progress=lambda *counts: seen.append(counts))
    assert seen == [(8, 11), (11, 11)]
    feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache", progress=lambda *counts: seen.append(counts))
    assert len(seen) == 2


def test_torch_keeps_its_number_of_threads(manifest, tmp_path):
    before = torch.get_num_threads()
    feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert torch.get_num_threads() == before


def test_a_store_can_be_pickled_and_used_read_only(manifest, tmp_path):
    store = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    assert type(store.frames) is np.ndarray
    assert not store.frames.flags.writeable
    buffers = []
    packed = pickle.dumps(store, protocol=5, buffer_callback=buffers.append)
    assert len(packed) < 10_000  # the frames travel out of band, without a copy
    back = pickle.loads(packed, buffers=[bytes(buffer) for buffer in buffers])
    assert not back.frames.flags.writeable
    np.testing.assert_array_equal(back.select([3, 1]).frames, store.select([3, 1]).frames)


def test_a_selection_holds_nothing_of_other_clips():
    store = store_of_lengths([5, 3, 4])
    part = store.select([2, 0])
    assert part.clip_ids == ("clip2", "clip0")
    assert part.bounds.tolist() == [[0, 4], [4, 9]]
    assert part.frames[:, 0].tolist() == [3000, 3001, 3002, 3003, 1000, 1001, 1002, 1003, 1004]
    assert part.frames.base is None
    with pytest.raises(IndexError, match=r"rows must lie in \[0, 2\]; got -1 to 1"):
        store.select([1, -1])


def test_a_view_knows_of_its_clips_alone_and_copies_nothing():
    store = store_of_lengths([5, 3, 4])
    part = store.view([0, 2])
    assert part.clip_ids == ("clip0", "clip2")
    assert part.bounds.tolist() == [[0, 5], [8, 12]]
    assert part.frames is store.frames
    assert [clip[0, 0] for clip in part.clips()] == [1000, 3000]
    alone = store.select([0, 2])
    rows = np.arange(2)
    for ours, theirs in zip(*(astuple(each.normalisation(rows)) for each in (part, alone)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(part.select(rows).frames, alone.frames)
    np.testing.assert_array_equal(part.view([1]).truth, store.truth[[2]])
    with pytest.raises(IndexError, match=r"rows must lie in \[0, 2\]; got 3 to 3"):
        store.view([3])


def test_clip_statistics_are_one_frame(manifest, tmp_path):
    settings = FeatureConfig(kind="mfcc_stats", n_mels=16, n_mfcc=8)
    store = feature_store(manifest, settings, cache_dir=tmp_path / "cache")
    assert store.frames.shape == (11, 32)
    assert store.bounds.tolist() == [[row, row + 1] for row in range(11)]


def test_other_encoder_weights_in_the_same_folder_are_noticed(manifest, tmp_path):
    settings = FeatureConfig(kind="encoder", encoder=str(tmp_path / "encoder"))
    prints = []
    for seed in (0, 1):
        save_tiny_encoder(tmp_path / "encoder", seed=seed)
        store = feature_store(manifest, settings, cache_dir=tmp_path / "cache")
        assert store.bins == 16
        prints.append(store.fingerprint)
    assert prints[0] != prints[1]


def test_arrays_that_do_not_fit_are_refused():
    store = store_of_lengths([3, 2])
    parts = {name: getattr(store, name) for name in store.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"2 clips need bounds of shape \(2, 2\) and 2 labels"):
        FeatureStore(**{**parts, "truth": np.zeros(3, dtype=np.int64)})
    for outside in ([[0, 3], [3, 6]], [[-1, 3], [3, 5]]):
        with pytest.raises(ValueError, match="clips must lie within the frames; they lie from"):
            FeatureStore(**{**parts, "bounds": np.array(outside)})
    with pytest.raises(ValueError, match="every clip must have at least one frame"):
        FeatureStore(**{**parts, "bounds": np.array([[0, 5], [5, 5]])})


def test_the_description_on_disk_is_json(manifest, tmp_path):
    store = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    description = tmp_path / "cache" / "features" / store.fingerprint / "store.json"
    assert set(json.loads(description.read_text())) == {"sha256"}


def test_speaker_normalisation_gives_every_speaker_mean_0_and_deviation_1(manifest, tmp_path, computed):
    plain = feature_store(manifest, LOG_MEL, cache_dir=tmp_path / "cache")
    settings = replace(LOG_MEL, normalisation="speaker")
    store = feature_store(manifest, settings, cache_dir=tmp_path / "cache")
    assert len(computed) == 11  # from the plain store
    assert store.settings == settings
    assert settings_key(settings) != settings_key(LOG_MEL)
    assert store.fingerprint != plain.fingerprint
    owner = np.repeat(manifest.speakers, np.diff(store.bounds).ravel())
    assert len(set(owner)) > 1
    for name in set(owner):
        own, raw = store.frames[owner == name], plain.frames[owner == name].astype(float)
        np.testing.assert_allclose(
            own, (raw - raw.mean(axis=0)) / raw.std(axis=0), atol=2e-3
        )  # half of half precision's step
    again = feature_store(manifest, settings, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(again.frames, store.frames)
    others = replace(manifest, clips=tuple(replace(clip, speaker="one") for clip in manifest.clips))
    assert feature_store(others, settings, cache_dir=tmp_path / "cache").fingerprint != store.fingerprint
