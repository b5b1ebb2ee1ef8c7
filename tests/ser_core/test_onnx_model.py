"""An exported model as a user of it has it: what it says of speech of any length, and which files are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ser_core.export import TOLERANCE, export_onnx
from ser_core.onnx_model import OnnxModel, OnnxModelError
from ser_core.predict import speech_probabilities
from tests.ser_core.test_export import CLASSES, untrained

onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

RATE_HZ = 16_000


def speech(seconds: float) -> np.ndarray:
    """(samples,) float32 that sounds different from one window to the next, and ends in silence."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = 0.3 * np.sin(2 * np.pi * (200 + 40 * time) * time) * (0.2 + np.abs(np.sin(0.7 * time)))
    samples[round(0.9 * len(samples)) :] = 0
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(untrained("mlp", features__kind="mfcc_stats", features__clip_seconds=1.0), path)
    return path


@pytest.mark.parametrize("trim_db", [0.0, 40.0])  # with features in the graph, and outside of it
def test_long_speech_gets_what_predict_gives_and_not_what_one_crop_says(trim_db: float, tmp_path: Path) -> None:
    settings = {"features__kind": "mfcc_stats", "features__clip_seconds": 1.0, "features__trim_db": trim_db}
    predictor = untrained("mlp", **settings)
    export_onnx(predictor, tmp_path / "model.onnx")
    model = OnnxModel(tmp_path / "model.onnx")
    assert (model.classes, model.sample_rate_hz, model.clip_seconds) == (CLASSES, RATE_HZ, 1.0)
    for seconds in (0.4, 1.9, 2.1, 20.3):
        samples = speech(seconds)
        expected = speech_probabilities(predictor, samples)
        np.testing.assert_allclose(model.speech_probabilities(samples), expected, atol=TOLERANCE)
    assert np.abs(model.probabilities(samples) - expected).max() > 10 * TOLERANCE


def test_a_graph_that_takes_samples_is_used_without_pytorch(exported: Path) -> None:
    code = (
        "import sys, numpy; from ser_core.onnx_model import OnnxModel; "
        f"OnnxModel({str(exported)!r}).speech_probabilities(numpy.ones(50_000, numpy.float32)); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"


def test_other_files_are_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(OnnxModelError, match=r"no such file: .*none\.onnx"):
        OnnxModel(tmp_path / "none.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(exported.read_bytes()[:1000])
    with pytest.raises(OnnxModelError, match=r"damaged\.onnx is no ONNX file \(.*; export it anew"):
        OnnxModel(damaged)
    document = onnx.load(exported)
    facts = {entry.key: entry for entry in document.metadata_props}
    facts["settings"].value = json.dumps({**json.loads(facts["settings"].value), "features.clip_seconds": "3"})
    onnx.save(document, tmp_path / "edited.onnx")
    with pytest.raises(OnnxModelError, match=r"edited\.onnx is no model that ser export wrote: clip_seconds must be a"):
        OnnxModel(tmp_path / "edited.onnx")
    del document.metadata_props[:]
    onnx.save(document, tmp_path / "bare.onnx")
    with pytest.raises(OnnxModelError, match=r"bare\.onnx is no model that ser export wrote: classes must be a list"):
        OnnxModel(tmp_path / "bare.onnx")


@pytest.mark.parametrize("samples", [np.empty(0, np.float32), np.zeros((2, 100), np.float32)])
def test_what_is_no_row_of_samples_is_refused(exported: Path, samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="samples must be one-dimensional, at least one; got the shape"):
        OnnxModel(exported).probabilities(samples)
