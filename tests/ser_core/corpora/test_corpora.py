"""One contract for every corpus module, and what `load_corpus` promises for all of them."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import soundfile

from ser_core import corpora as package
from ser_core.clips import CorpusError, emotion_word
from ser_core.corpora import corpora, corpus_module
from ser_core.corpora._scan import BadName, Corpus, labels_below
from ser_core.split_rules import SplitError
from ser_core.splits import make_split


def write_examples(name: str, root: Path, write_audio) -> Corpus:
    """Audio and tables as the corpus's module gives examples of them."""
    module = corpus_module(name)
    for file in module.EXAMPLES:
        write_audio(root / file)
    for file, text in getattr(module, "EXAMPLE_TABLES", {}).items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    return module


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", corpora())
def test_examples_are_read_from_folders_recognised_or_named(
    name: str, named: bool, tmp_path: Path, write_audio, load
) -> None:
    module = write_examples(name, tmp_path / "corpus", write_audio)
    assert len(module.EXAMPLES) >= 2
    labels = labels_below(module, tmp_path / "corpus")
    for file, expected in module.EXAMPLES.items():
        assert labels(PurePosixPath(file)) == expected
    manifest = load(f"{name}:{tmp_path / 'corpus'}" if named else tmp_path / "corpus")
    assert manifest.corpus == name
    assert [clip.clip_id for clip in manifest.clips] == sorted(said.clip_id for said in module.EXAMPLES.values())
    for row, clip in enumerate(manifest.clips):
        said = next(said for said in module.EXAMPLES.values() if said.clip_id == clip.clip_id)
        assert (clip.speaker, clip.emotion, clip.gender) == (said.speaker, said.emotion, said.gender)
        assert clip.part == said.part
        for column, value in said.columns.items():
            assert not value or manifest.column(column)[row] == value


@pytest.mark.parametrize("name", corpora())
def test_a_corpus_says_whose_it_is(name: str, tmp_path: Path, write_audio, load) -> None:
    module = write_examples(name, tmp_path / "corpus", write_audio)
    manifest = load(tmp_path / "corpus")
    assert manifest.citation == module.CITATION
    assert manifest.licence == module.LICENCE
    assert manifest.citation
    assert manifest.licence
    assert module.SOURCE
    assert manifest.synthetic is module.SYNTHETIC


@pytest.mark.parametrize("name", corpora())
def test_labels_are_words_that_other_corpora_use_too(name: str) -> None:
    module = corpus_module(name)
    words = [word for word in getattr(module, "EMOTIONS", {}).values() if word is not None]
    words += [said.emotion for said in module.EXAMPLES.values()]
    assert all(emotion_word(word) == word for word in words)


@pytest.mark.parametrize("name", corpora())
def test_a_corpus_with_ratings_says_on_which_scale_they_are(name: str) -> None:
    module = corpus_module(name)
    scale = getattr(module, "SCALE", {})
    for said in module.EXAMPLES.values():
        assert set(scale) == {"arousal", "valence", "dominance"} & set(said.further)
        assert all(low <= float(said.further[dimension]) <= high for dimension, (low, high) in scale.items())


@pytest.mark.parametrize("name", corpora())
def test_the_examples_are_of_no_other_corpus(name: str) -> None:
    for file in corpus_module(name).EXAMPLES:
        for other in set(corpora()) - {name}:
            with pytest.raises(BadName):
                corpus_module(other).labels(PurePosixPath(file))


@pytest.mark.parametrize("name", sorted(set(corpora()) - {"demo", "ravdess"}))
def test_a_corpus_that_is_not_downloaded_says_where_it_is(name: str, load) -> None:
    with pytest.raises(CorpusError) as caught:
        load(name)
    assert f"Get it from {corpus_module(name).SOURCE}, unpack it, and pass --data {name}:FOLDER" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in corpora() if hasattr(corpus_module(name), "TABLE")])
def test_labels_in_tables_must_be_there(name: str, tmp_path: Path, write_audio, load) -> None:
    module = write_examples(name, tmp_path / "corpus", write_audio)
    for file in module.EXAMPLE_TABLES:
        (tmp_path / "corpus" / file).unlink()
    with pytest.raises(CorpusError, match="where this corpus keeps its labels: pass the folder that holds both"):
        load(tmp_path / "corpus")
    for file in module.EXAMPLE_TABLES:
        (tmp_path / "corpus" / file).write_text("nothing,of,use\n1,2,3\n")
    with pytest.raises(CorpusError, match=r"no line of .* is about|has no column"):
        load(tmp_path / "corpus")


def test_a_folder_of_files_that_two_corpora_know_must_be_named(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "both" / "03a01Fa.wav")
    write_audio(tmp_path / "both" / "1001_DFA_ANG_XX.wav")
    with pytest.raises(
        CorpusError, match=r"could be cremad's or emodb's, whose names 1 of them have: pass --data crem"
    ):
        load(tmp_path / "both")
    assert load(f"emodb:{tmp_path / 'both'}", skip_bad=True).corpus == "emodb"


