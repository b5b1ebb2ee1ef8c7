"""Runs over pretrained weights of every kind, from the checkpoint to the exported model, without Ray between."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from transformers import BertConfig, BertModel

from ser_core.artifact import Predictor, load_model
from ser_core.ensemble import load_predictor
from ser_core.export import export_onnx
from ser_core.modules.pretrained import PretrainedError
from tests.search.whole_run import tune_here
from tests.tiny_encoders import FAMILIES, save_tiny_encoder

SMALL: dict[str, Any] = {"data": "demo", "classes": "neutral,angry"}
QUICK: dict[str, Any] = {**SMALL, "trials": 1, "max_epochs": 1, "set_": ["features.clip_seconds=1"]}
"""For models that run their encoder in every step."""


def searched(cache: Path, folder: Path, **options: Any) -> Predictor:
    """A model of a finished run, whose result and test predictions are checked."""
    run, _ = tune_here(cache, run_dir=folder, **options)
    result = json.loads((run / "result.json").read_text())
    assert result["test"]["clips"] == 20
    assert result["search"]["trials"]["failed"] == 0
    model = run / result["winner"]["models"][0]
    predictor = load_predictor(run / "final")
    samples = (0.1 * np.random.default_rng(0).normal(size=16_000)).astype(np.float32)
    said = predictor.probabilities(samples)
    assert said.sum() == pytest.approx(1, abs=1e-5)
    one = load_model(model)
    np.testing.assert_allclose(one.probabilities(samples), said, atol=1e-6)
    return one


@pytest.mark.parametrize("family", FAMILIES)
def test_a_probe_of_every_family_is_searched_refitted_tested_and_exported(
    family: str, tiny_encoder: Callable[..., Path], cache: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    encoder = str(tiny_encoder(family))
    model = searched(cache, tmp_path / "run", **SMALL, model="probe", pretrained=encoder)
    assert export_onnx(model, tmp_path / "model.onnx") < 1e-4
    assert model.about["corpus"]["name"] == "demo"


TUNED = [
    family if family in ("hubert", "whisper") else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES
]
"""One family that takes samples and one that takes a log mel spectrogram are quick enough together."""


@pytest.mark.parametrize("family", TUNED)
def test_every_family_is_fine_tuned_searched_refitted_tested_and_exported(
    family: str, tiny_encoder: Callable[..., Path], cache: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    encoder = str(tiny_encoder(family))
    model = searched(cache, tmp_path / "run", **QUICK, model="finetune", pretrained=encoder)
    assert export_onnx(model, tmp_path / "model.onnx") < 1e-4


def test_a_recurrent_network_over_all_layers_is_searched_refitted_and_tested(
    tiny_encoder: Callable[..., Path], cache: Path, tmp_path: Path
) -> None:
    sets = [*QUICK["set_"], "model.layers=weighted"]
    options = {**QUICK, "set_": sets, "model": "attn_crnn", "pretrained": str(tiny_encoder("wavlm"))}
    model = searched(cache, tmp_path / "run", **options)
    assert model.config.features.kind == "encoder_layers"


CUT = [*(("probe", family) for family in FAMILIES), ("finetune", "hubert"), ("attn_crnn", "wavlm")]


@pytest.mark.parametrize(("model", "family"), CUT)
def test_a_truncated_checkpoint_of_any_family_costs_no_work(
    model: str, family: str, cache: Path, tmp_path: Path
) -> None:
    save_tiny_encoder(tmp_path / "cut", family)
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(PretrainedError, match="cut' cannot be loaded"):
        tune_here(cache, **SMALL, model=model, pretrained=str(tmp_path / "cut"), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["probe", "finetune", "attn_crnn"])
def test_a_model_that_is_no_speech_encoder_costs_no_work(model: str, cache: Path, tmp_path: Path) -> None:
    text = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(text).save_pretrained(tmp_path / "text")
    with pytest.raises(PretrainedError, match="no speech encoder that can be used: its model_type is 'bert'"):
        tune_here(cache, **SMALL, model=model, pretrained=str(tmp_path / "text"), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def weights_of_ast(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of a tiny AST as published: DeiT's file for images, a folder of transformers for AudioSet."""
    from transformers import ASTConfig, ASTForAudioClassification

    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    deit = timm.create_model("deit_tiny_distilled_patch16_224", pretrained=False)
    torch.save({"model": deit.state_dict()}, folder / "deit_tiny_distilled_patch16_224.pth")
    shape = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    ASTForAudioClassification(ASTConfig(**shape, num_labels=527)).save_pretrained(folder / "audioset")
    return {"imagenet": folder / "deit_tiny_distilled_patch16_224.pth", "audioset": folder / "audioset"}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rate"), [("imagenet", 5e-5), ("audioset", 1e-5)])
def test_ast_begins_with_the_recipe_of_its_weights_and_runs_to_its_end(
    kind: str, rate: float, weights_of_ast: dict[str, Path], cache: Path, tmp_path: Path
) -> None:
    options = {**QUICK, "set_": ["model.size=tiny", "model.stride=16", "features.clip_seconds=1"]}
    model = searched(cache, tmp_path / "run", **options, model="ast", pretrained=str(weights_of_ast[kind]))
    assert model.config.optim.learning_rate == rate  # of the one trial, the recipe
    small = {**options, "set_": ["model.size=small"], "dry_run": True}
    with pytest.raises(PretrainedError, match=r"weights .* do not fit"):
        tune_here(cache, **small, model="ast", pretrained=str(weights_of_ast[kind]))
