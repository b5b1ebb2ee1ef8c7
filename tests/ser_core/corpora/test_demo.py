"""The synthetic corpus: what it holds, that it is always the same, and that its emotions can be learnt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchaudio.transforms import MFCC

from ser_core.clips import CorpusError, Manifest
from ser_core.corpora import demo, load_corpus
from ser_core.features.audio import read_audio


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return load_corpus("demo", skip_bad=False, classes=None, cache_dir=tmp_path_factory.mktemp("cache"))


def test_what_it_holds(corpus: Manifest) -> None:
    assert len(corpus.clips) == 240
    assert corpus.synthetic
    assert corpus.classes == ("neutral", "happy", "sad", "angry", "fearful", "disgust")
    assert set(Counter((clip.speaker, clip.emotion) for clip in corpus.clips).values()) == {5}
    assert Counter({clip.speaker: clip.gender for clip in corpus.clips}.values()) == {"female": 4, "male": 4}


def test_format(corpus: Manifest) -> None:
    for clip in corpus.clips:
        info = soundfile.info(clip.path)
        assert (info.format, info.samplerate, info.channels) == ("FLAC", 16_000, 1)
        assert 1.0 <= info.duration <= 3.0
        assert 0.01 < np.abs(read_audio(clip.path, 16_000)).max() < 1.0


def test_the_same_bytes_each_time(corpus: Manifest, tmp_path: Path) -> None:
    folder = demo.obtain(tmp_path, lambda what, done, total: None)
    made = sorted(folder.rglob("*.flac"))
    assert len(made) == 240
    assert {path.name: path.read_bytes() for path in made} == {c.path.name: c.path.read_bytes() for c in corpus.clips}


def test_a_version_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TAKES", 1)
    reports: list[str] = []
    first = demo.obtain(tmp_path, lambda what, done, total: reports.append(what))
    assert len(reports) == 8
    assert demo.obtain(tmp_path, lambda what, done, total: reports.append(what)) == first
    assert len(reports) == 8
    monkeypatch.setattr(demo, "VERSION", demo.VERSION + 1)
    assert demo.obtain(tmp_path, lambda what, done, total: None) != first


def test_an_interrupted_making_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(voice: str, emotion: str, take: int) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "synthesise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.obtain(tmp_path, lambda what, done, total: None)
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [f"v{demo.VERSION}.lock"]


def test_a_folder_of_that_name_is_written_with_a_dot(tmp_path: Path, load, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=r"no .wav or .flac file there"):
        load("./demo")


def test_emotions_of_unheard_voices_can_be_learnt_but_not_perfectly(corpus: Manifest) -> None:
    mfcc = MFCC(16_000, 40, melkwargs={"n_fft": 512, "hop_length": 160, "n_mels": 64})
    statistics = []
    for clip in corpus.clips:
        frames = mfcc(torch.from_numpy(read_audio(clip.path, 16_000))).numpy()  # (coefficients, frames)
        statistics.append(np.r_[frames.mean(axis=1), frames.std(axis=1), np.diff(frames).std(axis=1)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
    scores = cross_val_score(model, np.array(statistics), corpus.labels, groups=corpus.speakers, cv=LeaveOneGroupOut())
    assert 0.6 < scores.mean() < 0.9  # chance is 0.17