def test_a_folder_that_is_not_all_of_one_corpus_is_said(tmp_path: Path, write_audio, load, caplog) -> None:
    for name in ("03a01Fa", "03a01Wa", "hello"):
        write_audio(tmp_path / "most" / f"{name}.wav")
    load(tmp_path / "most", skip_bad=True)
    assert "taken for emodb, whose names 2 of 3 audio files have" in caplog.text


def test_a_folder_of_another_corpus_than_named_is_refused(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / "03a01Fa.wav")
    with pytest.raises(CorpusError, match=r"no \.wav or \.flac file there has a name that cremad uses"):
        load(f"cremad:{tmp_path / 'corpus'}")


@pytest.mark.skipif("SER_URDU" not in os.environ, reason="SER_URDU does not name a folder with the URDU corpus")
def test_the_real_urdu_is_read_whole(load) -> None:
    manifest = load(os.environ["SER_URDU"])
    assert (manifest.corpus, len(manifest.clips)) == ("urdu", 400)
    assert len(set(manifest.speakers.tolist())) == 29
    assert Counter(clip.emotion for clip in manifest.clips) == dict.fromkeys(("angry", "happy", "neutral", "sad"), 100)


def test_unknown_corpus() -> None:
    with pytest.raises(CorpusError, match=r"unknown corpus 'emo-db'; known: aesdd, .* urdu"):
        corpus_module("emo-db")


def test_nothing_there(tmp_path: Path, load) -> None:
    with pytest.raises(CorpusError, match=r"no such file or folder, and no corpus of that name \(aesdd, .* urdu\)"):
        load(tmp_path / "missing")


def test_a_file_of_another_kind(tmp_path: Path, load) -> None:
    (tmp_path / "corpus.tar").write_bytes(b"x")
    with pytest.raises(CorpusError, match=r"expected a folder, a .zip or a manifest .*; got a .tar file"):
        load(tmp_path / "corpus.tar")


def test_a_folder_of_no_known_corpus(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / "hello.wav")
    (tmp_path / "corpus" / "Audio.zip").write_bytes(b"x")
    with pytest.raises(CorpusError, match=r"pass one of Audio.zip.*write a manifest with the columns path, speaker"):
        load(tmp_path / "corpus")


