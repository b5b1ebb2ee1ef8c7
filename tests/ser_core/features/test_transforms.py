"""Features beside torchaudio and transformers, and what must hold for any clip."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import ASTFeatureExtractor, Wav2Vec2Model

from ser_core.architectures import default_config
from ser_core.config import ConfigError, FeatureConfig
from ser_core.features.derivation import normalised_by_clip, with_deltas
from ser_core.features.transforms import (
    clip_frames,
    extractor,
    frame_seconds,
    mel_filters,
    settings_key,
    trim,
)
from ser_core.modules.pretrained import PretrainedError
from tests.ser_core.one_clip import features_of
from tests.tiny_encoders import save_tiny_encoder

AST = default_config("ast").features
SPECTRAL = [
    FeatureConfig(kind="log_mel"),
    FeatureConfig(kind="log_mel", deltas=2),
    FeatureConfig(kind="mfcc", deltas=1),
    FeatureConfig(kind="mfcc_stats"),
    AST,
]


def chirp(seconds: float, rate_hz: int = 16_000) -> np.ndarray:
    """A rising tone with vibrato over weak noise: every mel bin sees something."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (150 * time + 900 * time**2 + 2 * np.sin(2 * np.pi * 5 * time))
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(phase) + 0.01 * noise).astype(np.float32)


@pytest.fixture
def tiny_encoder(tmp_path):
    save_tiny_encoder(tmp_path / "tiny", layers=3)
    return tmp_path / "tiny"


def test_kaldi_filter_bank_agrees_with_torchaudio():
    samples = chirp(1.7)
    wanted = torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(samples)[None], sample_frequency=16_000, window_type="hanning", num_mel_bins=128
    )
    np.testing.assert_allclose(features_of(samples, AST), wanted.numpy(), atol=1e-3)


def test_kaldi_filter_bank_agrees_with_ast_feature_extractor():
    samples = chirp(2.3)
    ast = ASTFeatureExtractor(do_normalize=False, max_length=300)
    wanted = ast(samples, sampling_rate=16_000, return_tensors="np")["input_values"][0]  # (300, 128), zeros behind
    ours = features_of(samples, AST)
    np.testing.assert_allclose(ours, wanted[: len(ours)], atol=1e-3)
    assert not wanted[len(ours) :].any()


def test_kaldi_filter_bank_takes_clips_with_an_offset():
    samples = chirp(1.0) + 0.5
    np.testing.assert_allclose(features_of(samples, AST)[:, 20:], features_of(chirp(1.0), AST)[:, 20:], atol=0.02)


@pytest.mark.parametrize("n_mels", [64, 128])
def test_log_mel_agrees_with_torchaudio(n_mels):
    settings = FeatureConfig(kind="log_mel", n_mels=n_mels)
    n_fft = 2 * (len(mel_filters(settings)) - 1)
    reference = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft, win_length=400, hop_length=160, f_min=50, f_max=8_000, n_mels=n_mels, center=False
    )
    samples = chirp(1.3)
    side = (n_fft - 400) // 2  # torch centres a short window in the transform
    padded = torch.nn.functional.pad(torch.from_numpy(samples), (side, side))
    wanted = (reference(padded) + 1e-6).log().T.numpy()
    np.testing.assert_allclose(features_of(samples, settings), wanted, atol=1e-3)


def test_mfcc_agree_with_torchaudio():
    reference = torchaudio.transforms.MFCC(
        16_000,
        n_mfcc=40,
        log_mels=True,
        melkwargs={
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "f_min": 50,
            "f_max": 8_000,
            "n_mels": 64,
            "center": False,
        },
    )
    samples = chirp(1.3)
    wanted = reference(torch.nn.functional.pad(torch.from_numpy(samples), (56, 56))).T.numpy()
    np.testing.assert_allclose(features_of(samples, FeatureConfig(kind="mfcc")), wanted, atol=2e-3)


def test_golden_numbers_of_a_fixed_clip():
    """Pinned values: a change of any feature must raise FEATURE_VERSION and be seen here."""
    samples = chirp(0.5)
    for settings, wanted in GOLDEN:
        got = features_of(samples, settings)
        np.testing.assert_allclose([got.mean(), got.std(), got[0, 10], got[-1, -1]], wanted, rtol=2e-3)


GOLDEN = [
    (FeatureConfig(kind="log_mel"), [-2.5227, 2.3556, -3.4094, -1.9711]),
    (FeatureConfig(kind="mfcc"), [-0.716, 4.2921, -5.0169, 0.5017]),
    (FeatureConfig(kind="mfcc_stats"), [0.5454, 2.1268, -1.2223, 0.0633]),
    (AST, [-4.7256, 3.4384, 0.2855, -1.2127]),
]


