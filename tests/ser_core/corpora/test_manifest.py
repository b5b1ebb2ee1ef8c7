"""Users' own lists, and those of EmoBox and nkululeko."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ser_core.clips import CorpusError
from ser_core.split_rules import SplitError
from ser_core.splits import make_split

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
    text = '{"path": "a.wav", "speaker": 1, "emotion": "happy"}\n{"path": "c.wav", "speaker": "02", "emotion": "sad"}\n'
    assert load(write(folder / "list.jsonl", text)).speakers.tolist() == ["1", "02"]


def test_absolute_paths(folder: Path, load) -> None:
    text = f"path,speaker,emotion\n{folder / 'a.wav'},ann,happy\n{folder / 'c.wav'},cy,sad\n"
    assert [clip.clip_id for clip in load(write(folder / "list.csv", text)).clips] == ["a.wav", "c.wav"]


@pytest.mark.parametrize("written", ["{audio}/{name}", "../../audio/{name}"])
def test_messages_name_files_elsewhere_by_their_whole_paths(
    tmp_path: Path, write_audio, load, caplog, written: str
) -> None:
    """Ids start at the manifest's folder, so that of an absolute path would read ../../audio/a.wav."""
    audio = tmp_path / "audio"
    for name in ("a.wav", "b.wav", "c.wav"):
        write_audio(audio / name)
    (audio / "b.wav").write_bytes((audio / "a.wav").read_bytes())
    (tmp_path / "lists" / "of").mkdir(parents=True)
    path = tmp_path / "lists" / "of" / "clips.csv"
    labels = {"a.wav": "ann,happy", "b.wav": "bob,happy", "c.wav": "cy,sad"}
    rows = [f"{written.format(audio=audio, name=name)},{label}" for name, label in labels.items()]

    manifest = load(write(path, "\n".join(["path,speaker,emotion", *rows])))
    assert [clip.clip_id for clip in manifest.clips] == [f"../../audio/{name}" for name in labels]
    assert f"more than once: {audio}/a.wav (happy) = {audio}/b.wav (happy)" in caplog.text

    with pytest.raises(CorpusError, match=rf"line 5 of clips\.csv: {audio}/c\.wav is listed twice"):
        load(write(path, "\n".join(["path,speaker,emotion", *rows, rows[2]])))

    manifest = load(write(path, "\n".join(["path,speaker,emotion,split", *(f"{row}," for row in rows)])))
    with pytest.raises(SplitError, match=rf"3 of 3 have none: {audio}/a\.wav, {audio}/b\.wav, {audio}/c\.wav"):
        make_split(manifest, "manifest", 0)

    parts = zip(rows, ("train", "test", "validation"), strict=True)
    manifest = load(write(path, "\n".join(["path,speaker,emotion,split", *(f"{row},{part}" for row, part in parts)])))
    with pytest.raises(SplitError, match=rf"{audio}/a\.wav \(train\) = {audio}/b\.wav \(test\)"):
        make_split(manifest, "manifest", 0)


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


def test_emobox_with_codes_of_the_corpus(tmp_path: Path, write_audio, load) -> None:
    """CaFE's lists have the codes of its file names, in lower case; a number stands for what the corpus says."""
    lines = []
    for name, code in (("01-P-1-1", "p"), ("02-T-2-1", "t"), ("02-J-2-1", "j")):
        write_audio(tmp_path / "downloads" / f"{name}.wav")
        lines.append({"key": name, "dataset": "cafe", "wav": f"downloads/{name}.wav", "emo": code})
    write_audio(tmp_path / "downloads" / "03-01-05-01-02-01-16.wav")
    wav = "downloads/03-01-05-01-02-01-16.wav"
    lines.append({"key": "x", "dataset": "ravdess", "wav": wav, "emo": "05", "spk": "16"})
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    manifest = load(tmp_path / "list.jsonl")
    assert [clip.emotion for clip in manifest.clips] == ["fearful", "sad", "happy", "angry"]
    assert [clip.speaker for clip in manifest.clips] == ["01", "02", "02", "16"]
    (tmp_path / "list.jsonl").write_text(json.dumps({**lines[-1], "dataset": "another"}))
    with pytest.raises(CorpusError, match="emotion must be a word; got 05"):
        load(tmp_path / "list.jsonl")


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
    '{"wav": "c.wav", "spk": "p", "emo": "sad", "start_time": 1, "end_time": 2}': "c.wav: 1 to 2 s: the file ends",
    '{"dataset": "own", "wav": "c.wav", "emo": "sad"}': "line 9 of list.jsonl: no speaker",
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


# -- columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["filename,speaker_id,label", "file_name,spk,class", "wav,spk_id,emo", "audio_path,actor,emotion_label"],
)
def test_names_that_others_use_are_read(folder: Path, load, header: str) -> None:
    lines = [header, *(",".join(row) for row in ROWS)]
    assert summary(load(write(folder / "list.csv", "\n".join(lines)))) == EXPECTED


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_of_another_separator_is_read(folder: Path, load, separator: str) -> None:
    lines = [separator.join(row) for row in (("path", "speaker", "emotion"), *ROWS)]
    assert summary(load(write(folder / "list.csv", "\n".join(lines)))) == EXPECTED


def test_our_own_name_of_a_column_goes_first_and_unused_columns_are_named_once(folder: Path, load, caplog) -> None:
    text = "path,speaker,emotion,label,age\na.wav,ann,happy,1,30\nc.wav,cy,sad,2,31\n"
    assert [clip.emotion for clip in load(write(folder / "list.csv", text)).clips] == ["happy", "sad"]
    (record,) = caplog.records
    assert record.getMessage().endswith("list.csv: columns that are not used: age, label")


