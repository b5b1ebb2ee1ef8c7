"""The probe: a weighted sum of a frozen encoder's layers, from a store that keeps their statistics alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ser_core.architectures import build_model, default_config, feature_maps
from ser_core.artifact import load_model, save_model
from ser_core.config import Config, ConfigError
from ser_core.features.derivation import base_settings
from ser_core.features.frames import end_to_end
from ser_core.features.normalisation import as_float, normalisation_of
from ser_core.features.size import known_bins
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import extractor
from ser_core.modules.encoders import load_encoder
from ser_core.modules.layers import LayerSum
from ser_core.modules.pretrained import PretrainedError
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.run import TrainingRun, train

CLIPS = 18


def clip(index: int) -> np.ndarray:
    """A noisy tone of 0.4 to 0.8 s, higher for each class: (samples,) float32."""
    rng = np.random.default_rng(index)
    seconds = np.arange(int(16_000 * rng.uniform(0.4, 0.8))) / 16_000
    return (0.3 * np.sin(2_000 * 2 ** (index % 3) * seconds) + 0.03 * rng.normal(size=len(seconds))).astype(np.float32)


def probe_of(encoder: Path, **settings: float | str) -> Config:
    named = {f"model.{name}": value for name, value in settings.items()}
    return default_config(
        "probe", {"model.pretrained": str(encoder), "optim.epochs": 4, "optim.batch_size": 4, **named}
    )


def store_of(config: Config) -> FeatureStore:
    frames = np.concatenate(extractor(config.features)([clip(index) for index in range(CLIPS)]))
    return FeatureStore(
        frames=frames,
        bounds=end_to_end(np.arange(CLIPS + 1)),
        truth=np.arange(CLIPS) % 3,
        clip_ids=tuple(map(str, range(CLIPS))),
        target=Emotions(("low", "middle", "high")),
        settings=config.features,
        fingerprint="tones",
    )


def trained(config: Config, store: FeatureStore | None = None) -> TrainingRun:
    fold = Fold(fit=np.arange(12), evaluate=np.arange(12, 18))
    run = train(config, fold, store_of(config) if store is None else store, device="cpu")
    list(run)
    return run


def moments(state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation over time of a hidden state (frames, hidden)."""
    return state.mean(dim=0), state.std(dim=0, correction=0)


@pytest.mark.parametrize("family", ["wavlm", "whisper"])
def test_the_weighted_sum_is_that_of_superb(family: str, tiny_encoder: Callable[..., Path]) -> None:
    folder, samples, scores = tiny_encoder(family), clip(0), torch.randn(3)
    with torch.inference_mode():  # as s3prl's Featurizer: frames are weighted first, and pooled over time then
        encoder = load_encoder(str(folder))
        states = torch.stack(encoder.clip_states(torch.from_numpy(samples)))  # (layers, frames, hidden)
        wanted = (scores.softmax(dim=0)[:, None, None] * states).sum(dim=0).mean(dim=0)
    (vector,) = extractor(probe_of(folder).features)([samples])
    means = torch.from_numpy(as_float(vector)).unflatten(1, (3, 2, -1))[:, :, 0]
    layers = LayerSum(3)
    with torch.no_grad():
        layers.scores.copy_(scores)
    torch.testing.assert_close(layers(means)[0], wanted, atol=1e-3, rtol=1e-3)


def test_the_store_holds_mean_and_deviation_of_every_layer_in_half_precision(tiny_encoder: Callable[..., Path]) -> None:
    config = probe_of(tiny_encoder("hubert"))
    (vector,) = extractor(config.features)([clip(1)])
    assert (vector.dtype, vector.shape) == (np.float16, (1, known_bins(config.features)))
    assert known_bins(config.features) == feature_maps(config.features) * 2 * 16 == 96
    with torch.inference_mode():
        states = load_encoder(config.features.encoder).clip_states(torch.from_numpy(clip(1)))
    exact = torch.cat([part for state in states for part in moments(state)])
    np.testing.assert_allclose(vector[0], exact, rtol=2**-10, atol=1e-6)
    assert base_settings(config.features) == config.features


