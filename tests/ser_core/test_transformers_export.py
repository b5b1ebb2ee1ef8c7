"""Models over an encoder in the layout of `transformers`: what it loads says what the model says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification
from typer.testing import CliRunner

from ser_core.architectures import default_config
from ser_core.artifact import ArtifactError, load_model, save_model
from ser_core.export import app
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import extractor
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.run import train
from ser_core.transformers_export import export_transformers
from tests.ser_core.test_artifact import CLASSES, clip
from tests.ser_core.test_artifact import trained as trained_cnn

Tiny = Callable[..., Path]
RATE_HZ, SECONDS = 16_000, 0.4
LINEAR = {"model.pooling": "mean", "model.width": 0, "model.dropout": 0.0}


def saved(folder: Path, model: str, encoder: Path, **settings: Any) -> Path:
    """A model that was trained for two epochs on a few noisy tones."""
    own = {"features.clip_seconds": SECONDS, "optim.epochs": 2, "optim.batch_size": 4, "precision": "fp32"}
    params = {**own, "model.pretrained": str(encoder), **settings}
    config = default_config(model, params)
    parts = extractor(config.features)([clip(index)[: round(SECONDS * RATE_HZ)] for index in range(12)])
    store = FeatureStore(
        frames=np.concatenate(parts), bounds=end_to_end(np.cumsum([0, *map(len, parts)])),
        truth=np.arange(12) % 3, clip_ids=tuple(map(str, range(12))), target=Emotions(CLASSES),
        settings=config.features, fingerprint="toy",
    )  # fmt: skip
    run = train(config, Fold(fit=np.arange(9), evaluate=np.arange(9, 12)), store, device="cpu")
    list(run)
    save_model(folder, run, about={})
    return folder


def said_by_transformers(folder: Path, samples: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Probabilities and words, as somebody gets them who has never heard of this project."""
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    fed = AutoFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=RATE_HZ, return_tensors="pt")
    with torch.no_grad():
        return model(**fed).logits.softmax(dim=1)[0].numpy(), model.config.id2label


@pytest.mark.parametrize(
    ("model", "family", "settings"),
    [
        ("finetune", "wav2vec2", {"model.tuning": "layers"}),
        ("finetune", "hubert", {"model.tuning": "lora", "model.layers": "weighted"}),
        ("finetune", "wavlm", {"model.tuning": "lora"}),
        ("probe", "wav2vec2", {"model.normalisation": "none"}),
        ("probe", "wavlm", {"model.layers": "one", "model.depth": 1.0, "model.normalisation": "value"}),
        ("probe", "hubert", {"model.layers": "one", "model.depth": 0.5, "model.normalisation": "value"}),
    ],
)
def test_a_linear_head_over_a_mean_is_loaded_whole(
    model: str, family: str, settings: dict[str, Any], tmp_path: Path, tiny_encoder: Tiny
) -> None:
    predictor = load_model(saved(tmp_path / "model", model, tiny_encoder(family), **LINEAR, **settings))
    said = export_transformers(predictor, tmp_path / "out")
    assert said.startswith("AutoModelForAudioClassification loads the whole model")
    samples = clip(7)[: round(SECONDS * RATE_HZ)]
    samples = np.pad(samples, (0, round(SECONDS * RATE_HZ) - len(samples)), mode="wrap")
    probabilities, words = said_by_transformers(tmp_path / "out", samples)
    np.testing.assert_allclose(probabilities, predictor.probabilities(samples), atol=2e-3)
    assert words == dict(enumerate(CLASSES))


@pytest.mark.parametrize(
    ("model", "settings", "lacks"),
    [
        ("finetune", {}, "transformers has no head with model.pooling = mean_std"),
        ("finetune", {"model.pooling": "mean"}, "transformers has no head with a hidden layer, model.width = 256"),
        ("probe", LINEAR, "each layer is normalised before the layers are summed"),
        (
            "probe",
            {**LINEAR, "model.normalisation": "layer"},
            "transformers has no head with model.normalisation = layer",
        ),
    ],
)
def test_what_transformers_has_no_place_for_is_named_and_the_encoder_is_loaded(
    model: str, settings: dict[str, Any], lacks: str, tmp_path: Path, tiny_encoder: Tiny
) -> None:
    folder = saved(tmp_path / "model", model, tiny_encoder("wav2vec2"), **settings)
    result = CliRunner().invoke(app, [str(folder), "--transformers", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert f"It holds the encoder alone, which AutoModel loads, since {lacks}." in " ".join(result.output.split())
    assert lacks in (tmp_path / "out" / "README.md").read_text()
    predictor = load_model(folder)
    ours = predictor.model.encoder.net if model == "finetune" else AutoModel.from_pretrained(tiny_encoder("wav2vec2"))
    theirs = AutoModel.from_pretrained(tmp_path / "out").eval()
    samples = torch.from_numpy(clip(1))[None]
    with torch.no_grad():
        expected, found = (net.eval()(samples).last_hidden_state for net in (ours, theirs))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_model_without_an_encoder_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "model", trained_cnn("shallow_cnn", model__width=2), about={})
    with pytest.raises(ArtifactError, match="shallow_cnn has none that it could load: export to ONNX"):
        export_transformers(load_model(tmp_path / "model"), tmp_path / "out")
    result = CliRunner().invoke(app, [str(tmp_path / "model")])
    assert "name a file with --onnx, or a folder with --transformers" in result.output
