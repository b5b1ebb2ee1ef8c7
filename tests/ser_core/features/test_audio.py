"""Files to samples: values, channels, rates, and every kind of file that must be refused."""

from __future__ import annotations

import io
import resource
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ser_core.features.audio import AudioError, decode, duration_seconds, read_audio
from tests.bounded import bounded

RATE_HZ = 16_000


def tone(seconds: float = 0.5, *, rate_hz: int = RATE_HZ, hz: float = 440.0, peak: float = 0.5) -> np.ndarray:
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16")]
)
def test_samples_survive_the_file(tmp_path: Path, suffix: str, subtype: str) -> None:
    soundfile.write(tmp_path / f"a.{suffix}", tone(), RATE_HZ, subtype=subtype)
    samples = read_audio(tmp_path / f"a.{suffix}", RATE_HZ)
    assert samples.dtype == np.float32
    assert samples.flags.c_contiguous
    np.testing.assert_allclose(samples, tone(), atol=2**-15)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(hz=300), tone(hz=700, peak=0.2)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE_HZ, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", RATE_HZ), (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_a_tone(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate_hz=rate_hz), rate_hz, subtype="FLOAT")
    samples = read_audio(tmp_path / "a.wav", RATE_HZ)
    assert samples.dtype == np.float32
    assert samples.shape == (RATE_HZ // 2,)
    inner = slice(400, -400)  # the filter sees zeros beyond both ends
    np.testing.assert_allclose(samples[inner], tone()[inner], atol=2e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate_hz=48_000, hz=12_000), 48_000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav", RATE_HZ)[400:-400]).max() < 5e-3


def test_original_stereo_files_are_read(ravdess_original_root: Path) -> None:
    files = sorted(ravdess_original_root.rglob("*.wav"))
    assert any(soundfile.info(file).channels == 2 for file in files)
    for file in files:
        assert 2 * RATE_HZ < read_audio(file, RATE_HZ).size < 6 * RATE_HZ


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, RATE_HZ), RATE_HZ, subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(AudioError, match="truncated"):
        decode(path)


def test_a_streamed_wav_without_a_size_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE_HZ, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert decode(path)[0].shape == (RATE_HZ // 2,)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(RATE_HZ), "silent"),
        (np.full(RATE_HZ, 0.25), "silent"),
        (np.random.default_rng(0).choice([-3e-5, 0, 3e-5], RATE_HZ), "silent"),
        (np.r_[tone(), np.nan], "1 sample is NaN"),
        (np.r_[tone(), np.inf, -np.inf], "2 samples are NaN or infinite"),
        (tone(0.01), "too short: 10 ms, at least 50 ms"),
        (np.empty(0), "empty: a header without audio"),
    ],
)
def test_samples_that_teach_nothing_are_refused(tmp_path: Path, samples: np.ndarray, reason: str) -> None:
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match=reason):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"speaker,emotion\n", r"not an audio file .* begins with b'speaker,emotion"),
        (None, "no such file"),
    ],
)
def test_files_that_are_not_audio_are_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=reason):
        read_audio(path, RATE_HZ)


def test_a_quiet_voice_is_not_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(peak=1e-3), RATE_HZ, subtype="FLOAT")
    assert decode(tmp_path / "a.wav")[0].size == RATE_HZ // 2


def flac_of(frames: int, total: int) -> bytes:
    """A FLAC file of a tone whose header announces `total` samples, in 36 bits; 0 is what a stream leaves open."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(frames / RATE_HZ), RATE_HZ, format="FLAC", subtype="PCM_16")
    content = bytearray(buffer.getvalue())
    content[21] = content[21] & 0xF0 | total >> 32
    content[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    return bytes(content)


@pytest.mark.parametrize("total", [0, 2**36 - 1])
def test_a_flac_stream_of_unknown_length_is_whole(tmp_path: Path, total: int) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac_of(40_000, total))
    np.testing.assert_allclose(decode(path)[0], tone(2.5), atol=2**-15)
    assert duration_seconds(path) == 2.5


@pytest.mark.parametrize("total", [50_000, 2**34])
def test_a_flac_whose_header_announces_more_is_truncated(tmp_path: Path, total: int) -> None:
    (tmp_path / "a.flac").write_bytes(flac_of(40_000, total))
    with pytest.raises(AudioError, match="truncated"):
        decode(tmp_path / "a.flac")


@pytest.mark.parametrize("total", [1, 30_000, 39_999])
def test_a_flac_whose_header_announces_less_than_it_holds_is_refused(tmp_path: Path, total: int) -> None:
    """A decoder that believes the header gives a part of the recording, without a word."""
    (tmp_path / "a.flac").write_bytes(flac_of(40_000, total))
    assert len(soundfile.read(tmp_path / "a.flac")[0]) == total
    with pytest.raises(AudioError, match=f"damaged: its header announces {total:,} samples, and more follow"):
        decode(tmp_path / "a.flac")


def test_a_tag_behind_the_samples_of_a_flac_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(flac_of(40_000, 40_000) + b"TAG" + b"name".ljust(125, b"\0"))
    np.testing.assert_allclose(decode(tmp_path / "a.flac")[0], tone(2.5), atol=2**-15)


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 2**31 - 1])
def test_rates_that_no_recording_has_are_refused(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE_HZ, subtype="PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = struct.pack("<I", rate_hz)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=rf"a sample rate of {rate_hz:,} Hz; rates of 1,000 to 768,000 Hz are read"):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize("rate_hz", [8_009, 48_017, 191_999])
def test_rates_without_a_common_divisor_take_little_memory(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate_hz=rate_hz), rate_hz, subtype="FLOAT")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    samples = read_audio(tmp_path / "a.wav", RATE_HZ)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024  # KiB; it was 6 GB
    assert samples.dtype == np.float32
    assert RATE_HZ // 2 <= len(samples) <= RATE_HZ // 2 + 1
    np.testing.assert_allclose(samples[400:7_600], tone()[400:7_600], atol=2e-3)


def test_a_recording_of_hours_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(2.5), RATE_HZ)
    with pytest.raises(AudioError, match="longer than 2 s: cut it into clips"):
        decode(tmp_path / "a.wav", most_seconds=2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer instead of audio: run git lfs pull"),
        (b"\0\0\0 ftypM4A \0\0\0\0isom", r"MPEG-4 audio \(m4a, mp4\), .* convert it, as with ffmpeg"),
        (b"\x1aE\xdf\xa3" + bytes(20), "a WebM, Matroska or WMA file"),
    ],
)
def test_what_a_person_took_for_audio_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=reason):
        decode(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mutated_file_gives_samples_or_a_reason(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    """Bytes of a valid file are overwritten, the header's above all, or cut off."""
    path = tmp_path / f"a.{suffix}"
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(0.2), RATE_HZ, format=suffix.upper())
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 63), st.integers(0, len(content) - 1)))
        new = data.draw(st.binary(min_size=1, max_size=4))
        content[at : at + len(new)] = new
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 44]))])
    with bounded(), suppress(AudioError):  # with a reason
        samples = read_audio(path, RATE_HZ)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
