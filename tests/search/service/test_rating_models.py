"""A model of ratings as a service: numbers on the scale of its data, as `ser predict` gives them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import ser_core
from search.service.asked import Engine
from search.service.loading import SPAN_DEVIATIONS, load_service_model
from ser_core.batches import ROUNDING
from ser_core.predict import predict_stream, speech_probabilities
from ser_core.printer import Form, Printer
from tests.search.service.running import RATE_HZ, save_rating_model, serving, speech
from tests.search.service.test_app import ask, audio, files, read
from tests.search.service.test_streams import opened, said

SIZE = 100
"""Of the ratings: their rounding is that of probabilities times this."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_rating_model(tmp_path_factory.mktemp("model") / "rated")


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    with serving(model) as found:
        yield found


def test_files_get_the_ratings_that_predict_gives(address: str, model: Path) -> None:
    content = [audio(speech(seconds, seed=seed), subtype="FLOAT") for seed, seconds in enumerate((0.5, 3.0))]
    answer = ask(address, files(a_wav=content[0], b_wav=content[1], c_wav=b"no"))
    assert answer.status_code == 200
    *found, bad = answer.json()["predictions"]
    predictor = ser_core.load(model)
    for one, own in zip(found, content, strict=True):
        assert set(one) == {"file", "seconds", "error", "ratings"}
        assert list(one["ratings"]) == ["arousal", "valence"]
        expected = speech_probabilities(predictor, read(own, "a.wav"))
        np.testing.assert_allclose(list(one["ratings"].values()), expected, rtol=0, atol=SIZE * ROUNDING)
    assert 20 < found[0]["ratings"]["valence"] < 80
    assert (bad["ratings"], "not an audio file" in bad["error"]) == ({}, True)


def test_a_stream_is_rated_as_the_command_rates_it(address: str, model: Path) -> None:
    samples = np.concatenate([speech(1.3), np.zeros(RATE_HZ, np.float32)])
    with opened(address, f"?rate={RATE_HZ}&format=float32&hop=0.3") as stream:
        stream.send(samples.astype("<f4").tobytes())
        stream.send("end")
        found, code = said(stream)
    out, step = io.StringIO(), round(0.3 * RATE_HZ)
    blocks = [samples[start : start + step] for start in range(0, len(samples), step)]
    predictor = ser_core.load(model)
    list(predict_stream(predictor, blocks, RATE_HZ, Printer(Form.JSON, predictor.target, "seconds", out)))
    wanted = [json.loads(line) for line in out.getvalue().splitlines()]
    assert code == 1000
    assert found[-1] == wanted[-1] == {"seconds": 2.3, "ratings": {}}  # silent by then
    for one, other in zip(found, wanted, strict=True):
        assert one["seconds"] == other["seconds"]
        values = [list(each["ratings"].values()) for each in (one, other)]
        np.testing.assert_allclose(*values, rtol=0, atol=SIZE * ROUNDING)


def test_it_describes_ratings_and_no_emotion(address: str) -> None:
    text = httpx.get(f"{address}/openapi.json").text
    assert "RatingsAnswer" in text
    assert "EmotionAnswer" not in text
    page = httpx.get(address).text
    assert "Guessed from ratings of listeners." in page
    assert "By chance" not in page


def test_onnx_runtime_rates_alike_and_spans_are_those_of_the_ratings(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    torch_model, facts = load_service_model(model, Engine.TORCH, "cpu", tmp_path)
    onnx_model, _ = load_service_model(model, Engine.ONNX, "cpu", tmp_path)
    crops = torch_model.crops(speech(2.0))
    both = [each.mean(crops, each.probabilities(crops)) for each in (torch_model, onnx_model)]
    np.testing.assert_allclose(*both, rtol=1e-4)
    at = np.arange(12)
    for span, values in zip(facts.spans, (2.0 + at % 3, 50 + 10 * np.cos(at)), strict=True):
        reach = SPAN_DEVIATIONS * values.std()
        assert span == pytest.approx((values.mean() - reach, values.mean() + reach), rel=1e-4)
