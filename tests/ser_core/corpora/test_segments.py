"""Clips that are parts of longer files: named by a manifest, cut out of their files, told apart everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_core.clips import CorpusError, Manifest, Span
from ser_core.config import FeatureConfig
from ser_core.features.audio import AudioError, decode, duration_seconds, read_audio
from ser_core.features.size import mean_seconds
from ser_core.features.store import corpus_features

RATE_HZ = 16_000
HEAD = "path,speaker,emotion"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def ramp() -> np.ndarray:
    """2 s whose every sample has a value of its own: (32,000,) in steps of 16 bits."""
    return np.arange(-RATE_HZ, RATE_HZ, dtype=np.float32) / 2**15


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(0.5, 1.25, 8_000, 20_000), (1.5, None, 24_000, 32_000), (0.0, 0.1, 0, 1_600), (1.9, 2.04, 30_400, 32_000)],
)
def test_a_span_is_the_samples_between_its_times(
    tmp_path: Path, ramp: np.ndarray, name: str, start: float, end: float | None, first: int, last: int
) -> None:
    """The last one ends 40 ms after the file, as rounding does."""
    soundfile.write(tmp_path / name, ramp, RATE_HZ, subtype="PCM_16")
    span = Span(start_seconds=start, end_seconds=end)
    np.testing.assert_array_equal(decode(tmp_path / name, span)[0], ramp[first:last])
    assert duration_seconds(tmp_path / name, span) == pytest.approx((last - first) / RATE_HZ, abs=0.05)


def test_channels_are_averaged_and_rates_changed_after_the_cut(tmp_path: Path, ramp: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([ramp, np.zeros_like(ramp)], axis=1), RATE_HZ)
    soundfile.write(tmp_path / "cut.wav", ramp[8_000:20_000] / 2, RATE_HZ, subtype="FLOAT")
    span = Span(start_seconds=0.5, end_seconds=1.25)
    found, expected = read_audio(tmp_path / "a.wav", 8_000, span), read_audio(tmp_path / "cut.wav", 8_000)
    np.testing.assert_allclose(found, expected, atol=2**-15)


def test_a_stream_whose_length_is_left_open_is_cut_too(tmp_path: Path, ramp: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.flac", ramp, RATE_HZ, subtype="PCM_16")
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])  # the number of samples in the header
    (tmp_path / "a.flac").write_bytes(content)
    for start, end in ((0.5, 1.25), (1.5, None)):
        samples, _ = decode(tmp_path / "a.flac", Span(start_seconds=start, end_seconds=end))
        np.testing.assert_array_equal(samples, ramp[int(start * RATE_HZ) : end and int(end * RATE_HZ)])
    with pytest.raises(AudioError, match="the file ends after 2 s"):
        decode(tmp_path / "a.flac", Span(start_seconds=1, end_seconds=3))


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.2), (2.0, None), (5.0, 6.0)])
def test_a_span_beyond_its_file_is_an_error(tmp_path: Path, ramp: np.ndarray, start: float, end: float | None) -> None:
    soundfile.write(tmp_path / "a.wav", ramp, RATE_HZ)
    with pytest.raises(AudioError, match="the file ends after 2 s"):
        decode(tmp_path / "a.wav", Span(start_seconds=start, end_seconds=end))


def test_silence_in_a_span_is_found_although_the_file_is_not_silent(tmp_path: Path, ramp: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", np.concatenate([ramp, np.zeros(RATE_HZ)]), RATE_HZ)
    with pytest.raises(AudioError, match="silent"):
        decode(tmp_path / "a.wav", Span(start_seconds=2, end_seconds=3))


# -- manifests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "values", "clip_id", "span"),
    [
        ("start,end", "0,0.1", "a.wav#t=0,0.1", (0, 0.1)),
        ("start,end", "0 days 00:00:00.050000,0 days 00:00:00.2", "a.wav#t=0.05,0.2", (0.05, 0.2)),
        ("start,end", "0.1,NaT", "a.wav#t=0.1", (0.1, None)),
        ("offset,duration", "0.0,0.1", "a.wav#t=0,0.1", (0, 0.1)),
        ("offset,duration", "0.05,0.1", "a.wav#t=0.05,0.15", (0.05, 0.15)),
        ("offset,duration", "0.1,", "a.wav#t=0.1", (0.1, None)),
        ("duration", "0.1", "a.wav#t=0,0.1", (0, 0.1)),
        ("start_time,end_time", "0.1,0.18", "a.wav#t=0.1,0.18", (0.1, 0.18)),
    ],
)
def test_times_of_a_line_cut_the_clip_out_of_its_file(
    tmp_path: Path, write_audio, load, columns: str, values: str, clip_id: str, span: tuple[float, float | None]
) -> None:
    write_audio(tmp_path / "a.wav")
    (clip,) = load(write(tmp_path / "list.csv", f"{HEAD},{columns}", f"a.wav,ann,happy,{values}")).clips
    assert clip.clip_id == clip_id
    assert clip.span is not None
    assert (clip.span.start_seconds, clip.span.end_seconds) == pytest.approx(span)


@pytest.mark.parametrize(
    ("columns", "values", "reason"),
    [
        ("start_time,end_time", "x,1", "start must be seconds, or a timedelta as pandas writes it; got 'x'"),
        ("begin,stop", "-1,1", "start must be seconds"),
        ("end", "1e999", "end must be seconds"),
        ("start,end", "0.1,0.12", r"names 0.1 to 0.12 s of its file: a clip must last at least 0.05 s"),
        ("start,end", "0.2,0.1", r"names 0.2 to 0.1 s of its file: a clip must last"),
        ("start,end", "0.1,9", r"a.wav: 0.1 to 9 s: the file ends after 0.2 s"),
        ("start,end", "3,9", r"a.wav: 3 to 9 s: the file ends after 0.2 s"),
        ("frame_offset", "1600", "frame_offset counts samples: write start and end in seconds"),
        ("channel", "1", "names channel 1 of a file that has 2"),
    ],
)
def test_times_that_no_clip_can_have_are_refused(
    tmp_path: Path, write_audio, load, columns: str, values: str, reason: str
) -> None:
    write_audio(tmp_path / "a.wav", channels=2)
    with pytest.raises(CorpusError, match=reason):
        load(write(tmp_path / "list.csv", f"{HEAD},{columns}", f"a.wav,ann,happy,{values}"))


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("start,end", "0,0.2"),
        ("start,end", "0 days 00:00:00,0 days 00:00:00.200000"),
        ("start,end", "0 days 00:00:00,NaT"),
        ("start,end", ","),
        ("offset,duration", "0,0.17"),
        ("duration", "0.2"),
        ("channel", "0"),
        ("frame_offset", "0"),
    ],
)
def test_times_of_the_whole_file_make_no_span(tmp_path: Path, write_audio, load, columns: str, values: str) -> None:
    write_audio(tmp_path / "a.wav")
    (clip,) = load(write(tmp_path / "list.csv", f"{HEAD},{columns}", f"a.wav,ann,happy,{values}")).clips
    assert (clip.clip_id, clip.span) == ("a.wav", None)


@pytest.mark.parametrize(
    ("part", "clip_id"),
    [
        ({"start": 0.05, "end": 0.2}, "a.wav#t=0.05,0.2"),
        ({"offset": 0, "duration": 0.1}, "a.wav#t=0,0.1"),
        ({"offset": 0.1, "duration": None}, "a.wav#t=0.1"),
    ],
)
def test_json_lines_have_spans_too(tmp_path: Path, write_audio, load, part: dict[str, float], clip_id: str) -> None:
    write_audio(tmp_path / "a.wav")
    row = {"path": "a.wav", "speaker": "ann", "emotion": "happy", **part}
    assert load(write(tmp_path / "list.jsonl", json.dumps(row))).clips[0].clip_id == clip_id


def test_the_whole_of_a_stream_whose_length_is_left_open_is_read(tmp_path: Path, write_audio, load) -> None:
    content = bytearray(write_audio(tmp_path / "a.flac").read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])  # the number of samples in the header
    (tmp_path / "a.flac").write_bytes(content)
    for end, clip_id in ((0.2, "a.flac"), (0.1, "a.flac#t=0,0.1")):
        table = write(tmp_path / "list.csv", f"{HEAD},start,end", f"a.flac,ann,happy,0,{end}")
        assert load(table).clips[0].clip_id == clip_id


@pytest.fixture
def dialogue(tmp_path: Path, write_audio, load) -> Manifest:
    """Three parts of one file, two of them alike in their samples, and a file of its own that is the first part."""
    samples, _ = soundfile.read(write_audio(tmp_path / "part.wav"), dtype="int16")
    other, _ = soundfile.read(write_audio(tmp_path / "other.wav"), dtype="int16")
    soundfile.write(tmp_path / "dialogue.wav", np.concatenate([samples, other, samples]), RATE_HZ)
    lines = ["dialogue.wav,ann,happy,0,0.2", "dialogue.wav,bob,sad,0.2,0.4", "dialogue.wav,ann,happy,0.4,0.6"]
    return load(write(tmp_path / "list.csv", f"{HEAD},start,end", *lines, "part.wav,ann,happy,,"))


def test_a_clip_is_a_file_and_a_span_where_recordings_are_compared(dialogue: Manifest, caplog) -> None:
    assert dialogue.repeated() == [[0, 2, 3]]
    assert dialogue.clips[0].content != dialogue.clips[1].content


def test_a_clip_is_a_file_and_a_span_where_features_are_computed_and_kept(dialogue: Manifest, tmp_path: Path) -> None:
    settings = FeatureConfig(kind="mfcc", sample_rate_hz=RATE_HZ)
    store = corpus_features(dialogue, tmp_path / "cache").store(settings)
    parts = [store.frames[slice(*store.bounds[row])] for row in range(4)]
    np.testing.assert_array_equal(parts[0], parts[3])
    np.testing.assert_array_equal(parts[0], parts[2])
    assert len(parts[1]) == len(parts[0])
    assert np.abs(parts[1] - parts[0]).max() > 1
    moved = replace(dialogue.clips[1], span=Span(start_seconds=0.25, end_seconds=0.4))
    other = replace(dialogue, clips=(dialogue.clips[0], moved, *dialogue.clips[2:]))
    assert corpus_features(other, tmp_path / "cache").store(settings).fingerprint != store.fingerprint
    assert mean_seconds(dialogue.clips) == pytest.approx(0.2)


def test_a_bad_part_leaves_the_others_of_its_file_in(tmp_path: Path, write_audio, load) -> None:
    samples, _ = soundfile.read(write_audio(tmp_path / "a.wav"), dtype="int16")
    soundfile.write(tmp_path / "a.wav", np.concatenate([samples, np.zeros_like(samples)]), RATE_HZ)
    lines = ["a.wav,ann,happy,0,0.2", "a.wav,ann,sad,0.2,0.4", "a.wav,ann,sad,0.3,0.5", "a.wav,ann,happy,0.0,0.2"]
    manifest = load(write(tmp_path / "list.csv", f"{HEAD},start,end", *lines), skip_bad=True)
    assert [clip.clip_id for clip in manifest.clips] == ["a.wav#t=0,0.2"]
    reasons = sorted(skipped.reason.split(":", 1)[1] for skipped in manifest.skipped)
    assert reasons[0] == " a.wav#t=0,0.2 is listed twice"
    assert "silent" in reasons[1]
    assert reasons[2] == " the file ends after 0.4 s"


def test_the_verdict_on_a_part_is_not_that_on_another(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "a.wav")
    found = {
        load(write(tmp_path / "list.csv", f"{HEAD},start,end", f"a.wav,ann,happy,{span}")).clips[0].content
        for span in ("0,0.1", "0.1,0.2", "0,0.2")
    }
    assert len(found) == 3


# -- what is else known of a clip --------------------------------------------------------------------------------------


def test_columns_stay_with_their_clips(tmp_path: Path, write_audio, load) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_audio(tmp_path / name)
    rows = ["a.wav,ann,happy,f,30,de,Ses01", "b.wav,bob,sad,m,,en,", "c.wav,cy,calm,,41,,"]
    manifest = load(write(tmp_path / "list.csv", f"{HEAD},gender,age,lang,session", *rows))
    assert manifest.column("age").tolist() == ["30", "", "41"]
    assert manifest.column("language").tolist() == ["de", "en", ""]
    assert manifest.column("gender").tolist() == ["female", "male", ""]
    assert manifest.with_classes("calm,sad").column("age").tolist() == ["", "41"]
    assert manifest.take([2, 0]).column("age").tolist() == ["41", "30"]
    with pytest.raises(
        CorpusError, match="no column 'accent'; it has speaker, emotion, gender, language, session, age"
    ):
        manifest.column("accent")


def test_a_column_of_another_length_is_refused(tmp_path: Path, write_audio, load) -> None:
    write_audio(tmp_path / "a.wav")
    manifest = load(write(tmp_path / "list.csv", HEAD, "a.wav,ann,happy"))
    with pytest.raises(ValueError, match=r"column 'age' of shape \(2,\) does not fit 1 clips"):
        replace(manifest, columns={"age": np.array(["1", "2"], dtype=object)})
