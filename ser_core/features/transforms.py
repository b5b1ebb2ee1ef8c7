"""Samples -> features, (samples,) -> (frames, bins): pure functions, the same for training, prediction and export.

Frames start every hop and never reach past the end of the clip (Kaldi's `snip_edges`), so that a clip of n samples
gives 1 + (n - window) // hop frames. Clips are not padded to one another: a batched transform of padded clips was
measured to be slower than one clip at a time in pieces that fit the processor's cache, and nothing can leak.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
import torchaudio
from torch import Tensor

from ser_core.config import BY_SPEAKER, CLIP_VECTORS, ENCODER_KINDS, HALF_KINDS, ConfigError, FeatureConfig
from ser_core.features.derivation import base_settings, derivation, with_deltas
from ser_core.features.encoded import encoder_features, encoder_frame_seconds
from ser_core.features.framing import (
    framed,
    hop_samples,
    power_of_two,
    power_spectrum,
    window_samples,
)
from ser_core.features.functionals import functionals
from ser_core.features.opensmile import FEATURE_SETS, smile_functionals

FEATURE_VERSION = 1
"""Part of every store's fingerprint: raise it with any change that alters the values of a feature."""

Extractor = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Clips, each (samples,) float32 at `sample_rate_hz` -> their features, each (frames, bins), of the type that
`ser_core.features.normalisation.as_float` takes."""

ClipFeatures = Callable[[Tensor], Tensor]
"""(samples,) -> (frames, bins)."""

LOG_OFFSET = 1e-6
"""Added to mel energies before the logarithm, as in `torchaudio.transforms.MFCC(log_mels=True)`."""

KALDI_PREEMPHASIS = 0.97

LEAST_FILTER_PEAK = 0.1
LARGEST_N_FFT = 16_384
CHUNK_FRAMES = 256
"""Frames transformed at once: few enough that their spectra stay in a core's cache (64 to 1,024 were measured)."""

_CONTENT = ("kind", "sample_rate_hz", "trim_db", "window_ms", "hop_ms")
_MEL = ("n_mels", "low_hz", "high_hz")
_CONTENT_OF_KIND = {
    "log_mel": (*_CONTENT, *_MEL, "deltas"),
    "mfcc": (*_CONTENT, *_MEL, "n_mfcc", "deltas"),
    "mfcc_stats": (*_CONTENT, *_MEL, "n_mfcc"),
    "functionals": (*_CONTENT, *_MEL, "n_mfcc"),
    "kaldi_fbank": (*_CONTENT, *_MEL),
    "encoder": (*_CONTENT, "encoder", "encoder_layer"),
    "encoder_layers": (*_CONTENT, "encoder"),
    "encoder_stats": (*_CONTENT, "encoder"),
    "encoder_input": (*_CONTENT, "encoder"),
    **dict.fromkeys(FEATURE_SETS, _CONTENT),
}


def settings_key(settings: FeatureConfig) -> str:
    """Hash of the settings that decide the values of features of this kind: equal keys, equal features."""
    content = {name: getattr(settings, name) for name in _CONTENT_OF_KIND[settings.kind]}
    if settings.kind in HALF_KINDS and settings.kind not in ("encoder_layers", "encoder_stats"):  # which always were
        content["stored"] = "float16"
    if settings.normalisation != "corpus":  # which is done to batches, and changes no store
        content["normalisation"] = settings.normalisation
    return hashlib.sha256(json.dumps([FEATURE_VERSION, content]).encode()).hexdigest()[:16]


def frame_seconds(settings: FeatureConfig) -> float:
    """Time from one frame to the next, s; for a vector per clip, which is one frame, the model's `clip_seconds`.

    Raises:
        PretrainedError: frames of an encoder whose configuration cannot be had.
    """
    if settings.kind in CLIP_VECTORS:
        return settings.clip_seconds
    if settings.kind in ENCODER_KINDS:
        return encoder_frame_seconds(settings)
    return hop_samples(settings) / settings.sample_rate_hz


def clip_frames(settings: FeatureConfig) -> int:
    """Frames that a model sees of a clip: `clip_seconds` in frames, at least 1; 1 for a vector per clip."""
    return max(1, round(settings.clip_seconds / frame_seconds(settings)))


