"""Augmentation of samples: another speed, room, background and loudness, on the device, drawn anew for every clip.

For models that take samples (`features.kind` encoder_input of an encoder that takes them). Like all augmentation it
draws from torch's global generator of the device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchaudio import functional as audio

from ser_core.augment_settings import SAMPLE_CHANGES, AugmentConfig
from ser_core.config import Config, ConfigError
from ser_core.features.size import known_bins

LEAST_DIRECT_DB, MOST_DIRECT_DB = 0.0, 15.0
"""How far the direct sound lies above all reflections together, from the far end of a room to its near end."""
MOST_STEEPNESS = 2.0
"""Power of background noise falls at most with this power of the frequency: from white to brown."""
LOWEST_HZ = 50.0
"""Below it background noise rises no further."""


def check_samples(config: Config) -> None:
    """Raise `ConfigError` for changes of samples where the model is not given samples.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    asked = {name: getattr(config.augment, name) for name in SAMPLE_CHANGES if getattr(config.augment, name)}
    if asked and known_bins(config.features) != 1:
        raise ConfigError(
            f"{', '.join(f'augment.{name} = {value}' for name, value in asked.items())}: samples are changed only for "
            f"an encoder that takes samples, and {config.features.encoder!r} takes a log mel spectrogram; leave it out"
        )


def change_samples(
    samples: Tensor, lengths: Tensor, settings: AugmentConfig, *, sample_rate_hz: int
) -> tuple[Tensor, Tensor]:
    """Speed, reverberation, noise and gain, in this order, as `settings` asks.

    Args:
        samples: (batch, samples, 1), zero from `lengths` on.
        lengths: (batch,) samples before padding.

    Returns:
        Both with the same shapes; a clip that becomes longer than the view loses its end.
    """
    x = samples[..., 0]  # (batch, samples)
    if settings.speed_change > 0:
        x, lengths = change_speed(x, lengths, settings.speed_change)
    real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]  # (batch, samples)
    if settings.reverb_seconds > 0:
        x = add_reverberation(x, settings.reverb_seconds, sample_rate_hz) * real
    if settings.background_noise > 0:
        x = add_background(x, lengths, settings.background_noise, sample_rate_hz) * real
    if settings.gain_db > 0:
        x = x * 10 ** (_between(-1, 1, len(x), x.device) * settings.gain_db / 20)[:, None]
    return x[..., None], lengths


def change_speed(x: Tensor, lengths: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Each clip slower, faster or as it is (Ko et al. 2015, section 3): pitch and rate of speech change together.

    (batch, samples), (batch,) -> the same shapes. `largest` is the relative change, to a whole percent.
    """
    percent, samples = round(100 * largest), x.shape[1]
    which = torch.randint(-1, 2, (len(x),), device=x.device)
    changed, longer = x.clone(), lengths.clone()
    for sign in (-1, 1) if percent else ():
        rows = torch.nonzero(which == sign).flatten()
        if not len(rows):
            continue
        speed = 100 + sign * percent  # samples of the clip that become 100
        other = audio.resample(x[rows], orig_freq=speed, new_freq=100)[:, :samples]
        changed[rows] = torch.nn.functional.pad(other, (0, samples - other.shape[1]))
        longer[rows] = (lengths[rows] * 100 // speed).clamp(min=1, max=samples)
    real = torch.arange(samples, device=x.device) < longer[:, None]
    return changed * real, longer


def add_reverberation(x: Tensor, longest: float, sample_rate_hz: int) -> Tensor:
    """Each clip as in a room of its own: (batch, samples) -> the same shape.

    A room's response is the direct sound and, behind it, noise that falls by 60 dB within the reverberation time
    (Polack 1988), uniform up to `longest` seconds; its energy lies up to `MOST_DIRECT_DB` below the direct sound's.
    """
    batch, length = len(x), max(2, round(longest * sample_rate_hz))
    seconds = torch.arange(length, device=x.device) / sample_rate_hz
    decay = _between(0.01, 1, batch, x.device)[:, None] * longest
    tail = torch.randn(batch, length, device=x.device) * 10 ** (-3 * seconds / decay)  # (batch, length)
    tail[:, 0] = 0
    direct = 10 ** (-_between(LEAST_DIRECT_DB, MOST_DIRECT_DB, batch, x.device)[:, None] / 20)
    response = direct * tail / tail.norm(dim=1, keepdim=True).clamp(min=1e-9)
    response[:, 0] = 1
    return audio.fftconvolve(x, response)[:, : x.shape[1]]


def add_background(x: Tensor, lengths: Tensor, loudest: float, sample_rate_hz: int) -> Tensor:
    """Each clip with noise of its own colour, whose level is uniform up to `loudest` times the clip's: the same shape.

    Args:
        x: (batch, samples). lengths: (batch,) of the clips, whose levels are compared.
    """
    white = torch.fft.rfft(torch.randn_like(x))  # (batch, frequencies)
    hertz = torch.fft.rfftfreq(x.shape[1], 1 / sample_rate_hz, device=x.device).clamp(min=LOWEST_HZ)
    steepness = _between(0, MOST_STEEPNESS, len(x), x.device)[:, None]
    noise = torch.fft.irfft(white * hertz ** (-steepness / 2), n=x.shape[1])
    share = (_between(0, 1, len(x), x.device) * loudest).clamp(min=1e-6)
    silent = x.square().sum(dim=1) == 0  # has no level to compare with
    noisy = audio.add_noise(x, noise, snr=-20 * share.log10(), lengths=lengths)
    return torch.where(silent[:, None], x, noisy)


def _between(low: float, high: float, clips: int, device: torch.device) -> Tensor:
    """Uniform in [low, high): (clips,)."""
    return low + (high - low) * torch.rand(clips, device=device)