@pytest.fixture
def broken(tmp_path: Path, write_audio) -> Path:
    """A RAVDESS folder with six good clips and one bad file of every kind."""
    root = tmp_path / "broken"
    good = [
        write_audio(root / f"03-01-0{emotion}-01-01-01-{actor}.wav")
        for emotion in (3, 4)
        for actor in ("01", "02", "03")
    ]
    content = good[0].read_bytes()
    (root / "03-01-05-01-01-01-01.wav").write_bytes(content[:2000])
    (root / "03-01-05-01-01-01-02.wav").write_bytes(b"")
    (root / "03-01-05-01-01-01-04.wav").write_text("I am not a recording")
    write_audio(root / "03-01-09-01-01-01-05.wav")
    soundfile.write(root / "03-01-05-01-01-01-06.wav", np.zeros(16_000), 16_000)
    soundfile.write(root / "03-01-05-01-01-01-07.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    return root


REASONS = {
    "03-01-05-01-01-01-01.wav": "truncated",
    "03-01-05-01-01-01-02.wav": "empty file",
    "03-01-05-01-01-01-04.wav": "not an audio file",
    "03-01-09-01-01-01-05.wav": "unknown emotion code 09",
    "03-01-05-01-01-01-06.wav": "silent",
    "03-01-05-01-01-01-07.wav": "NaN",
}


def test_bad_files_are_reported_together(broken: Path, load) -> None:
    with pytest.raises(CorpusError) as caught:
        load(broken)
    message = str(caught.value)
    assert "6 of 12 files cannot be used" in message
    assert "--skip-bad" in message
    for name, reason in REASONS.items():
        assert [line for line in message.splitlines() if name in line and reason in line], name


def test_bad_files_can_be_skipped_and_are_listed(broken: Path, load) -> None:
    manifest = load(broken, skip_bad=True)
    assert len(manifest.clips) == 6
    assert manifest.classes == ("happy", "sad")
    assert {file.path.name for file in manifest.skipped} == set(REASONS)
    assert all(REASONS[file.path.name] in file.reason for file in manifest.skipped)


def test_a_long_list_of_bad_files_is_counted(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / "03-01-03-01-01-01-01.wav")
    for number in range(25):
        (tmp_path / "corpus" / f"notes {number:02d}.wav").write_text("words")
    with pytest.raises(
        CorpusError, match=r"25 of 26 files(?s:.*)notes 19.wav: not a RAVDESS name(?s:.*)\n  and 5 more\n"
    ):
        load(tmp_path / "corpus")


def test_nothing_but_bad_files(tmp_path: Path, load) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "03-01-03-01-01-01-01.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"'ravdess' holds no usable clip; files left out: 1"):
        load(tmp_path / "corpus", skip_bad=True)


def test_verdicts_are_remembered_until_a_file_changes(
    tmp_path: Path, write_audio, load, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_audio(tmp_path / "corpus" / f"03-01-03-01-01-01-0{actor}.wav") for actor in (1, 2, 3)]
    decoded = []
    decode = package._check.decode
    monkeypatch.setattr(package._check, "decode", lambda path, span: decoded.append(path) or decode(path, span))
    load(tmp_path / "corpus")
    assert sorted(decoded) == files
    load(tmp_path / "corpus")
    assert len(decoded) == 3
    files[1].write_bytes(b"")
    with pytest.raises(CorpusError, match=r"1 of 3 files(?s:.*)empty file"):
        load(tmp_path / "corpus")
    with pytest.raises(CorpusError, match=r"1 of 3 files(?s:.*)empty file"):  # bad verdicts are remembered as well
        load(tmp_path / "corpus")


def test_a_torn_verdict_file_is_never_seen(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / "03-01-03-01-01-01-01.wav")
    load(tmp_path / "corpus")
    [verdicts] = (tmp_path / "cache" / "checked").iterdir()
    [(content, reason)] = json.loads(verdicts.read_text())
    assert (len(content), reason) == (16, "")


@pytest.mark.parametrize("damage", ["", "[", "[[1]]", "{}", "[" * 100_000, '[["a", ""], ["b", ""]]'])
def test_damaged_verdicts_are_found_again(tmp_path: Path, write_audio, load, damage: str) -> None:
    write_audio(tmp_path / "corpus" / "03-01-03-01-01-01-01.wav")
    before = load(tmp_path / "corpus")
    [verdicts] = (tmp_path / "cache" / "checked").iterdir()
    verdicts.write_text(damage)
    assert load(tmp_path / "corpus") == before


def test_the_same_recording_under_another_name_is_named_and_refused_in_another_part(
    tmp_path: Path, write_audio, load, caplog
) -> None:
    """Byte for byte, and in a file of another format."""
    for number, name in enumerate(("a.wav", "b.wav", "c.wav", "d.wav", "e.wav", "f.wav")):
        write_audio(tmp_path / f"{number}-{name}")
    samples, rate_hz = soundfile.read(tmp_path / "0-a.wav", dtype="int16")
    soundfile.write(tmp_path / "copy.flac", samples, rate_hz, subtype="PCM_16")
    shutil.copy(tmp_path / "1-b.wav", tmp_path / "again.wav")
    lines = [
        "path,speaker,emotion,split",
        "0-a.wav,ann,happy,train",
        "1-b.wav,ann,sad,train",
        "again.wav,ann,sad,train",
    ]
    lines += ["2-c.wav,bob,happy,dev", "3-d.wav,bob,sad,dev", "4-e.wav,cy,happy,test", "5-f.wav,cy,sad,test"]
    table = tmp_path / "list.csv"
    table.write_text("\n".join(lines))
    split = make_split(load(table), "manifest", 0)  # inside a part it is reported
    assert len(split.train) == 3
    assert "recordings that are there more than once: 1-b.wav (sad) = again.wav (sad)" in caplog.text
    table.write_text("\n".join([*lines, "copy.flac,di,sad,test"]))
    expected = r"a recording may be in one part only; .* several: 0-a\.wav \(train\) = copy\.flac \(test\)\. Remove all"
    with pytest.raises(SplitError, match=expected):
        make_split(load(table), "manifest", 0)


@pytest.mark.parametrize("content", ["", "{", '{"0": 1}', '{"7": "no such row"}', "[]", "null", "\0" * 12, "[" * 5000])
def test_a_damaged_verdict_file_is_made_anew(content: str, tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "corpus" / "03-01-03-01-01-01-01.wav")
    (tmp_path / "corpus" / "03-01-04-01-01-01-01.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"1 of 2 files(?s:.*)empty file"):
        load(tmp_path / "corpus")
    [verdicts] = (tmp_path / "cache" / "checked").iterdir()
    whole = verdicts.read_text()
    verdicts.write_text(content)
    with pytest.raises(CorpusError, match=r"1 of 2 files(?s:.*)empty file"):
        load(tmp_path / "corpus")
    assert verdicts.read_text() == whole


def test_classes_are_selected(tmp_path: Path, write_audio, load) -> None:
    for emotion in range(1, 9):
        write_audio(tmp_path / "corpus" / f"03-01-0{emotion}-01-01-01-01.wav")
    manifest = load(tmp_path / "corpus", classes="6")
    assert manifest.classes == ("neutral", "happy", "sad", "angry", "fearful", "disgust")
    with pytest.raises(CorpusError, match="no clip of ravdess is bored"):
        load(tmp_path / "corpus", classes="bored,happy")


def test_a_moved_corpus_has_the_same_fingerprint(tmp_path: Path, write_audio, load) -> None:
    for emotion in range(1, 9):
        write_audio(tmp_path / "here" / "Actor_01" / f"03-01-0{emotion}-01-01-01-01.wav")
    shutil.copytree(tmp_path / "here" / "Actor_01", tmp_path / "there")
    assert load(tmp_path / "here").fingerprint() == load(tmp_path / "there").fingerprint()
