"""The recurrent network over an encoder's frames: of one layer, or of the weighted sum of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ser_core.architectures import build_model, default_config, feature_maps
from ser_core.artifact import load_model, save_model
from ser_core.config import Config, ConfigError
from ser_core.features.frames import end_to_end
from ser_core.features.normalisation import as_float
from ser_core.features.size import known_bins
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, extractor
from ser_core.modules.encoders import load_encoder
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.run import train

CLIPS = 9


def clip(index: int) -> np.ndarray:
    """A noisy tone of 0.3 to 0.6 s, higher for each class: (samples,) float32."""
    noise = np.random.default_rng(index).normal(size=4_800 + 500 * index)
    return (0.3 * np.sin(np.arange(len(noise)) * 0.1 * 2 ** (index % 3)) + 0.03 * noise).astype(np.float32)


def weighted(encoder: Path, **settings: float | str) -> Config:
    named = {f"model.{name}": value for name, value in settings.items()}
    base = {"model.pretrained": str(encoder), "model.layers": "weighted", "features.clip_seconds": 0.5}
    return default_config("attn_crnn", {**base, "optim.epochs": 2, "optim.batch_size": 4, **named})


@pytest.mark.parametrize("family", ["wavlm", "whisper", "audio-spectrogram-transformer"])
def test_the_store_holds_every_layer_and_the_network_sums_them(family: str, tiny_encoder: Callable[..., Path]) -> None:
    config = weighted(tiny_encoder(family))
    (frames,) = extractor(config.features)([clip(1)])
    with torch.inference_mode():
        states = load_encoder(config.features.encoder).clip_states(torch.from_numpy(clip(1)))
    assert frames.dtype == np.float16
    assert frames.shape == (len(states[0]), known_bins(config.features)) == (len(states[0]), 3 * 16)
    np.testing.assert_allclose(as_float(frames), torch.cat(states, dim=1), rtol=2**-10, atol=1e-5)

    model = build_model(config, frames=len(frames), bins=48, classes=3).eval()
    seen = []
    model.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.sum.scores.copy_(torch.tensor([0.3, -1.0, 2.0]))
        model(torch.from_numpy(as_float(frames))[None], torch.tensor([len(frames)]))
    weights = torch.tensor([0.3, -1.0, 2.0]).softmax(dim=0)  # Yang et al. 2021, section 2.2
    wanted = sum(weight * state for weight, state in zip(weights, states, strict=True))
    torch.testing.assert_close(seen[0][0].T, wanted, atol=1e-2, rtol=1e-2)
    assert feature_maps(config.features) == 3


def test_it_is_trained_kept_and_predicts_from_samples(tiny_encoder: Callable[..., Path], tmp_path: Path) -> None:
    config = weighted(tiny_encoder("hubert"))
    parts = extractor(config.features)([clip(index) for index in range(CLIPS)])
    store = FeatureStore(
        frames=np.concatenate(parts),
        bounds=end_to_end(np.cumsum([0, *map(len, parts)])),
        truth=np.arange(CLIPS) % 3,
        clip_ids=tuple(map(str, range(CLIPS))),
        target=Emotions(("low", "middle", "high")),
        settings=config.features,
        fingerprint="tones",
    )
    run = train(config, Fold(fit=np.arange(6), evaluate=np.arange(6, 9)), store, device="cpu")
    list(run)
    assert run.model.sum.scores.any()  # they are trained
    save_model(tmp_path, run, about={})
    predictor = load_model(tmp_path)
    said = run.predict(np.array([4]))[0]
    np.testing.assert_allclose(predictor.probabilities(clip(4)), said, atol=1e-5)


def test_frames_of_one_layer_are_no_sum_and_layers_are_not_tuned_and_summed(tiny_encoder: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"model\.tuned_layers must be 0 with model\.layers = weighted"):
        weighted(tiny_encoder(), tuned_layers=1)
    one = default_config("attn_crnn", {"model.pretrained": str(tiny_encoder())})
    assert (one.features.kind, feature_maps(one.features)) == ("encoder", 1)
    mixed = one.with_params({"model.layers": "weighted"})
    with pytest.raises(ConfigError, match="attn_crnn takes frames of one layer, or of all"):
        build_model(mixed, frames=clip_frames(one.features), bins=16, classes=3)
