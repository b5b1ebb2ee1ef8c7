"""Clips in a batch get what each of them gets alone, whatever their company."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_core.artifact import Predictor
from ser_core.batches import ROUNDING, BatchModel, batch_model, onnx_batch_model
from ser_core.ensemble import EnsemblePredictor
from ser_core.export import TOLERANCE
from ser_core.predict import speech_probabilities
from tests.ser_core.test_export import untrained

RATE_HZ = 16_000


@cache
def predictor(kind: str) -> Predictor | EnsemblePredictor:
    """By its name; random weights are as good as trained ones here."""
    if kind == "ensemble":
        weights = np.array([0.2, 0.3, 0.5])
        return EnsemblePredictor(members=(one("mlp", 1.0), one("shallow_cnn", 0.7), one("mlp", 1.0)), weights=weights)
    return one(kind, 1.0)


def one(model: str, clip_seconds: float) -> Predictor:
    return untrained(model, features__clip_seconds=clip_seconds)


def speech(seed: int, seconds: float) -> np.ndarray:
    """(samples,) float32: noise that swells, with a silence in its middle."""
    samples = 0.1 * np.random.default_rng(seed).normal(size=round(seconds * RATE_HZ))
    samples *= np.abs(np.sin(np.arange(len(samples)) / 3_000))
    samples[round(0.4 * len(samples)) : round(0.6 * len(samples))] = 0
    return samples.astype(np.float32)


def together(model: BatchModel, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """All clips in one batch."""
    crops = [model.crops(clip) for clip in clips]
    rows = model.probabilities([crop for own in crops for crop in own])
    ends = np.cumsum([len(own) for own in crops])
    return [model.mean(own, rows[end - len(own) : end]) for own, end in zip(crops, ends, strict=True)]


@pytest.mark.parametrize("kind", ["mlp", "shallow_cnn", "cnn_lstm", "ensemble"])
@given(seconds=st.lists(st.floats(0.1, 5.0), min_size=1, max_size=5), place=st.integers(0, 4), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_a_clip_gets_the_same_alone_and_in_company(kind: str, seconds: list[float], place: int, seed: int) -> None:
    clips = [speech(seed + index, length) for index, length in enumerate(seconds)]
    clip = clips[place % len(clips)]
    alone = speech_probabilities(predictor(kind), clip)
    found = together(batch_model(predictor(kind)), clips)[place % len(clips)]
    np.testing.assert_allclose(found, alone, rtol=0, atol=ROUNDING)
    assert found.dtype == alone.dtype == np.float32


def test_onnx_runtime_says_what_pytorch_says(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    model = onnx_batch_model(predictor("ensemble"), tmp_path)
    clips = [speech(index, length) for index, length in enumerate((0.3, 1.9, 4.2))]
    for found, clip in zip(together(model, clips), clips, strict=True):
        np.testing.assert_allclose(found, speech_probabilities(predictor("ensemble"), clip), rtol=0, atol=TOLERANCE)


def test_members_with_the_same_features_compute_them_once() -> None:
    model = batch_model(predictor("ensemble"))
    assert [len(part.members) for part in model.parts] == [2, 1]  # type: ignore[attr-defined]
    assert len(model.crops(speech(0, 0.5))) == 2
    assert model.clip_seconds == 1.0


def test_a_window_of_a_stream_is_heard_once_by_every_part() -> None:
    model, window = batch_model(predictor("ensemble")), speech(3, 1.8)
    crops = model.one_crop(window)
    found = model.mean(crops, model.probabilities(crops))
    np.testing.assert_allclose(found, predictor("ensemble").probabilities(window), rtol=0, atol=ROUNDING)