def extractor(settings: FeatureConfig, device: torch.device | str = "cpu") -> Extractor:
    """The function that computes features of `settings.kind`; it may be called from several threads.

    It takes clips of (samples,) at `settings.sample_rate_hz` and returns (frames, bins) of each; samples that are not
    one-dimensional, empty or not finite raise ValueError. Each clip is taken by itself: who knows the speakers
    normalises by speaker (`ser_core.features.store`).

    Args:
        device: where a speech encoder runs; the other kinds are faster to compute than to move.

    Raises:
        ConfigError: mel filters too narrow for any reasonable transform, or a sample rate that the encoder cannot take.
        PretrainedError: an encoder that cannot be loaded.
    """
    return partial(_each, settings=settings, clip_features=_clip_features(settings, device))


def traceable_features(settings: FeatureConfig) -> ClipFeatures:
    """The features of one clip as a function that `torch.export` can follow for clips of any length.

    The same arithmetic as an extractor's, in one piece instead of chunk by chunk: (samples,), at least a window of
    them, -> (frames, bins).

    Raises:
        ConfigError: features that no fixed graph has: of an encoder or openSMILE, of pitch, with silence
            trimmed, or of several clips.
    """
    reasons = {
        "come from an encoder": settings.kind in ENCODER_KINDS,
        "follow the pitch of a clip": settings.kind == "functionals",
        "come from openSMILE": settings.kind in FEATURE_SETS,
        f"are trimmed at {settings.trim_db:g} dB": bool(settings.trim_db),
        "are normalised by all clips of a speaker": settings.normalisation == BY_SPEAKER,
    }
    if why := next((reason for reason, holds in reasons.items() if holds), ""):
        raise ConfigError(f"features that {why} cannot be part of the graph; feed features instead of samples")
    return _clip_features(settings, "cpu", framewise=_framewise_in_one)


def mfcc_statistics(cepstra: Tensor) -> Tensor:
    """(frames, cepstra) -> (1, 4 * cepstra): mean and standard deviation over time, and that of both derivatives."""
    _, first, second = with_deltas(cepstra, 2).chunk(3, dim=1)
    spreads = [values.std(dim=0, correction=0) for values in (cepstra, first, second)]
    return torch.cat([cepstra.mean(dim=0), *spreads])[None]


def trim(samples: Tensor, settings: FeatureConfig) -> Tensor:
    """The clip without leading and trailing frames whose energy lies `trim_db` below that of its loudest frame.

    Pauses inside the clip stay. (samples,) -> (fewer samples,); at least one window remains.
    """
    if settings.trim_db == 0:
        return samples
    window, hop = window_samples(settings), hop_samples(settings)
    energy = framed(samples, window, hop).square().sum(dim=1)
    loud = torch.nonzero(energy >= energy.max() * 10 ** (-settings.trim_db / 10))
    return samples[int(loud[0]) * hop : int(loud[-1]) * hop + window]


@lru_cache(maxsize=16)
def mel_filters(settings: FeatureConfig) -> Tensor:
    """Triangular filters on the HTK mel scale: (n_fft // 2 + 1, n_mels).

    n_fft is the smallest power of two that holds the window and leaves no filter (nearly) empty: 64 bins at 16 kHz do
    with 512, 128 bins need 1,024.

    Raises:
        ConfigError: filters so narrow that this would take more than 16,384 points.
    """
    n_fft = power_of_two(window_samples(settings))
    while n_fft <= LARGEST_N_FFT:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio warns of the empty filters that are looked for here
            filters = torchaudio.functional.melscale_fbanks(
                n_fft // 2 + 1, settings.low_hz, settings.high_hz, settings.n_mels, settings.sample_rate_hz
            )
        if filters.amax(dim=0).min() >= LEAST_FILTER_PEAK:
            return filters
        n_fft *= 2
    raise ConfigError(
        f"features.n_mels = {settings.n_mels} filters between features.low_hz = {settings.low_hz} and features.high_hz "
        f"= {settings.high_hz} are too narrow: use fewer bins or a wider band"
    )


def _log_mel_frames(settings: FeatureConfig) -> Callable[[Tensor], Tensor]:
    """(frames, window) -> (frames, mels): Hann window, power spectrum, mel filters, natural logarithm."""
    filters = mel_filters(settings)
    n_fft = 2 * (filters.shape[0] - 1)
    window = torch.hann_window(window_samples(settings))
    return lambda frames: (power_spectrum(frames * window, n_fft) @ filters).add_(LOG_OFFSET).log_()


