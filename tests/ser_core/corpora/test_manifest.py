"""Users' own lists, and those of EmoBox and nkululeko."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ser_core.clips import CorpusError
from ser_core.splits import SplitError, make_split

ROWS = [("a.wav", "ann", "happy"), ("sub/b.flac", "bob", "sad"), ("c.wav", "cy", "Anger")]


@pytest.fixture
def folder(tmp_path: Path, write_audio) -> Path:
    for name, _, _ in ROWS:
        write_audio(tmp_path / "lists" / name)
    return tmp_path / "lists"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def summary(manifest) -> list[tuple[str, str, str]]:
    return [(clip.clip_id, clip.speaker, clip.emotion) for clip in manifest.clips]


EXPECTED = [("a.wav", "ann", "happy"), ("sub/b.flac", "bob", "sad"), ("c.wav", "cy", "angry")]


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [
        ("list.csv", "path,speaker,emotion", ","),
        ("list.csv", "file, speaker, emotion", ", "),  # nkululeko
        ("list.CSV", "Path,Speaker,Emotion", ","),
        ("list.tsv", "path\tspeaker\temotion", "\t"),
    ],
)
def test_tables(folder: Path, load, name: str, header: str, separator: str) -> None:
    lines = [header, *(separator.join(row) for row in ROWS), ""]
    manifest = load(write(folder / name, "\n".join(lines)))
    assert summary(manifest) == EXPECTED
    assert manifest.corpus == "list"
    assert manifest.classes == ("happy", "sad", "angry")
    assert manifest.clips[1].path.samefile(folder / "sub" / "b.flac")
    assert not manifest.synthetic
    assert manifest.licence == ""


def test_json_lines(folder: Path, load) -> None:
    lines = [json.dumps({"path": path, "speaker": speaker, "emotion": emotion}) for path, speaker, emotion in ROWS]
    assert summary(load(write(folder / "list.jsonl", "\n\n".join(lines)))) == EXPECTED


def test_excel_writes_a_byte_order_mark(folder: Path, load) -> None:
    text = "path,speaker,emotion\r\n" + "\r\n".join(",".join(row) for row in ROWS)
    assert summary(load(write(folder / "list.csv", text, "utf-8-sig"))) == EXPECTED


def test_columns_in_any_order_with_gender_and_more(folder: Path, load) -> None:
    text = "emotion,text,gender,speaker,path\nhappy,hi,F,ann,a.wav\nsad,ho,male,bob,sub/b.flac\nsad,hm,?,cy,c.wav\n"
    manifest = load(write(folder / "list.csv", text))
    assert [clip.gender for clip in manifest.clips] == ["female", "male", None]
    assert [clip.part for clip in manifest.clips] == [None, None, None]


def test_speakers_that_look_like_numbers_stay_text(folder: Path, load) -> None:
    text = '{"path": "a.wav", "speaker": 1, "emotion": "happy"}\n{"path": "c.wav", "speaker": "01", "emotion": "sad"}\n'
    assert load(write(folder / "list.jsonl", text)).speakers.tolist() == ["1", "01"]


def test_absolute_paths(folder: Path, load) -> None:
    text = f"path,speaker,emotion\n{folder / 'a.wav'},ann,happy\n{folder / 'c.wav'},cy,sad\n"
    assert [clip.clip_id for clip in load(write(folder / "list.csv", text)).clips] == ["a.wav", "c.wav"]


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("train", "train"),
        ("dev", "validation"),
        ("VALID", "validation"),
        ("validation", "validation"),
        ("test", "test"),
    ],
)
def test_words_for_parts(folder: Path, load, word: str, part: str) -> None:
    text = f"path,speaker,emotion,split\na.wav,ann,happy,{word}\nc.wav,cy,sad,\n"
    assert [clip.part for clip in load(write(folder / "list.csv", text)).clips] == [part, None]


def test_a_leaking_split_is_refused(folder: Path, load) -> None:
    text = "path,speaker,emotion,split\na.wav,ann,happy,train\nsub/b.flac,bob,sad,dev\nc.wav,ann,sad,test\n"
    with pytest.raises(SplitError, match="in several: ann"):
        make_split(load(write(folder / "list.csv", text)), "manifest", 0)


def emobox(name: str, emotion: str, **fields: object) -> str:
    """One line as EmoBox writes it: no speaker, the path from the root of its checkout."""
    wav = f"downloads/ravdess/audio/Actor_{name[-2:]}/{name}.wav"
    entry = {"key": f"ravdess-{name}", "dataset": "ravdess", "wav": wav, "type": "raw", "sample_rate": 48000}
    return json.dumps(
        {**entry, "num_frame": 9600.0, "task": "category", "length": 0.2, "emo": emotion, "channel": 1, **fields}
    )


def test_emobox(tmp_path: Path, write_audio, load) -> None:
    root = tmp_path / "EmoBox"
    names = ["03-01-05-01-02-01-18", "03-01-08-01-02-01-07"]
    for name in names:
        write_audio(root / "downloads" / "ravdess" / "audio" / f"Actor_{name[-2:]}" / f"{name}.wav")
    (root / "data" / "ravdess" / "fold_1").mkdir(parents=True)
    lines = [emobox(names[0], "Angry"), emobox(names[1], "Surprised")]
    manifest = load(write(root / "data" / "ravdess" / "fold_1" / "ravdess_train_fold_1.jsonl", "\n".join(lines)))
    assert [(clip.speaker, clip.emotion, clip.gender) for clip in manifest.clips] == [
        ("18", "angry", "female"),
        ("07", "surprised", "male"),
    ]


def test_emobox_with_speakers_of_its_own(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "03a01Fa.wav")
    write_audio(tmp_path / "08a01Wa.wav")
    lines = [
        json.dumps({"key": "emodb-1", "dataset": "emodb", "wav": "03a01Fa.wav", "emo": "happy", "spk": "03"}),
        json.dumps({"key": "emodb-2", "dataset": "emodb", "wav": "08a01Wa.wav", "emo": "anger", "spk": "08"}),
    ]
    assert summary(load(write(tmp_path / "emodb.jsonl", "\n".join(lines)))) == [
        ("03a01Fa.wav", "03", "happy"),
        ("08a01Wa.wav", "08", "angry"),
    ]


BAD_LINES = {
    '{"path": "gone.wav", "speaker": "ann", "emotion": "sad"}': "gone.wav: no such file",
    '{"path": "c.wav", "speaker": "", "emotion": "sad"}': "line 3 of list.jsonl: no speaker",
    '{"path": "c.wav", "speaker": "ann"}': "line 4 of list.jsonl: no emotion",
    '{"speaker": "ann", "emotion": "sad"}': "line 5 of list.jsonl: no path",
    '{"path": "a.wav", "speaker": "ann", "emotion": "sad"}': "line 6 of list.jsonl: a.wav is listed twice",
    '{"path": "c.wav", "speaker": "ann", "emotion": "sad", "split": "eval"}': "split must be train, .*; got 'eval'",
    '{"wav": "c.wav", "spk": "p", "emo": "sad", "start_time": 1, "end_time": 2}': "names a part of the file .1 to 2 s.",
    '{"dataset": "emodb", "wav": "c.wav", "emo": "sad"}': "line 9 of list.jsonl: no speaker",
}


def test_bad_lines_are_reported_together(folder: Path, load) -> None:
    good = '{"path": "a.wav", "speaker": "ann", "emotion": "happy"}'
    manifest = write(folder / "list.jsonl", "\n".join([good, *BAD_LINES]))
    with pytest.raises(CorpusError, match=f"{len(BAD_LINES)} of {len(BAD_LINES) + 1} files cannot be used") as caught:
        load(manifest)
    for reason in BAD_LINES.values():
        caught.match(reason)
    loaded = load(manifest, skip_bad=True)
    assert len(loaded.clips) == 1
    assert len(loaded.skipped) == len(BAD_LINES)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "list.csv",
            "path,emotion\na.wav,sad\n",
            r"must have the columns .*missing: speaker; its first line reads 'path, emotion'",
        ),
        ("list.csv", "", "missing: path, speaker, emotion"),
        ("list.csv", "path,speaker,emotion\n\n", "lists no clips"),
        ("list.jsonl", "\n", "lists no clips"),
        ("list.jsonl", "path,speaker\n", "line 1 is not JSON"),
        ("list.jsonl", '["a.wav"]\n', "line 1 must be a JSON object"),
    ],
)
def test_files_that_are_no_manifest(folder: Path, load, name: str, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load(write(folder / name, text))


def test_other_encodings_are_refused(folder: Path, load) -> None:
    with pytest.raises(CorpusError, match="save it as UTF-8"):
        load(write(folder / "list.csv", "path,speaker,emotion\na.wav,Jürgen,sad\n", "latin-1"))