@pytest.mark.parametrize("normalisation", ["value", "layer", "none"])
def test_half_precision_loses_nothing(normalisation: str, tiny_encoder: Callable[..., Path]) -> None:
    config = probe_of(tiny_encoder("hubert"), normalisation=normalisation)
    halved = store_of(config)
    with torch.inference_mode():
        encoder = load_encoder(config.features.encoder)
        exact = [encoder.clip_states(torch.from_numpy(clip(index))) for index in range(CLIPS)]
    rows = [torch.cat([part for state in states for part in moments(state)]).numpy() for states in exact]
    whole = FeatureStore(**{**vars(halved), "frames": np.stack(rows)})
    errors = (as_float(halved.frames) - whole.frames) / whole.frames.std(axis=0)
    assert np.sqrt(np.square(errors).mean()) < 0.01  # deviations over clips
    said = [trained(config, store).predict(np.arange(CLIPS)) for store in (halved, whole)]
    np.testing.assert_allclose(said[0], said[1], atol=0.005)


def test_what_half_precision_cannot_tell_from_rounding_is_not_blown_up() -> None:
    steps = np.array([[100.0, 0.001], [100.0625, 0.002]], dtype=np.float16)  # neighbours at 100, but not at 0.001
    scale = normalisation_of(steps, end_to_end(np.arange(3)), np.arange(2))
    assert scale.std[0] == 1
    assert scale.std[1] == pytest.approx(0.0005, rel=0.01)


def test_one_seed_gives_one_result_and_the_folder_predicts_what_was_trained(
    tiny_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    config = probe_of(tiny_encoder("data2vec-audio"))
    run, again = trained(config), trained(config)
    np.testing.assert_array_equal(run.predict(np.arange(CLIPS)), again.predict(np.arange(CLIPS)))
    save_model(tmp_path, run, about={})
    predictor = load_model(tmp_path)
    np.testing.assert_array_equal(predictor.predict_store(store_of(config)), run.predict(np.arange(CLIPS)))
    np.testing.assert_allclose(
        predictor.probabilities(clip(3)), run.predict(np.array([3]))[0], atol=1e-6
    )  # alone, and from samples


@pytest.mark.parametrize(("depth", "layer"), [(0.0, 0), (0.5, 1), (1.0, 2)])
def test_a_layer_alone_is_found_by_its_depth(depth: float, layer: int, tiny_encoder: Callable[..., Path]) -> None:
    config = probe_of(tiny_encoder("hubert"), layers="one", depth=depth, normalisation="none")
    model = build_model(config, frames=1, bins=96, classes=3).eval()
    features = torch.randn(2, 1, 96)
    other = features.clone()
    other[:, :, 32 * layer : 32 * (layer + 1)] += 1
    lengths = torch.ones(2, dtype=torch.int64)
    assert not torch.allclose(model(features, lengths), model(other, lengths))
    other[:, :, : 32 * layer], other[:, :, 32 * (layer + 1) :] = 7, 7
    other[:, :, 32 * layer : 32 * (layer + 1)] -= 1
    torch.testing.assert_close(model(features, lengths), model(other, lengths))


def test_hidden_states_beyond_half_precision_are_refused(tmp_path: Path, tiny_encoder: Callable[..., Path]) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for file in tiny_encoder("hubert", stable=True).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer_norm.weight"] *= 1e7
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PretrainedError, match="larger than half precision holds"):
        extractor(probe_of(folder).features)([clip(0)])


def test_other_features_are_refused(tiny_encoder: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"probe takes one vector per clip, .* 3 layers; got 70 frames of 40"):
        build_model(probe_of(tiny_encoder()), frames=70, bins=40, classes=3)
