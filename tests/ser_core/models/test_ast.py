"""The Audio Spectrogram Transformer beyond the contract: how fast each of its blocks learns."""

from __future__ import annotations

import numpy as np
import pytest
import timm
from timm.optim import param_groups_layer_decay

from ser_core.architectures import build_model, default_config
from ser_core.models.ast import AST
from ser_core.training.optim import build_optimizer


def tiny(decay: float) -> AST:
    settings = {"model.size": "tiny", "model.pretrained": "none", "model.layer_decay": decay, "model.stride": 16}
    model: AST = build_model(default_config("ast", settings), frames=64, bins=32, classes=3)  # type: ignore[assignment]
    return model


def test_the_learning_rate_decays_block_by_block_as_timms_does() -> None:
    model, published = tiny(0.75), timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3)
    named = {id(weight): name for name, weight in published.named_parameters()}
    for group in param_groups_layer_decay(published, layer_decay=0.75):
        for name in (named[id(weight)] for weight in group["params"] if "head" not in named[id(weight)]):
            assert model.learning_rate_scale(f"transformer.{name}") == pytest.approx(group["lr_scale"]), name
    assert model.learning_rate_scale("head.1.weight") == 1
    scales = {round(group["scale"], 9) for group in build_optimizer(model, default_config("ast").optim).param_groups}
    np.testing.assert_allclose(sorted(scales), [0.75**depth for depth in range(13, -1, -1)])


def test_without_decay_all_learn_alike() -> None:
    model = tiny(1.0)
    assert {model.learning_rate_scale(name) for name, _ in model.named_parameters()} == {1.0}
