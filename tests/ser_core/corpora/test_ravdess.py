"""RAVDESS in every shape that users have it in."""

from __future__ import annotations

import logging
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from ser_core.clips import CorpusError
from ser_core.corpora import ravdess
from ser_core.corpora._scan import BadName
from ser_core.splits import make_split

NAMES = [f"03-01-0{emotion}-01-01-01-{actor:02d}" for emotion in range(1, 9) for actor in (1, 2)]


def actor_folder(name: str) -> str:
    return f"Actor_{name[-2:]}"


@pytest.mark.parametrize("nesting", ["", "audio_speech_actors_01-24/", "archive/RAVDESS/speech/"])
@pytest.mark.parametrize("suffix", ["wav", "flac", "WAV"])
def test_any_nesting_and_format(tmp_path: Path, write_audio, load, nesting: str, suffix: str) -> None:
    for name in NAMES:
        write_audio(tmp_path / "corpus" / f"{nesting}{actor_folder(name)}" / f"{name}.{suffix}")
    manifest = load(tmp_path / "corpus")
    assert [clip.clip_id for clip in manifest.clips] == sorted(NAMES)
    assert Counter(clip.gender for clip in manifest.clips) == {"male": 8, "female": 8}


def test_copies_in_two_nestings_count_once(tmp_path: Path, write_audio, load) -> None:
    for name in NAMES:
        for nesting in ("", "audio_speech_actors_01-24"):
            write_audio(tmp_path / "corpus" / nesting / actor_folder(name) / f"{name}.wav")
    manifest = load(tmp_path / "corpus")
    assert len(manifest.clips) == len(NAMES)
    assert all("audio_speech" not in str(clip.path) for clip in manifest.clips)


def test_rates_and_channels_may_differ(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / f"{NAMES[0]}.wav", rate_hz=48_000, channels=2)
    write_audio(tmp_path / "corpus" / f"{NAMES[1]}.flac", rate_hz=16_000)
    assert len(load(tmp_path / "corpus").clips) == 2


def test_song_and_video_sound_are_left_out_and_said(
    tmp_path: Path, write_audio, load, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (NAMES[0], NAMES[3], "03-02-03-01-01-01-01", "01-01-03-01-01-01-01", "02-01-03-01-01-01-01"):
        write_audio(tmp_path / "corpus" / f"{name}.wav")
    with caplog.at_level(logging.WARNING):
        manifest = load(tmp_path / "corpus")
    assert [clip.clip_id for clip in manifest.clips] == sorted([NAMES[0], NAMES[3]])
    assert manifest.skipped == ()
    assert "left out 3 files that are not speech clips of ravdess" in caplog.text


def test_nothing_but_song(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / "03-02-03-01-01-01-01.wav")
    with pytest.raises(CorpusError, match="1 files are of another task, such as song"):
        load(tmp_path / "corpus")


def test_what_systems_leave_behind_is_ignored(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / f"{NAMES[0]}.wav")
    for junk in (f"._{NAMES[0]}.wav", f"__MACOSX/{NAMES[0]}.wav", ".trash/x.wav", "readme.txt"):
        (tmp_path / "corpus" / junk).parent.mkdir(exist_ok=True)
        (tmp_path / "corpus" / junk).write_bytes(b"junk")
    assert len(load(tmp_path / "corpus").clips) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("03-01-09-01-01-01-01", "unknown emotion code 09"),
        ("03-01-00-01-01-01-01", "unknown emotion code 00"),
        ("03-01-01-01-01-01-25", "unknown actor 25"),
        ("03-01-01-01-01-01", "not a RAVDESS name"),
        ("03-01-01-01-01-01-01 (copy)", "not a RAVDESS name"),
        ("angry", "not a RAVDESS name"),
    ],
)
def test_names_that_say_nothing(name: str, reason: str) -> None:
    with pytest.raises(BadName, match=reason):
        ravdess.labels(PurePosixPath(f"Actor_01/{name}.wav"))


def zip_of(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.wav")):
            file.write(path, path.relative_to(folder))
    return archive


def test_a_zip_is_unpacked_once(tmp_path: Path, write_audio, load) -> None:
    for name in NAMES:
        write_audio(tmp_path / "corpus" / actor_folder(name) / f"{name}.wav")
    archive = zip_of(tmp_path / "corpus", tmp_path / "speech.zip")
    first = load(archive)
    assert len(first.clips) == len(NAMES)
    times = [clip.path.stat().st_mtime_ns for clip in first.clips]
    assert [clip.path.stat().st_mtime_ns for clip in load(archive).clips] == times
    assert first.fingerprint() == load(tmp_path / "corpus").fingerprint()


def test_a_changed_zip_is_unpacked_anew(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / f"{NAMES[0]}.wav")
    assert len(load(zip_of(tmp_path / "corpus", tmp_path / "speech.zip")).clips) == 1
    write_audio(tmp_path / "corpus" / f"{NAMES[1]}.wav")
    assert len(load(zip_of(tmp_path / "corpus", tmp_path / "speech.zip")).clips) == 2


def test_the_real_corpus(ravdess_root: Path, load) -> None:
    manifest = load(ravdess_root)
    assert len(manifest.clips) == 1440
    assert Counter(clip.emotion for clip in manifest.clips) == {
        "neutral": 96,
        **dict.fromkeys(("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192),
    }
    assert sorted(set(manifest.speakers)) == list(ravdess.SPEAKERS)
    assert set(Counter(clip.speaker for clip in manifest.clips).values()) == {60}
    assert not manifest.skipped
    assert len(make_split(manifest, "emobox:1", 0).test) == 240


def test_original_files(ravdess_original_root: Path, load) -> None:
    manifest = load(ravdess_original_root)
    assert len(manifest.clips) == 8
    assert set(manifest.speakers) == {"01", "05", "20"}
