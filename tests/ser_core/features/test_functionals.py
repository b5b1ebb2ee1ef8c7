"""Functionals of whole clips: what they are named, what leaves them alone, and what they are of odd clips."""

import numpy as np
import pytest
import torch

from ser_core.config import ConfigError, FeatureConfig
from ser_core.features.functionals import functional_names
from ser_core.features.transforms import traceable_features
from tests.ser_core.one_clip import features_of

SETTINGS = FeatureConfig(kind="functionals", n_mels=20, n_mfcc=8)


def speech(seconds: float = 1.2, hertz: float = 140.0) -> np.ndarray:
    """Three voiced syllables of falling pitch with pauses between them, over weak noise; (samples,) float32."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * hertz * (time - 0.15 * time**2)
    tone = sum(np.sin(order * phase) / order for order in range(1, 8))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(time))
    return (0.2 * syllables * tone + noise).astype(np.float32)


def named(samples: np.ndarray, settings: FeatureConfig = SETTINGS) -> dict[str, float]:
    (values,) = features_of(samples, settings)
    return dict(zip(functional_names(settings), values.tolist(), strict=True))


def test_every_value_has_a_name_of_its_own():
    names = functional_names(SETTINGS)
    assert len(set(names)) == len(names)
    assert features_of(speech(), SETTINGS).shape == (1, len(names))


def test_prosody_is_that_of_the_syllables():
    found = named(speech())
    assert found["pitch: mean"] == pytest.approx(np.log2(140 / 60) - 0.15, abs=0.2)
    assert found["pitch: slope"] < -0.05
    assert found["voiced share"] == pytest.approx(0.5, abs=0.2)
    assert found["voiced parts per second"] == pytest.approx(2.5, abs=0.7)
    assert found["voiced: mean length"] == pytest.approx(0.2, abs=0.08)
    assert found["log duration"] == pytest.approx(np.log(1.2), abs=0.05)


def test_a_higher_voice_has_a_higher_pitch_and_nothing_else_of_rhythm():
    low, high = named(speech(hertz=120.0)), named(speech(hertz=240.0))
    assert high["pitch: mean"] - low["pitch: mean"] == pytest.approx(1.0, abs=0.05)  # an octave
    assert high["voiced parts per second"] == low["voiced parts per second"]


@pytest.mark.parametrize("gain", [0.25, 4.0])
def test_pitch_rhythm_spectral_shape_and_relative_loudness_do_not_depend_on_loudness(gain):
    plain, scaled = named(speech()), named(gain * speech())
    invariant = ("pitch", "voiced", "unvoiced", "jitter", "centroid", "entropy", "log energy below", "log duration")
    names = [name for name in plain if name.startswith(invariant)]
    assert len(names) > 100
    for name in names:
        assert scaled[name] == pytest.approx(plain[name], rel=0.02, abs=0.02), name
    assert scaled["log energy: 95% quantile"] - plain["log energy: 95% quantile"] == pytest.approx(
        2 * np.log(gain), abs=0.01
    )


@pytest.mark.parametrize(
    "samples",
    [
        np.full(1, 0.5, dtype=np.float32),
        np.ones(399, dtype=np.float32),
        np.zeros(16_000, dtype=np.float32),
        np.random.default_rng(0).standard_normal(8_000).astype(np.float32),
        speech(12.0),
    ],
    ids=["one sample", "less than a window", "silence", "noise", "long"],
)
def test_every_clip_has_finite_functionals(samples):
    found = features_of(samples, SETTINGS)
    assert found.shape == (1, len(functional_names(SETTINGS)))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("rate_hz", [4_000, 48_000])
def test_any_sample_rate_will_do(rate_hz):
    settings = FeatureConfig(kind="functionals", n_mels=16, n_mfcc=8, sample_rate_hz=rate_hz, high_hz=2_000.0)
    assert np.isfinite(features_of(speech(), settings)).all()


def test_log_mel_and_cepstra_are_those_of_the_other_kinds():
    found, samples = named(speech()), speech()
    for kind, name in (("log_mel", "mel"), ("mfcc", "cepstrum")):
        frames = features_of(samples, FeatureConfig(kind=kind, n_mels=20, n_mfcc=8))
        for index in (0, 3, 7):
            assert found[f"{name} {index}: mean"] == pytest.approx(frames[:, index].mean(), abs=1e-3)
            deviation = found[f"{name} {index}: standard deviation"]
            assert deviation == pytest.approx(frames[:, index].std(), rel=1e-3)


GOLDEN = {
    "mel 3: mean": -2.2494,
    "cepstrum 2: standard deviation": 5.2745,
    "Δ cepstrum 2: 95% quantile": 1.3512,
    "centroid: 50% quantile": 328.1865,
    "flux: mean": 0.0348,
    "slope 500 to 1500 Hz: quartile range": 13.5033,
    "log energy below the loudest: 5% quantile": -10.4473,
    "periodicity: mean": 0.5674,
    "harmonics to noise, dB: 75% quantile": 20.0504,
    "Δ log pitch: standard deviation": 0.0575,
    "pitch: mean": 0.9729,
    "pitch: bend": -0.0146,
    "jitter": 0.0047,
    "shimmer": 0.5704,
    "voiced share": 0.5424,
    "unvoiced: largest length": 0.1800,
}
"""Pinned values: a change of any of them must raise FEATURE_VERSION and be seen here. Should rounding make one frame
more or less voiced, they stay within the tolerance."""


@pytest.mark.parametrize("name", GOLDEN)
def test_functionals_are_pinned(name):
    assert named(speech())[name] == pytest.approx(GOLDEN[name], rel=0.01, abs=0.01)


def test_functionals_are_no_part_of_a_graph():
    with pytest.raises(ConfigError, match="features that follow the pitch of a clip cannot be part of the graph"):
        traceable_features(SETTINGS)


def test_cepstra_may_not_outnumber_mel_bins():
    with pytest.raises(ConfigError, match=r"n_mfcc may be at most features.n_mels = 8; got 12"):
        FeatureConfig(kind="functionals", n_mels=8, n_mfcc=12)


def test_two_threads_give_the_same_as_one():
    one = features_of(speech(), SETTINGS)
    torch.set_num_threads(2)
    np.testing.assert_allclose(features_of(speech(), SETTINGS), one, rtol=1e-4, atol=1e-4)
    torch.set_num_threads(1)
