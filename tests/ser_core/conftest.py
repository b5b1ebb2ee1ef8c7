"""Small inputs and modules, so that the contract can be tried on every architecture within seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ser_core.architectures import build_model, default_config, feature_maps
from ser_core.config import CLIP_VECTORS, ENCODER_KINDS, Config
from ser_core.training.at_once import FitsItself

SMALL = {
    "ast": {"model.size": "tiny"},
    "boosting": {"model.leaf_clips": 1, "model.clip_share": 1.0, "model.value_share": 1.0},
    "svm": {"model.complexity": 1.0},
    "finetune": {"model.layers": "weighted", "model.tuned_share": 1.0, "model.mask_frames": 0, "model.dropout": 0.0},
}
"""Settings that keep an architecture small; those not named are tried as they are."""
CLASSES = 4


class SmallModels:
    """Modules over small inputs, without pretrained weights, or over a tiny encoder."""

    def __init__(self, encoder: Path) -> None:
        self.encoder = encoder

    def config(self, name: str) -> Config:
        """The architecture's defaults, small, from random weights."""
        plain = default_config(name, SMALL.get(name))
        if plain.features.kind in ENCODER_KINDS:
            return default_config(name, {**SMALL.get(name, {}), "model.pretrained": str(self.encoder)})
        has_pretrained = any(item.name == "pretrained" for item in fields(plain.model))
        return plain.with_params({"model.pretrained": "none"}) if has_pretrained else plain

    def shape(self, name: str) -> tuple[int, int]:
        """(frames, bins) to try it with."""
        features = self.config(name).features
        if features.kind == "encoder_input":
            return 4_480, 1  # samples
        return (1, 24 * feature_maps(features)) if features.kind in CLIP_VECTORS else (70, 40)

    def build(self, name: str, seed: int = 0) -> nn.Module:
        """The module with the weights of `seed`; one that fits itself is fitted to clips of that seed."""
        torch.manual_seed(seed)
        frames, bins = self.shape(name)
        model = build_model(self.config(name), frames=frames, bins=bins, classes=CLASSES)
        if isinstance(model, FitsItself):
            self.fit(model, name, seed)
        return model

    def fit(self, model: FitsItself, name: str, seed: int = 0, *, clips: int = 24, epoch: int = 1) -> None:
        """Fit a module that fits itself to clips of `seed`, all of the same weight."""
        features, _, labels = self.batch(name, clips=clips, seed=seed)
        model.fit_clips(features, labels, torch.ones(clips), epoch=epoch, config=self.config(name))

    def batch(self, name: str, clips: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Features (clips, frames, bins), lengths (clips,) of full and shorter clips, labels (clips,)."""
        frames, bins = self.shape(name)
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(clips, frames, bins, generator=generator)
        if self.config(name).features.kind == "encoder_input":  # a noisy tone each: pooled noise is all alike
            pitch = 0.05 + 0.4 * (torch.arange(clips) % CLASSES)[:, None, None]  # radians a sample
            features = torch.sin(pitch * torch.arange(frames)[None, :, None]) + 0.1 * features
        lengths = torch.tensor([frames if clip % 2 == 0 else max(1, frames * 3 // 5) for clip in range(clips)])
        features *= (torch.arange(frames) < lengths[:, None]).unsqueeze(-1)
        return features, lengths, torch.arange(clips) % CLASSES


@pytest.fixture(scope="session")
def small(tiny_encoder: Callable[..., Path]) -> SmallModels:
    """Small modules and batches of any architecture."""
    dropped = ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout")
    return SmallModels(tiny_encoder(stable=True, **dict.fromkeys(dropped, 0.0)))