def test_deltas_agree_with_torchaudio_at_both_ends():
    frames = torch.from_numpy(features_of(chirp(0.6), FeatureConfig(kind="log_mel")))
    stacked = with_deltas(frames, 2)
    first = torchaudio.functional.compute_deltas(frames.T).T
    second = torchaudio.functional.compute_deltas(first.T).T
    torch.testing.assert_close(stacked, torch.cat([frames, first, second], dim=1))


def test_deltas_of_a_ramp_are_its_slope():
    ramp = torch.arange(20.0)[:, None] * 0.5
    assert with_deltas(ramp, 1)[5:15, 1].tolist() == pytest.approx([0.5] * 10)


def test_statistics_are_those_of_the_cepstra_and_their_deltas():
    samples = chirp(1.1)
    cepstra = features_of(samples, FeatureConfig(kind="mfcc", deltas=2))
    statistics = features_of(samples, FeatureConfig(kind="mfcc_stats"))
    wanted = np.concatenate([cepstra[:, :40].mean(0), cepstra.std(0)])
    assert statistics.shape == (1, 160)
    np.testing.assert_allclose(statistics[0], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["log_mel", "mfcc", "kaldi_fbank"])
def test_normalisation_by_clip_gives_every_bin_of_a_clip_mean_0_and_deviation_1(kind):
    settings = FeatureConfig(kind=kind, n_mels=40, n_mfcc=13, deltas=0 if kind == "kaldi_fbank" else 2)
    plain = features_of(chirp(1.0), settings).astype(float)
    found = features_of(chirp(1.0), replace(settings, normalisation="clip"))
    np.testing.assert_allclose(found, (plain - plain.mean(axis=0)) / plain.std(axis=0), atol=2e-4)


def test_a_bin_that_never_moves_in_a_clip_is_only_centred():
    frames = torch.stack([torch.full((7,), -13.8), torch.arange(7.0)], dim=1)
    normal = normalised_by_clip(frames)
    torch.testing.assert_close(normal[:, 0], torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal[:, 1], (torch.arange(7.0) - 3) / 2)
    torch.testing.assert_close(normalised_by_clip(frames[:1]), torch.zeros(1, 2))  # a clip of one frame


@pytest.mark.parametrize("kind", ["mfcc_stats", "functionals", "egemaps", "compare"])
def test_a_vector_per_clip_has_no_frames_to_be_normalised_by(kind):
    with pytest.raises(ConfigError, match=f"normalisation = clip needs several frames.*kind = {kind} is one"):
        FeatureConfig(kind=kind, normalisation="clip")


@pytest.mark.parametrize("settings", SPECTRAL, ids=lambda settings: f"{settings.kind}-{settings.deltas}")
def test_a_batch_gives_each_clip_what_it_gives_alone(settings):
    clips = [chirp(seconds) for seconds in (0.7, 0.01, 2.9, 5.0)]
    for samples, batched in zip(clips, extractor(settings)(clips), strict=True):
        np.testing.assert_array_equal(batched, features_of(samples, settings))
        assert batched.dtype == np.float32
        assert np.isfinite(batched).all()