def _kaldi_frames(settings: FeatureConfig) -> Callable[[Tensor], Tensor]:
    """(frames, window) -> (frames, mels) as Kaldi's compute-fbank-feats with a Hann window, without dither.

    This is what AST was trained on (Gong et al. 2021, section 2.1) with 128 bins from 20 Hz to half the sample rate.
    Kaldi's transform is as short as the window allows, and its lowest filters may therefore be empty: such a bin holds
    log(epsilon) in every frame.
    """
    length = window_samples(settings)
    n_fft = power_of_two(length)
    banks, _ = torchaudio.compliance.kaldi.get_mel_banks(
        settings.n_mels, n_fft, settings.sample_rate_hz, settings.low_hz, settings.high_hz, 100.0, -500.0, 1.0
    )
    filters = torch.nn.functional.pad(banks, (0, 1)).T  # Kaldi leaves out the Nyquist bin
    window = torch.hann_window(length, periodic=False)
    epsilon = torch.finfo(torch.float32).eps

    def frame_features(frames: Tensor) -> Tensor:
        centred = frames - frames.mean(dim=1, keepdim=True)
        previous = torch.cat([centred[:, :1], centred[:, :-1]], dim=1)
        # Operation by operation as torchaudio does it: beside a strong tone, bins hold little but rounding errors.
        return (
            (power_spectrum((centred - KALDI_PREEMPHASIS * previous) * window, n_fft) @ filters).clamp_(epsilon).log_()
        )

    return frame_features


@torch.inference_mode()
def _each(clips: Sequence[np.ndarray], *, settings: FeatureConfig, clip_features: ClipFeatures) -> list[np.ndarray]:
    return [clip_features(trim(_checked(samples), settings)).numpy() for samples in clips]


def _clip_features(
    settings: FeatureConfig, device: torch.device | str, framewise: Callable[..., Tensor] | None = None
) -> ClipFeatures:
    """What computes the features of one trimmed clip, (samples,) -> (frames, bins), with its constants built."""
    if settings.kind in ENCODER_KINDS:
        base = encoder_features(base_settings(settings), device)
    else:
        base = _base_features(base_settings(settings), framewise or _framewise)
    derive = derivation(settings)
    return lambda samples: derive(base(samples))


def _base_features(settings: FeatureConfig, framewise: Callable[..., Tensor]) -> ClipFeatures:
    if settings.kind in FEATURE_SETS:
        return smile_functionals(settings.kind, settings.sample_rate_hz)
    if settings.kind == "kaldi_fbank":
        return partial(framewise, settings=settings, frame_features=_kaldi_frames(settings))
    log_mel = partial(framewise, settings=settings, frame_features=_log_mel_frames(settings))
    if settings.kind == "log_mel":
        return log_mel
    dct = torchaudio.functional.create_dct(settings.n_mfcc, settings.n_mels, norm="ortho")  # (mels, cepstra)
    if settings.kind == "functionals":
        return lambda samples: functionals(samples, log_mel(samples), dct, settings)
    return lambda samples: mfcc_statistics(log_mel(samples) @ dct)


def _framewise(samples: Tensor, *, settings: FeatureConfig, frame_features: Callable[[Tensor], Tensor]) -> Tensor:
    """(samples,) -> (frames, bins), for features that each frame has by itself."""
    frames = framed(samples, window_samples(settings), hop_samples(settings))
    return torch.cat([frame_features(chunk) for chunk in frames.split(CHUNK_FRAMES)])


def _framewise_in_one(
    samples: Tensor, *, settings: FeatureConfig, frame_features: Callable[[Tensor], Tensor]
) -> Tensor:
    """As `_framewise`, by one gather: unfolding a tensor of unknown length is beyond ONNX."""
    window, hop = window_samples(settings), hop_samples(settings)
    starts = torch.arange(1 + (samples.shape[0] - window) // hop) * hop  # len() would fix the length
    return frame_features(samples[starts[:, None] + torch.arange(window)])


def _checked(samples: np.ndarray) -> Tensor:
    if samples.ndim != 1 or len(samples) == 0:
        raise ValueError(f"samples must be of shape (samples,) and not empty; got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("samples must be finite; got NaN or infinity")
    return torch.tensor(samples, dtype=torch.float32)
