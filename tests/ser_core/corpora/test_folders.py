"""Folders that list their clips: audformat databases, Kaldi data folders, Hugging Face audio folders."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from ser_core.clips import CorpusError, Manifest


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def summary(manifest: Manifest) -> list[tuple[str, str, str, str | None, str | None]]:
    return [(clip.clip_id, clip.speaker, clip.emotion, clip.gender, clip.part) for clip in manifest.clips]


@pytest.fixture
def kaldi(tmp_path: Path, write_audio) -> Path:
    """Two recordings, of which the second holds two utterances."""
    root = tmp_path / "kaldi" / "data"
    for name in ("a.wav", "b.wav"):
        write_audio(tmp_path / "kaldi" / "wav" / name)
    write(root / "wav.scp", "rec1 wav/a.wav", f"rec2 {tmp_path / 'kaldi' / 'wav' / 'b.wav'}")
    write(root / "segments", "ann-1 rec1 0.0 -1", "bob-1 rec2 0.00 0.10", "bob-2 rec2 0.10 0.20")
    write(root / "utt2spk", "ann-1 ann", "bob-1 bob", "bob-2 bob")
    write(root / "utt2emo", "ann-1 Anger", "bob-1 happy", "bob-2 sad")
    write(root / "spk2gender", "ann f", "bob m")
    write(root / "utt2lang", "ann-1 de", "bob-1 en", "bob-2 en")
    return root


def test_a_kaldi_folder_is_read_with_its_segments(kaldi: Path, load) -> None:
    manifest = load(kaldi)
    assert manifest.corpus == "data"
    assert summary(manifest) == [
        ("wav/a.wav", "ann", "angry", "female", None),
        ("../wav/b.wav#t=0,0.1", "bob", "happy", "male", None),
        ("../wav/b.wav#t=0.1,0.2", "bob", "sad", "male", None),
    ]
    assert manifest.column("language").tolist() == ["de", "en", "en"]


def test_a_kaldi_folder_without_segments_has_a_clip_for_each_recording(kaldi: Path, load) -> None:
    (kaldi / "segments").unlink()
    (kaldi / "utt2emo").rename(kaldi / "text")
    write(kaldi / "utt2spk", "rec1 ann", "rec2 bob")
    write(kaldi / "text", "rec1 angry", "rec2 sad")
    assert [clip.emotion for clip in load(kaldi).clips] == ["angry", "sad"]


@pytest.mark.parametrize(
    ("file", "lines", "reason"),
    [
        ("utt2spk", None, "a Kaldi folder needs utt2spk, and the emotions in utt2emo or utt2emotion or text"),
        ("wav.scp", ["rec1 wav/a.wav", "rec2 sph2pipe b.sph |"], "rec2 is a command; run it, and name the file"),
        ("segments", ["ann-1 rec3 0 1"], "ann-1 is of recording rec3, which wav.scp does not name"),
        ("segments", ["ann-1 rec1 0"], "ann-1 needs a recording, a start and an end; got 'rec1 0'"),
        ("utt2emo", ["ann-1 happy", "bob-2 sad"], r"line 2 \(bob-1\): no emotion"),
        ("segments", ["ann-1 rec1 0 5", "bob-1 rec2 1 2"], r"b.wav: 1 to 2 s: the file ends after 0.2 s"),
    ],
)
def test_a_kaldi_folder_that_is_not_whole_is_refused(
    kaldi: Path, load, file: str, lines: list[str] | None, reason: str
) -> None:
    (kaldi / file).unlink()
    if lines is not None:
        write(kaldi / file, *lines)
    with pytest.raises(CorpusError, match=reason):
        load(kaldi)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_hugging_face_audio_folder_is_read_with_its_splits(tmp_path: Path, write_audio, load, suffix: str) -> None:
    root = tmp_path / "set"
    rows = {"train": ("a.wav", "ann", "joy"), "validation": ("b.wav", "bob", "sad"), "test": ("c.wav", "cy", "joy")}
    for part, (name, speaker, emotion) in rows.items():
        write_audio(root / part / name)
        lines = {
            "csv": ["file_name,speaker_id,emotion,age", f"{name},{speaker},{emotion},30"],
            "jsonl": [f'{{"file_name": "{name}", "speaker_id": "{speaker}", "emotion": "{emotion}", "age": 30}}'],
        }
        write(root / part / f"metadata.{suffix}", *lines[suffix])
    manifest = load(root)
    assert manifest.corpus == "set"
    assert summary(manifest) == [
        ("test/c.wav", "cy", "happy", None, "test"),
        ("train/a.wav", "ann", "happy", None, "train"),
        ("validation/b.wav", "bob", "sad", None, "validation"),
    ]
    assert manifest.column("age").tolist() == ["30"] * 3


def test_one_metadata_file_for_all_names_files_below_it(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "set" / "data" / "a.wav")
    write(tmp_path / "set" / "metadata.csv", "file_name,speaker,label,split", "data/a.wav,ann,sad,dev")
    assert summary(load(tmp_path / "set")) == [("data/a.wav", "ann", "sad", None, "validation")]


@pytest.fixture
def audformat_root(tmp_path: Path, write_audio) -> Path:
    """A database of two splits: files of one table, segments of another, genders in the scheme of the speakers."""
    audformat = pytest.importorskip("audformat")
    root = tmp_path / "database"
    for name in ("a.wav", "b.wav", "c.wav"):
        write_audio(root / "audio" / name)
    database = audformat.Database("made", languages=["deu"], license="CC0-1.0")
    database.schemes["emotion"] = audformat.Scheme(labels=["anger", "happiness"])
    speakers = {"ann": {"gender": "female"}, "bob": {"gender": "male"}}
    database.schemes["speaker"] = audformat.Scheme(labels=speakers)
    database.splits["train"] = audformat.Split("train")
    database.splits["test"] = audformat.Split("test")
    files = audformat.filewise_index(["audio/a.wav", "audio/b.wav"])
    database["emotion.train"] = audformat.Table(files, split_id="train")
    database["emotion.train"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion.train"]["emotion"].set(["anger", "happiness"])
    times = pandas.to_timedelta([0, 0.1], unit="s"), pandas.to_timedelta([0.1, 0.2], unit="s")
    parts = audformat.segmented_index(["audio/c.wav"] * 2, *times)
    database["emotion.test"] = audformat.Table(parts, split_id="test")
    database["emotion.test"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion.test"]["emotion"].set(["happiness", "anger"])
    for table, who in (("emotion.train", ["ann", "ann"]), ("emotion.test", ["bob", "bob"])):
        database[table]["speaker"] = audformat.Column(scheme_id="speaker")
        database[table]["speaker"].set(who)
    database.save(str(root))
    return root


def test_an_audformat_database_is_read_with_files_segments_and_splits(audformat_root: Path, load) -> None:
    manifest = load(audformat_root)
    assert summary(manifest) == [
        ("audio/c.wav#t=0,0.1", "bob", "happy", "male", "test"),
        ("audio/c.wav#t=0.1,0.2", "bob", "angry", "male", "test"),
        ("audio/a.wav", "ann", "angry", "female", "train"),
        ("audio/b.wav", "ann", "happy", "female", "train"),
    ]


def test_an_audformat_database_without_emotions_is_refused(audformat_root: Path, load) -> None:
    audformat = pytest.importorskip("audformat")
    database = audformat.Database.load(str(audformat_root))
    for table in list(database.tables):
        database[table].drop_columns("emotion", inplace=True)
    database.save(str(audformat_root))
    with pytest.raises(
        CorpusError, match="no table of this database has the scheme emotion; its schemes are emotion, sp"
    ):
        load(audformat_root)


def test_a_folder_s_corpus_may_be_named_although_it_lists_its_clips(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "set" / "03a01Fa.wav")
    write(tmp_path / "set" / "metadata.csv", "file_name,speaker,emotion", "03a01Fa.wav,three,joyful")
    assert load(tmp_path / "set").clips[0].speaker == "three"
    assert load(f"emodb:{tmp_path / 'set'}").clips[0].speaker == "03"
