"""Audio files to samples: mono, float32, at the wanted rate.

A file that cannot be trusted is an error with a reason, never a row of zeros: training on silence or on half a clip
does not fail, it only lowers the score.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from scipy.signal import firwin, resample_poly
from torchaudio.transforms import Resample

from ser_core.clips import Span
from ser_core.errors import UserError
from ser_core.windows import SILENCE_PEAK

MIN_SECONDS = 0.05
"""Shortest usable clip, s: two analysis windows."""

SPAN_TOLERANCE_SECONDS = 0.05
"""By so much a span may end after its file, since manifests round, s."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
"""Sample rates that are believed."""
MOST_SECONDS = 3_600
"""Longest usable file, s: a bound on memory, 230 MB at 16 kHz."""

_BLOCK_VALUES = 1 << 20  # samples times channels that are decoded at a time
_UNKNOWN_FRAMES = 1 << 35  # a FLAC stream may leave its length open: libsndfile then gives 2^36 - 1 or more
_MOST_KERNEL_VALUES = 1 << 22  # 16 MB; of 44,100 to 16,000 Hz it has 2^17
_STREAMED = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what a writer that could not seek leaves as the size of the data chunk
_DATA_CHUNK = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)


class AudioError(UserError, ValueError):
    """A file that holds no usable speech; the message is the reason alone, the caller knows the path."""


def read_audio(
    path: Path, sample_rate_hz: int, span: Span | None = None, *, most_seconds: float = MOST_SECONDS
) -> np.ndarray:
    """Decode a file or a span of it, average its channels and resample it, see `resampled`.

    Returns:
        (samples,) float32; full scale is 1.

    Raises:
        AudioError: see `decode`.
    """
    return resampled(*decode(path, span, most_seconds=most_seconds), sample_rate_hz)


