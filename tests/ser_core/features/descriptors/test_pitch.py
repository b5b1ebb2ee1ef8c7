"""Pitch and voicing of sounds whose pitch is known."""

import numpy as np
import pytest
import torch

from ser_core.features.descriptors.pitch import _autocorrelation, track_pitch

RATE_HZ, WINDOW, HOP = 16_000, 400, 160


def voice(hertz: np.ndarray, noise: float = 0.0) -> torch.Tensor:
    """Seven harmonics of a pitch (samples,) that may move, and white noise."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE_HZ
    tone = sum(np.sin(order * phase) / order for order in range(1, 8))
    rough = noise * np.random.default_rng(0).standard_normal(len(hertz))
    return torch.from_numpy((0.1 * (tone + rough)).astype(np.float32))


@pytest.mark.parametrize("hertz", [75.0, 110.0, 220.0, 331.0, 480.0])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_the_pitch_of_a_steady_voice_is_found_at_any_loudness(hertz, gain):
    track = track_pitch(gain * voice(np.full(RATE_HZ, hertz)), RATE_HZ, window=WINDOW, hop=HOP)
    middle = slice(5, -5)
    assert track.voiced[middle].all()
    np.testing.assert_allclose(track.hertz[middle], hertz, rtol=5e-3)
    assert track.harmonics_to_noise_db()[middle].min() > 15


def test_a_gliding_pitch_is_followed_without_octave_jumps():
    glide = np.geomspace(100, 300, 2 * RATE_HZ)
    track = track_pitch(voice(glide, noise=0.05), RATE_HZ, window=WINDOW, hop=HOP)
    middles = WINDOW // 2 + HOP * np.arange(len(track.hertz))
    np.testing.assert_allclose(track.hertz[5:-5], glide[middles][5:-5], rtol=0.02)


def test_noise_and_silence_are_unvoiced():
    noise = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32))
    assert track_pitch(noise, RATE_HZ, window=WINDOW, hop=HOP).voiced.float().mean() < 0.1
    silence = track_pitch(torch.zeros(RATE_HZ), RATE_HZ, window=WINDOW, hop=HOP)
    assert not silence.voiced.any()
    assert silence.hertz.isfinite().all()


def test_noise_beside_a_voice_lowers_harmonicity():
    steady = np.full(RATE_HZ, 150.0)
    ratios = [
        track_pitch(voice(steady, noise), RATE_HZ, window=WINDOW, hop=HOP).harmonics_to_noise_db().median()
        for noise in (0.02, 0.2, 1.0)
    ]
    assert ratios[0] > ratios[1] > ratios[2]


@pytest.mark.parametrize("samples", [1, 399, 400, 5_000])
@pytest.mark.parametrize("window", [400, 1_600])
def test_frames_are_as_many_as_those_of_the_window(samples, window):
    track = track_pitch(torch.randn(samples), RATE_HZ, window=window, hop=HOP)
    assert len(track.hertz) == len(track.voiced) == 1 + max(0, samples - window) // HOP


def test_autocorrelation_is_that_of_numpy_with_the_window_divided_out():
    frames = torch.randn(3, 960, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(960).double().numpy()
    own = np.correlate(window, window, "full")[959 : 959 + 200]
    found = _autocorrelation(frames, 200)
    for frame, row in zip(frames.double().numpy(), found, strict=True):
        tapered = np.correlate(frame * window, frame * window, "full")[959 : 959 + 200]
        wanted = tapered / tapered[0] / (own / own[0])
        np.testing.assert_allclose(row, wanted, atol=1e-4)