@given(length=st.integers(1, 9_000), window_ms=st.floats(5, 60), hop_share=st.floats(0.2, 1.0))
@hypothesis_settings(max_examples=40, deadline=None)
def test_every_clip_gives_the_frames_that_fit_into_it(length, window_ms, hop_share):
    settings = FeatureConfig(window_ms=window_ms, hop_ms=max(2.0, window_ms * hop_share), n_mels=16, n_mfcc=16)
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    window, hop = round(16 * settings.window_ms), round(16 * settings.hop_ms)
    frames = features_of(samples, settings)
    assert frames.shape == (1 + max(0, length - window) // hop, 16)
    assert np.isfinite(frames).all()


@given(extra=st.integers(0, 159))
@hypothesis_settings(max_examples=20, deadline=None)
def test_samples_behind_the_last_whole_frame_change_nothing(extra):
    samples = chirp(1.0)[: 400 + 50 * 160]
    behind = np.full(extra, 0.9, dtype=np.float32)
    settings = FeatureConfig(kind="log_mel")
    np.testing.assert_array_equal(features_of(np.append(samples, behind), settings), features_of(samples, settings))


@pytest.mark.parametrize("n_mels", [40, 64, 80, 128, 256])
def test_no_mel_filter_is_empty(n_mels):
    filters = mel_filters(FeatureConfig(n_mels=n_mels, low_hz=20.0))
    assert filters.shape[1] == n_mels
    assert filters.amax(dim=0).min() >= 0.1


def test_the_transform_is_no_longer_than_filters_need():
    assert len(mel_filters(FeatureConfig(n_mels=64))) == 257
    assert len(mel_filters(FeatureConfig(n_mels=128))) == 513


def test_filters_too_narrow_for_any_transform_are_refused():
    with pytest.raises(ConfigError, match=r"n_mels = 256 filters .* too narrow: use fewer bins or a wider band"):
        features_of(chirp(0.2), FeatureConfig(n_mels=256, low_hz=999.0, high_hz=1_000.0))


def test_trimming_cuts_the_quiet_ends_and_keeps_the_pause():
    quiet = 1e-4 * np.random.default_rng(1).standard_normal(8_000)
    speech = chirp(0.5)
    samples = np.concatenate([quiet, speech, quiet, speech, quiet, quiet]).astype(np.float32)
    left = trim(torch.from_numpy(samples), FeatureConfig(trim_db=40.0))
    assert len(left) == pytest.approx(len(speech) * 2 + len(quiet), abs=3 * 400)
    left_alone = trim(torch.from_numpy(samples), FeatureConfig(trim_db=0.0))
    assert len(left_alone) == len(samples)


@given(gain=st.floats(1e-3, 1.0))
@hypothesis_settings(max_examples=20, deadline=None)
def test_trimming_does_not_depend_on_loudness(gain):
    samples = torch.from_numpy(chirp(1.0) * np.hanning(16_000).astype(np.float32))
    settings = FeatureConfig(trim_db=20.0)
    assert abs(len(trim(samples * gain, settings)) - len(trim(samples, settings))) <= 160
    assert 400 <= len(trim(samples, settings)) < len(samples)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 100), dtype=np.float32), r"shape \(samples,\) and not empty; got shape \(2, 100\)"),
        (np.zeros(0, dtype=np.float32), r"not empty; got shape \(0,\)"),
        (np.array([0.0, np.nan], dtype=np.float32), "must be finite"),
    ],
)
def test_samples_that_are_no_clip_are_refused(samples, message):
    with pytest.raises(ValueError, match=message):
        features_of(samples, FeatureConfig())


def test_frames_of_a_clip_are_counted_in_the_feature_s_own_step():
    assert clip_frames(FeatureConfig(clip_seconds=3.0)) == 300
    assert clip_frames(FeatureConfig(clip_seconds=3.0, window_ms=40, hop_ms=20)) == 150
    assert clip_frames(FeatureConfig(kind="encoder", encoder="none", clip_seconds=3.0)) == 150
    assert clip_frames(FeatureConfig(kind="mfcc_stats")) == 1
    assert frame_seconds(FeatureConfig(kind="encoder", encoder="none")) == 0.02


def test_the_key_of_settings_covers_what_decides_the_values_and_no_more():
    base = FeatureConfig(kind="log_mel")
    assert settings_key(base) == settings_key(FeatureConfig(clip_seconds=5.0, crop="start", n_mfcc=20, encoder="none"))
    others = [
        FeatureConfig(n_mels=80),
        FeatureConfig(deltas=1),
        FeatureConfig(trim_db=30.0),
        FeatureConfig(kind="mfcc"),
    ]
    assert len({settings_key(settings) for settings in [base, *others]}) == 5


@pytest.mark.parametrize("layer", [0, 2, -1])
def test_encoder_frames_are_the_hidden_states_of_transformers(tiny_encoder, layer):
    samples = chirp(0.9)
    model = Wav2Vec2Model.from_pretrained(tiny_encoder).eval()
    normal = torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))
    with torch.inference_mode():
        wanted = model(normal[None], output_hidden_states=True).hidden_states[layer][0]
    settings = FeatureConfig(kind="encoder", encoder=str(tiny_encoder), encoder_layer=layer)
    np.testing.assert_allclose(features_of(samples, settings), wanted.numpy(), atol=1e-5)
    assert len(wanted) == 1 + (len(samples) - 400) // 320


def test_encoder_takes_clips_shorter_than_a_frame(tiny_encoder):
    settings = FeatureConfig(kind="encoder", encoder=str(tiny_encoder))
    assert features_of(chirp(0.01), settings).shape == (1, 16)


def test_encoder_refuses_other_sample_rates_and_layers_it_lacks(tiny_encoder):
    with pytest.raises(ConfigError, match=r"sample_rate_hz must be 16000, on which encoder .* got 8000"):
        extractor(FeatureConfig(kind="encoder", sample_rate_hz=8_000, high_hz=4_000.0, encoder=str(tiny_encoder)))
    with pytest.raises(PretrainedError, match="encoder_layer may be at most 3"):
        extractor(FeatureConfig(kind="encoder", encoder=str(tiny_encoder), encoder_layer=4))


def test_frames_per_second_agree_with_the_clock():
    for settings in (FeatureConfig(), FeatureConfig(hop_ms=12.5, window_ms=30.0)):
        frames = features_of(chirp(10.0), settings)
        assert math.isclose(len(frames) * frame_seconds(settings), 10.0, abs_tol=0.05)