def resampled(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Samples (samples,) float32 at another rate, band-limited by a Hann-windowed sinc, as torchaudio does it.

    That takes memory with the product of both rates over their common divisor; where it would be too much, such as from
    48,017 Hz, polyphase filtering with a Kaiser-windowed sinc stands in.
    """
    if from_hz == to_hz:
        return samples
    divisor = math.gcd(from_hz, to_hz)
    down, up = from_hz // divisor, to_hz // divisor
    if up * (down + 12 * max(1, down / up)) > _MOST_KERNEL_VALUES:
        polyphase: np.ndarray = resample_poly(samples, up, down, window=_filter(max(up, down)))
        return polyphase.astype(np.float32, copy=False)
    with torch.inference_mode():
        return _resampler(from_hz, to_hz)(torch.from_numpy(samples)).numpy()


def duration_seconds(path: Path, span: Span | None = None) -> float:
    """Length of a file or of a span of it, s, as its header tells it: nothing is decoded.

    Raises:
        AudioError: missing, or not audio.
    """
    if span is not None:
        end = duration_seconds(path) if span.end_seconds is None else span.end_seconds
        return end - span.start_seconds
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(_decoder_reason(path, str(error)) if path.is_file() else "no such file") from error
    if info.frames >= _UNKNOWN_FRAMES:
        samples, rate_hz = decode(path)
        return len(samples) / rate_hz
    return info.duration


def decode(path: Path, span: Span | None = None, *, most_seconds: float = MOST_SECONDS) -> tuple[np.ndarray, int]:
    """Decode a whole file, or a span of it, a block at a time, and average its channels.

    Returns:
        (samples,) float32 and the file's rate in Hz.

    Raises:
        AudioError: missing, not audio, truncated, empty, shorter than `MIN_SECONDS`, longer than `most_seconds`, of a
            rate that no recording has, longer than its header announces, NaN or infinite, silent, a span that the file
            does not have, or anything else for which the decoder gives up.
    """
    if not path.is_file():
        raise AudioError("no such file")
    if path.stat().st_size == 0:
        raise AudioError("empty file")
    try:
        if span is not None:
            return _decode_span(path, span, most_seconds)
        with _opened(path) as (file, declared):
            log, rate_hz = file.extra_info, file.samplerate
            samples = _mono(file, declared, most_seconds)
            goes_on = len(samples) == declared and _goes_on(file)
    except AudioError:
        raise
    except Exception as error:  # libsndfile, soundfile and numpy each raise their own; it is this file's reason
        raise AudioError(_decoder_reason(path, str(error) or type(error).__name__)) from error
    missing = _missing_share(log, declared, len(samples))
    if missing:
        raise AudioError(f"truncated: {missing:.0%} of the audio that the header announces is missing")
    if goes_on:
        raise AudioError(f"damaged: its header announces {declared:,} samples, and more follow; write it anew")
    _check_samples(samples, rate_hz)
    return samples, rate_hz


def _decode_span(path: Path, span: Span, most_seconds: float) -> tuple[np.ndarray, int]:
    """A part of a file, (samples,) float32, and the file's rate in Hz; of what lies before it, nothing is decoded where
    the format allows that."""
    with _Stream(path) as file:
        rate_hz, frames = file.samplerate, file.frames
        start = round(span.start_seconds * rate_hz)
        end = frames if span.end_seconds is None else round(span.end_seconds * rate_hz)
        least = 0 if span.end_seconds is None else end - start - SPAN_TOLERANCE_SECONDS * rate_hz
        if frames >= _UNKNOWN_FRAMES:
            _skip(file, start)
        elif start < frames:
            file.seek(start)
        samples = _mono(file, end - start, most_seconds) if start < frames else np.empty(0, np.float32)
    if len(samples) == 0 or len(samples) < least:
        raise AudioError(f"the file ends after {min(start + len(samples), frames) / rate_hz:g} s")
    _check_samples(samples, rate_hz)
    return samples, rate_hz


def _skip(file: soundfile.SoundFile, frames: int) -> None:
    """Read past the beginning of a stream that cannot be sought in, since its length is not known."""
    while frames > 0 and (passed := len(file.read(min(_BLOCK_VALUES // file.channels, frames), dtype="float32"))):
        frames -= passed


class _Stream(soundfile.SoundFile):
    """Read from start to end: seeking fails in a file whose header does not tell its length."""

    def seekable(self) -> bool:
        return False


class _OpenEnded(io.FileIO):
    """A FLAC file as it would be read if its header did not tell how many samples it holds.

    Attributes:
        announced: that number; 0 for a stream that leaves it open. 36 bits of the STREAMINFO block (RFC 9639, section
            8.2), which comes first.
    """

    _FIRST, _LAST = 21, 26

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.announced = int.from_bytes(self.read(self._LAST)[self._FIRST :], "big") & (1 << 36) - 1
        self.seek(0)

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        count = super().readinto(buffer) or 0
        for at in range(max(self._FIRST, start), min(self._LAST, start + count)):
            memoryview(buffer)[at - start] &= 0xF0 if at == self._FIRST else 0
        return count


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Stream, int]]:
    """A file to decode, and how many samples it announces.

    libsndfile stops at that number. A FLAC file tells only when it is decoded further whether it was true.
    """
    with path.open("rb") as raw:
        is_flac = raw.read(4) == b"fLaC"
    if is_flac:
        with _OpenEnded(path) as source, _Stream(source) as file:
            yield file, source.announced or _UNKNOWN_FRAMES
    else:
        with _Stream(path) as file:
            yield file, file.frames


def _mono(file: soundfile.SoundFile, declared: int, most_seconds: float) -> np.ndarray:
    """The mean of a file's channels over the samples that it announces, (samples,) float32."""
    if not LOWEST_RATE_HZ <= file.samplerate <= HIGHEST_RATE_HZ:
        raise AudioError(
            f"its header gives a sample rate of {file.samplerate:,} Hz; rates of {LOWEST_RATE_HZ:,} to "
            f"{HIGHEST_RATE_HZ:,} Hz are read"
        )
    blocks, count, most = [np.empty(0, dtype=np.float32)], 0, max(1, _BLOCK_VALUES // file.channels)
    while len(block := file.read(min(most, declared - count), dtype="float32", always_2d=True)):
        blocks.append(block[:, 0] if file.channels == 1 else block.mean(axis=1))  # (samples, channels) -> (samples,)
        count += len(block)
        if count > most_seconds * file.samplerate:
            raise AudioError(f"longer than {most_seconds:,g} s: cut it into clips")
    return np.concatenate(blocks)


def _goes_on(file: soundfile.SoundFile) -> bool:
    """True when samples follow; a tag at the end, as old programs write it, is none."""
    try:
        return len(file.read(1)) > 0
    except soundfile.LibsndfileError:
        return False


def _check_samples(samples: np.ndarray, rate_hz: int) -> None:
    """Raise `AudioError` unless (samples,) hold something to learn from."""
    if len(samples) == 0:
        raise AudioError("empty: a header without audio")
    if len(samples) < MIN_SECONDS * rate_hz:
        raise AudioError(
            f"too short: {len(samples) / rate_hz * 1000:.0f} ms, at least {MIN_SECONDS * 1000:.0f} ms needed"
        )
    with np.errstate(invalid="ignore"):
        peak = np.abs(samples - samples.mean()).max()  # not finite as soon as one sample is not
    if not np.isfinite(peak):
        spoilt = np.count_nonzero(~np.isfinite(samples))
        raise AudioError(f"{spoilt:,} sample{' is' if spoilt == 1 else 's are'} NaN or infinite")
    if peak < SILENCE_PEAK:
        raise AudioError(f"silent: no sample is farther than {peak:.1g} of full scale from the mean")


def _missing_share(log: str, declared: int, read: int) -> float:
    """Share of the announced audio that is not there.

    libsndfile shortens a truncated WAV to what is there and says so only in its log; for FLAC the count falls short.
    """
    chunk = _DATA_CHUNK.search(log)
    if chunk:
        announced, present = int(chunk[1]), int(chunk[2])
        if announced not in _STREAMED and announced - present > 1:  # an odd chunk may lack its padding byte
            return 1 - present / announced
    return 1 - read / declared if 0 <= read < declared < _UNKNOWN_FRAMES else 0.0


def _decoder_reason(path: Path, error: str) -> str:
    """A person's words for libsndfile's error."""
    if "Format not recognised" in error:
        with path.open("rb") as file:
            head = file.read(16)
        if head.startswith(b"version https://"):
            return "a Git LFS pointer instead of audio: run git lfs pull"
        if head[4:8] == b"ftyp":
            return f"MPEG-4 audio (m4a, mp4), which libsndfile does not read: {_CONVERT}"
        if head.startswith((b"\x1aE\xdf\xa3", b"0&\xb2u")):
            return f"a WebM, Matroska or WMA file, which libsndfile does not read: {_CONVERT}"
        return f"not an audio file that libsndfile reads; it begins with {head!r}"
    if path.suffix.lower() == ".flac":
        return f"truncated or damaged: {error.removeprefix('Error : ').strip() or 'FLAC decoder failed'}"
    return f"cannot be decoded: {error.strip()}"


_CONVERT = "convert it, as with ffmpeg -i IN -ac 1 OUT.wav"


@lru_cache(maxsize=4)
def _filter(rate: int) -> np.ndarray:
    """The low-pass filter of `scipy.signal.resample_poly`, which would compute it anew for every clip."""
    return firwin(20 * rate + 1, 1 / rate, window=("kaiser", 5.0)).astype(np.float32)


@lru_cache(maxsize=16)
def _resampler(from_hz: int, to_hz: int) -> Resample:
    """The filter kernel is computed once per pair of rates, of which files may have any number: up to 16 MB each."""
    return Resample(from_hz, to_hz)
