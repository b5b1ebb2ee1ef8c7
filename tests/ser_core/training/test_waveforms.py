"""Augmentation of samples: speeds, rooms, noise and loudness as drawn, on what a clip holds and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ser_core.architectures import default_config
from ser_core.config import AugmentConfig, ConfigError
from ser_core.training.waveforms import (
    MOST_DIRECT_DB,
    add_background,
    add_reverberation,
    change_samples,
    change_speed,
    check_samples,
)

RATE_HZ = 16_000
CLIPS, SAMPLES = 60, 4_000


@pytest.fixture
def lengths() -> Tensor:
    return torch.where(torch.arange(CLIPS) % 2 == 0, SAMPLES, SAMPLES // 2)


@pytest.fixture
def tones(lengths: Tensor) -> Tensor:
    """(clips, samples) of 1 kHz, the odd clips half as long."""
    tone = torch.sin(2 * torch.pi * 1_000 * torch.arange(SAMPLES) / RATE_HZ).repeat(CLIPS, 1)
    return tone * (torch.arange(SAMPLES) < lengths[:, None])


def pitch_hz(x: Tensor) -> Tensor:
    """The strongest frequency of each clip: (clips,)."""
    return torch.fft.rfft(x, n=8 * SAMPLES).abs().argmax(dim=1) * RATE_HZ / (8 * SAMPLES)


def level(x: Tensor, lengths: Tensor) -> Tensor:
    return (x.square().sum(dim=1) / lengths).sqrt()


def test_a_clip_is_slower_faster_or_as_it_is_in_pitch_and_length(tones: Tensor, lengths: Tensor) -> None:
    changed, longer = change_speed(tones, lengths, 0.1)
    found = pitch_hz(changed)
    speeds = (found / 1_000).mul(10).round().div(10)
    assert sorted(set(speeds.tolist())) == pytest.approx([0.9, 1.0, 1.1])
    short = lengths < SAMPLES
    wanted = (lengths / speeds).clamp(max=SAMPLES)
    assert ((longer - wanted).abs() <= 1).all()
    assert (longer[short] != lengths[short]).any()
    assert torch.equal(changed[speeds == 1], tones[speeds == 1])
    assert not changed[torch.arange(SAMPLES) >= longer[:, None]].any()


def test_a_change_below_half_a_percent_changes_nothing(tones: Tensor, lengths: Tensor) -> None:
    changed, longer = change_speed(tones, lengths, 0.004)
    assert torch.equal(changed, tones)
    assert torch.equal(longer, lengths)


def test_a_room_answers_an_impulse_with_a_tail_that_falls_as_its_reverberation_time_says() -> None:
    impulse = torch.zeros(400, 8_000)
    impulse[:, 0] = 1
    response = add_reverberation(impulse, 0.5, RATE_HZ)
    assert torch.allclose(response[:, 0], torch.ones(400), atol=1e-4)
    below = -10 * response[:, 1:].square().sum(dim=1).log10()  # of all reflections, dB below the direct sound
    assert below.min() > -0.1
    assert MOST_DIRECT_DB - 1 < below.max() < MOST_DIRECT_DB + 0.1
    # Schroeder 1965: the energy still to come falls by 60 dB within the reverberation time.
    energy = response[:, 1:].square().flip(1).cumsum(1).flip(1)
    fallen = 10 * (energy / energy[:, :1]).clamp(min=1e-12).log10()
    times = (fallen > -20).sum(dim=1) / RATE_HZ * 3
    assert 0.4 < times.max() < 0.6
    assert times.median().item() == pytest.approx(0.25, abs=0.06)  # uniform up to 0.5 s


def test_noise_is_as_loud_as_drawn_and_of_every_colour(tones: Tensor, lengths: Tensor) -> None:
    tones, lengths = tones.repeat(10, 1), lengths.repeat(10)
    noisy = add_background(tones, lengths, 0.5, RATE_HZ)
    real = torch.arange(SAMPLES) < lengths[:, None]
    share = level((noisy - tones) * real, lengths) / level(tones, lengths)
    assert 0.47 < share.max() < 0.51
    assert share.min() < 0.02
    assert share.mean().item() == pytest.approx(0.25, abs=0.03)
    spectrum = torch.fft.rfft(noisy - tones).abs().square()
    low = spectrum[:, 25:500].sum(dim=1) / spectrum[:, 25:].sum(dim=1)  # 100 Hz to 2 kHz
    assert low.min() < 0.3  # white
    assert low.max() > 0.9  # brown


def test_silence_stays_silent(lengths: Tensor) -> None:
    assert not add_background(torch.zeros(CLIPS, SAMPLES), lengths, 0.5, RATE_HZ).any()


def test_loudness_changes_by_as_many_decibels_as_drawn(tones: Tensor, lengths: Tensor) -> None:
    settings = AugmentConfig(gain_db=6.0)
    louder, same = change_samples(tones[..., None], lengths, settings, sample_rate_hz=RATE_HZ)
    assert same is lengths
    change = 20 * (level(louder[..., 0], lengths) / level(tones, lengths)).log10()
    assert -6 <= change.min() < -5
    assert 5 < change.max() <= 6


def test_all_together_leave_padding_empty_and_are_drawn_from_the_seed(tones: Tensor, lengths: Tensor) -> None:
    settings = AugmentConfig(speed_change=0.1, reverb_seconds=0.3, background_noise=0.3, gain_db=6.0)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(change_samples(tones[..., None], lengths, settings, sample_rate_hz=RATE_HZ))
    (changed, longer), (again, _) = results
    assert torch.equal(changed, again)
    assert changed.shape == (CLIPS, SAMPLES, 1)
    assert torch.isfinite(changed).all()
    assert not changed[torch.arange(SAMPLES) >= longer[:, None]].any()
    assert len(changed[:, 100, 0].unique()) == CLIPS  # a draw of its own for every clip


def test_changes_of_samples_are_refused_for_models_that_take_none(tiny_encoder: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"augment\.gain_db must be 0 for features\.kind = log_mel: it changes"):
        default_config("shallow_cnn", {"augment.gain_db": 3.0})
    asked = {"augment.reverb_seconds": 0.3}
    check_samples(default_config("finetune", {**asked, "model.pretrained": str(tiny_encoder("hubert"))}))
    whisper = default_config("finetune", {**asked, "model.pretrained": str(tiny_encoder("whisper"))})
    with pytest.raises(ConfigError, match=r"augment\.reverb_seconds = 0\.3: samples are changed only for an"):
        check_samples(whisper)
