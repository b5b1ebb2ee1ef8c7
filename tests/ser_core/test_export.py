"""Exported graphs: what they take, that they say what the model says, and what cannot be exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ser_core.architectures import architectures, build_model, default_config
from ser_core.artifact import ArtifactError, Predictor
from ser_core.config import ENCODER_KINDS, SPECTROGRAMS
from ser_core.export import TOLERANCE, app, export_onnx
from ser_core.features.normalisation import Normalisation, as_float
from ser_core.features.transforms import clip_frames, extractor, traceable_features
from ser_core.outputs import Probabilities
from ser_core.targets import Emotions
from ser_core.training.at_once import FitsItself
from tests.ser_core.one_clip import features_of
from tests.tiny_encoders import save_tiny_encoder

onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")

CLASSES = ("happy", "neutral", "sad")
SMALL: dict[str, dict[str, Any]] = {
    "ast": {"model.size": "tiny", "model.pretrained": "none", "model.stride": 16},
    "cnn_lstm": {"model.width": 4, "model.lstm_units": 16},
    "resnet18": {"model.pretrained": "none"},
    "shallow_cnn": {"model.width": 4},
}
QUICK = ("cnn_lstm", "mlp")


def untrained(model: str, **settings: Any) -> Predictor:
    """A predictor with random weights, which are as good as trained ones here; trees have to be grown."""
    params = SMALL.get(model, {}) | {name.replace("__", "."): value for name, value in settings.items()}
    config = default_config(model, params)
    extract = extractor(config.features)
    (frames,) = extract([np.random.default_rng(0).normal(size=32_000).astype(np.float32)])
    torch.manual_seed(0)
    network = build_model(config, frames=clip_frames(config.features), bins=frames.shape[1], classes=len(CLASSES))
    if isinstance(network, FitsItself):
        vectors, labels = torch.randn(30, 1, frames.shape[1]), torch.arange(30) % len(CLASSES)
        network.fit_clips(vectors, labels, torch.ones(30), epoch=1, config=config)
    return Predictor(
        config=config,
        target=Emotions(CLASSES),
        meaning=Probabilities(),
        normalisation=Normalisation(as_float(frames).mean(axis=0), np.full(frames.shape[1], 2.0, dtype=np.float32)),
        model=network.eval(),
        device=torch.device("cpu"),
        extract=extract,
        about={"corpus": {"name": "toy"}},
    )


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in architectures()]
)
def test_every_architecture_is_exported_and_takes_samples_of_any_length(model: str, tmp_path: Path) -> None:
    settings = {}
    if default_config(model).features.kind in ENCODER_KINDS:
        save_tiny_encoder(tmp_path / "encoder")
        settings = {"model__pretrained": str(tmp_path / "encoder")}
    predictor = untrained(model, features__clip_seconds=1.4, **settings)
    path = tmp_path / "model.onnx"
    assert export_onnx(predictor, path) <= TOLERANCE
    session = onnxruntime.InferenceSession(path)
    (entry,) = session.get_inputs()
    assert entry.name == ("samples" if predictor.config.features.kind in SPECTROGRAMS else "features")
    for seconds in (0.3, 1.2, 2.7):
        samples = np.random.default_rng(3).normal(size=round(16_000 * seconds)).astype(np.float32)
        clip = samples if entry.name == "samples" else as_float(predictor.extract([samples])[0])
        (probabilities,) = session.run(["probabilities"], {entry.name: clip})
        np.testing.assert_allclose(probabilities, predictor.probabilities(samples), atol=TOLERANCE)
    facts = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert float(facts["longest_seconds"]) == 2 * json.loads(facts["settings"])["features.clip_seconds"]
    assert json.loads(facts["classes"]) == list(CLASSES)
    assert facts["sample_rate_hz"] == "16000"
    assert json.loads(facts["settings"]) == predictor.config.params()
    assert sorted(file.name for file in tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"features.kind": "log_mel", "features.deltas": 2},
        {"features.kind": "mfcc", "features.deltas": 1},
        {"features.kind": "mfcc_stats"},
        {"features.kind": "kaldi_fbank", "features.n_mels": 128, "features.low_hz": 20.0},
    ],
)
def test_traceable_features_are_the_extractors(settings: dict[str, Any]) -> None:
    config = default_config("shallow_cnn", {"features.deltas": 0, **settings}).features
    samples = np.random.default_rng(0).normal(size=16_000 * 12).astype(np.float32)  # more than one chunk
    traced = traceable_features(config)(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(traced, features_of(samples, config), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", [{"kind": "mfcc_stats", "trim_db": 40.0}, {"kind": "functionals", "n_mels": 40}])
def test_features_that_no_fixed_graph_has_stay_outside_it(settings: dict[str, Any], tmp_path: Path) -> None:
    predictor = untrained("mlp", **{f"features__{name}": value for name, value in settings.items()})
    assert export_onnx(predictor, tmp_path / "model.onnx") <= TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [entry.name for entry in session.get_inputs()] == ["features"]


def test_a_graph_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, other = (untrained("mlp", features__kind="mfcc_stats", model__width=width) for width in (8, 7))
    monkeypatch.setattr("ser_core.export.largest_difference", lambda _, path: _difference(other, path))
    with pytest.raises(ArtifactError, match="differs from PyTorch by"):
        export_onnx(predictor, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_normalisation_by_clip_is_part_of_the_graph(tmp_path: Path) -> None:
    predictor = untrained("cnn_lstm", features__normalisation="clip")
    assert export_onnx(predictor, tmp_path / "model.onnx") <= TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [entry.name for entry in session.get_inputs()] == ["samples"]
    assert _difference(predictor, tmp_path / "model.onnx") <= TOLERANCE
    quiet = np.random.default_rng(1).normal(size=16_000).astype(np.float32)
    one, other = (predictor.probabilities(scale * quiet) for scale in (0.1, 0.3))
    np.testing.assert_allclose(one, other, atol=1e-3)  # the level of the recording is gone


def test_a_model_that_needs_several_clips_of_a_speaker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"a graph of one clip cannot do; train with features\.normalisation=clip"):
        export_onnx(untrained("mlp", features__normalisation="speaker"), tmp_path / "model.onnx")


def _difference(predictor: Predictor, path: Path) -> float:
    samples = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    (probabilities,) = onnxruntime.InferenceSession(path).run(None, {"samples": samples})
    return float(np.abs(probabilities - predictor.probabilities(samples)).max())


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [str(tmp_path), "--onnx", str(tmp_path / "x.onnx")])
    assert done.exit_code == 2
    assert "is no model folder" in done.stderr
