"""Audio files to samples: mono, float32, at the wanted rate.

A file that cannot be trusted is an error with a reason, never a row of zeros: training on silence or on half a clip
does not fail, it only lowers the score.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.transforms import Resample

from ser_core.errors import UserError

SILENCE_PEAK = 1e-4
"""A clip is silent when no sample is this far from the mean, of full scale (-80 dB); dither alone reaches 6e-5."""
MIN_SECONDS = 0.05
"""Shortest usable clip, s: two analysis windows."""

_STREAMED = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # what a writer that could not seek leaves as the size of the data chunk
_DATA_CHUNK = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)


class AudioError(UserError, ValueError):
    """A file that holds no usable speech; the message is the reason alone, the caller knows the path."""


def read_audio(path: Path, sample_rate_hz: int) -> np.ndarray:
    """Decode a file, average its channels and resample it.

    Resampling is band-limited (Hann-windowed sinc), as torchaudio does it.

    Returns:
        (samples,) float32; full scale is 1.

    Raises:
        AudioError: see `decode`.
    """
    samples, rate_hz = decode(path)
    if rate_hz == sample_rate_hz:
        return samples
    with torch.inference_mode():
        return _resampler(rate_hz, sample_rate_hz)(torch.from_numpy(samples)).numpy()


def duration_seconds(path: Path) -> float:
    """Length of a file, s, as its header tells it: nothing is decoded.

    Raises:
        AudioError: missing, or not audio.
    """
    try:
        return soundfile.info(path).duration
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(_decoder_reason(path, str(error)) if path.is_file() else "no such file") from error


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a whole file and average its channels.

    Returns:
        (samples,) float32 and the file's rate in Hz.

    Raises:
        AudioError: missing, not audio, truncated, empty, shorter than `MIN_SECONDS`, NaN or infinite, or silent.
    """
    if not path.is_file():
        raise AudioError("no such file")
    if path.stat().st_size == 0:
        raise AudioError("empty file")
    try:
        with soundfile.SoundFile(path) as file:
            declared, log, rate_hz = file.frames, file.extra_info, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)  # (samples, channels)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(_decoder_reason(path, str(error))) from error
    missing = _missing_share(log, declared, len(channels))
    if missing:
        raise AudioError(f"truncated: {missing:.0%} of the audio that the header announces is missing")
    samples = np.ascontiguousarray(channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1))
    _check_samples(samples, rate_hz)
    return samples, rate_hz


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
        raise AudioError(f"{np.count_nonzero(~np.isfinite(samples))} samples are NaN or infinite")
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
    return 1 - read / declared if 0 <= read < declared else 0.0


def _decoder_reason(path: Path, error: str) -> str:
    """A person's words for libsndfile's error."""
    if "Format not recognised" in error:
        with path.open("rb") as file:
            head = file.read(16)
        return f"not an audio file that libsndfile reads; it begins with {head!r}"
    if path.suffix.lower() == ".flac":
        return f"truncated or damaged: {error.removeprefix('Error : ').strip() or 'FLAC decoder failed'}"
    return f"cannot be decoded: {error.strip()}"


@cache
def _resampler(from_hz: int, to_hz: int) -> Resample:
    """The filter kernel is computed once per pair of rates."""
    return Resample(from_hz, to_hz)