def test_two_columns_that_could_be_the_same_are_refused(folder: Path, load) -> None:
    text = "filename,wav,speaker,emotion\na.wav,c.wav,ann,happy\n"
    with pytest.raises(CorpusError, match=r"wav and filename could each be the path; call the right one 'path'"):
        load(write(folder / "list.csv", text))
    text = "path,start,offset,speaker,emotion\na.wav,0,0,ann,happy\n"
    with pytest.raises(CorpusError, match=r"columns start and offset could each be the start; remove all but one"):
        load(write(folder / "list.csv", text))


# -- identities and missing values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("speaker", "3", "3.0"),
        ("speaker", "03", "3"),
        ("speaker", "Anna07", "anna07 "),
        ("speaker", "anna 07", "Anna07"),
        ("speaker", "\uff13", "3"),
        ("emotion", "very happy", "Very_Happy"),
    ],
)
def test_names_that_are_one_are_refused(folder: Path, load, column: str, one: str, other: str) -> None:
    rows = [{"path": "a.wav", "speaker": "x", "emotion": "sad"}, {"path": "c.wav", "speaker": "y", "emotion": "sad"}]
    for row, name in zip(rows, (one, other), strict=True):
        row[column] = name
    with pytest.raises(CorpusError, match=rf"every {column} must be written in one way; .* Write them alike"):
        load(write(folder / "list.jsonl", "\n".join(json.dumps(row) for row in rows)))


@pytest.mark.parametrize("empty", ["", "nan", "NaN", "None", "N/A", "<NA>", "null"])
@pytest.mark.parametrize("column", ["path", "speaker", "emotion"])
def test_a_missing_value_is_no_name(folder: Path, load, column: str, empty: str) -> None:
    row = {"path": "a.wav", "speaker": "ann", "emotion": "sad", column: empty}
    with pytest.raises(CorpusError, match=f"line 2 of list.csv: no {column}"):
        load(write(folder / "list.csv", ",".join(row) + "\n" + ",".join(row.values()) + "\n"))


@pytest.mark.parametrize("empty", [None, float("nan"), "", " "])
@pytest.mark.parametrize("column", ["path", "speaker", "emotion"])
def test_a_missing_value_of_json_lines_is_no_name(folder: Path, load, column: str, empty: object) -> None:
    row = {"path": "a.wav", "speaker": "ann", "emotion": "sad", column: empty}
    with pytest.raises(CorpusError, match=rf"line 1 of list\.jsonl: no {column}"):
        load(write(folder / "list.jsonl", json.dumps(row)))


def test_emotions_that_are_numbers_are_refused(folder: Path, load) -> None:
    with pytest.raises(CorpusError, match=r"emotion must be a word; got 1\.00: write the word that the number stands"):
        load(write(folder / "list.csv", "path,speaker,emotion\na.wav,ann,1.00\nc.wav,cy,2.00\n"))


def test_words_for_gender_that_are_not_known_are_named(folder: Path, load, caplog) -> None:
    text = "path,speaker,emotion,gender\na.wav,ann,happy,femal\nc.wav,cy,sad,m\nsub/b.flac,bob,sad,\n"
    manifest = load(write(folder / "list.csv", text))
    assert [clip.gender for clip in manifest.clips] == [None, "male", None]
    (record,) = caplog.records
    assert record.getMessage().endswith("not understood, and taken as unknown: 'femal' (in 1 clip)")


def test_eval_is_refused_with_its_two_meanings(folder: Path, load) -> None:
    with pytest.raises(CorpusError, match="got 'eval', which means validation to some and test to others"):
        load(write(folder / "list.csv", "path,speaker,emotion,split\na.wav,ann,happy,eval\n"))


# -- what is no manifest -----------------------------------------------------------------------------------------------


def test_a_path_as_windows_writes_it_is_named(folder: Path, load) -> None:
    with pytest.raises(CorpusError, match=r"no such file: sub\\b\.flac; write its path with / instead of"):
        load(write(folder / "list.csv", "path,speaker,emotion\nsub\\b.flac,bob,sad\n"))


def test_a_pointer_of_git_lfs_is_named(folder: Path, load) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    with pytest.raises(CorpusError, match="It is a Git LFS pointer: run git lfs pull"):
        load(write(folder / "list.csv", pointer))
    (folder / "a.wav").write_text(pointer)
    with pytest.raises(CorpusError, match=r"a\.wav: a Git LFS pointer instead of audio: run git lfs pull"):
        load(write(folder / "list.csv", "path,speaker,emotion\na.wav,ann,happy\nc.wav,cy,sad\n"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[" * 100_000, "line 1 is not JSON"),
        ('{"speaker": ' + "9" * 5_000 + "}", "line 1 is not JSON"),
        ('{"path": ["a.wav"], "speaker": "ann", "emotion": "sad"}', "path must be text or a number; got list"),
        ('{"path": "a.wav", "speaker": {"id": 1}, "emotion": "sad"}', "speaker must be text or a number; got dict"),
        ('{"path": "a.wav", "speaker": true, "emotion": "sad"}', "speaker must be text or a number; got bool"),
        (
            '{"path": "a\\ud800.wav", "speaker": "ann", "emotion": "sad"}',
            "path holds a character that no text may",
        ),
        (
            '{"path": "a\\u0000.wav", "speaker": "ann", "emotion": "sad"}',
            "path holds a character that no text may",
        ),
    ],
)
def test_hostile_json_is_refused_with_its_line(folder: Path, load, line: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        load(write(folder / "list.jsonl", line + "\n"))
