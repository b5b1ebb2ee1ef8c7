"""A clip as one vector: statistics over low-level descriptors of spectrum, cepstrum, loudness, voicing and pitch.

The idea is that of openSMILE's feature sets (Eyben et al. 2010, "openSMILE"; ComParE 2016, eGeMAPS), in torch and free
of their licence; the values are not theirs.
"""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor

from ser_core.config import FeatureConfig
from ser_core.features.descriptors.pitch import LOW_HZ, PitchTrack, track_pitch
from ser_core.features.descriptors.spectrum import SHAPE_NAMES, spectral_shape
from ser_core.features.descriptors.statistics import STATISTIC_NAMES, statistics
from ser_core.features.framing import framed, hop_samples, power_of_two, power_spectrum, window_samples

DELTA_FRAMES = 5
"""Frames over which a time derivative is fitted (torchaudio's and HTK's usual width)."""
LOUDNESS_NAMES = ("log energy", "log energy below the loudest", "zero crossings")
VOICING_NAMES = ("periodicity", "harmonics to noise, dB", "log pitch")
PROSODY_NAMES = (
    *(f"pitch: {name}" for name in STATISTIC_NAMES),
    "jitter", "jitter deviation", "pitch rise", "pitch fall", "shimmer", "shimmer deviation",
    "voiced share", "voiced parts per second",
    *(f"{part}: {name} length" for part in ("voiced", "unvoiced") for name in ("mean", "deviation of", "largest")),
    "log duration",
)  # fmt: skip
_LEAST_ENERGY = 1e-8


def functional_names(settings: FeatureConfig) -> tuple[str, ...]:
    """What each value of `functionals` is, in their order."""
    descriptors = (
        *(f"mel {index}" for index in range(settings.n_mels)),
        *(f"cepstrum {index}" for index in range(settings.n_mfcc)),
        *SHAPE_NAMES,
        *LOUDNESS_NAMES,
        *VOICING_NAMES,
    )
    of_values = (f"{descriptor}: {name}" for name in STATISTIC_NAMES for descriptor in descriptors)
    of_deltas = (f"Δ {descriptor}: {name}" for name in STATISTIC_NAMES for descriptor in descriptors)
    return (*of_values, *of_deltas, *PROSODY_NAMES)


def functionals(samples: Tensor, log_mel: Tensor, dct: Tensor, settings: FeatureConfig) -> Tensor:
    """The statistics of a clip: (samples,) and its (frames, mels) -> (1, values), `functional_names` of them.

    Every descriptor has its statistics over all frames, as have its time derivatives. Pitch has them once more over the
    voiced frames, with measures of rhythm and of roughness beside.

    Args:
        dct: (mels, cepstra).
    """
    window, hop, rate_hz = window_samples(settings), hop_samples(settings), settings.sample_rate_hz
    frames = framed(samples, window, hop)
    power = power_spectrum(frames * torch.hann_window(window), power_of_two(window))
    pitch = track_pitch(samples, rate_hz, window=window, hop=hop)
    octaves = torch.log2(pitch.hertz / LOW_HZ)
    voicing = torch.stack([pitch.strength, pitch.harmonics_to_noise_db(), octaves], dim=1)
    loudness = _loudness(frames)
    descriptors = torch.cat([log_mel, log_mel @ dct, spectral_shape(power, rate_hz), loudness, voicing], dim=1)
    deltas = torchaudio.functional.compute_deltas(descriptors.T, win_length=DELTA_FRAMES).T
    prosody = _prosody(pitch, octaves, loudness[:, 0], hop / rate_hz)
    return torch.cat([statistics(descriptors).flatten(), statistics(deltas).flatten(), prosody])[None]


def _loudness(frames: Tensor) -> Tensor:
    """(frames, window) -> (frames, 3): `LOUDNESS_NAMES`, in nepers of energy and a share of samples."""
    energy = (frames.square().mean(dim=1) + _LEAST_ENERGY).log()
    crossings = (frames[:, 1:].sign() != frames[:, :-1].sign()).float().mean(dim=1)
    return torch.stack([energy, energy - energy.max(), crossings], dim=1)


def _prosody(pitch: PitchTrack, octaves: Tensor, energy: Tensor, hop_seconds: float) -> Tensor:
    """`PROSODY_NAMES` of a clip; jitter and pitch in octaves, shimmer in nepers, lengths in seconds.

    Jitter and shimmer are of neighbouring frames, not of glottal periods. A clip without a voiced frame has zeros.
    """
    voiced = pitch.voiced
    of_pitch = statistics(octaves[voiced][:, None])[:, 0] if voiced.any() else torch.zeros(len(STATISTIC_NAMES))
    both = voiced[1:] & voiced[:-1]
    steps, swells = _or_zero(octaves.diff()[both]), _or_zero(energy.diff()[both])
    rough = [steps.abs().mean(), steps.std(correction=0), steps.clamp(min=0).mean(), steps.clamp(max=0).mean()]
    rough += [swells.abs().mean(), swells.std(correction=0)]
    lengths = [_or_zero(hop_seconds * _run_lengths(mask).float()) for mask in (voiced, ~voiced)]
    seconds = hop_seconds * len(voiced)
    parts = (voiced & ~torch.nn.functional.pad(voiced[:-1], (1, 0))).sum()
    rhythm = [voiced.float().mean(), parts / seconds]
    rhythm += [value for own in lengths for value in (own.mean(), own.std(correction=0), own.max())]
    return torch.cat([of_pitch, torch.stack([*rough, *rhythm, torch.tensor(seconds).log()])])


def _run_lengths(mask: Tensor) -> Tensor:
    """Frames in each unbroken run of true values: (frames,) -> (runs,)."""
    edges = torch.nn.functional.pad(mask.int(), (1, 1)).diff()
    return (edges == -1).nonzero()[:, 0] - (edges == 1).nonzero()[:, 0]


def _or_zero(values: Tensor) -> Tensor:
    return values if len(values) else torch.zeros(1)
