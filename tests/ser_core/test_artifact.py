"""A model folder: what it says, that it predicts what was trained, and that a damaged one is refused."""

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ser_core.architectures import default_config
from ser_core.artifact import ArtifactError, load_model, save_model
from ser_core.config import Config
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore, by_speaker
from ser_core.features.transforms import extractor
from ser_core.modules.pretrained import PretrainedError
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.run import TrainingRun, train
from tests.bounded import bounded

ABOUT = {"corpus": {"name": "toy", "licence": "none", "synthetic": True}}
CLASSES = ("neutral", "happy", "sad")
RATE_HZ = 16_000


def clip(index: int) -> np.ndarray:
    """A noisy tone of 0.4 to 0.8 s, higher for each class: (samples,) float32."""
    rng = np.random.default_rng(index)
    seconds = np.arange(int(RATE_HZ * rng.uniform(0.4, 0.8))) / RATE_HZ
    tone = np.sin(2 * np.pi * 300 * 2 ** (index % 3) * seconds) + 0.1 * rng.normal(size=len(seconds))
    return (0.3 * tone).astype(np.float32)


def store_of(config: Config, clips: int = 18) -> FeatureStore:
    parts = extractor(config.features)([clip(index) for index in range(clips)])
    return FeatureStore(
        frames=np.concatenate(parts),
        bounds=end_to_end(np.concatenate([[0], np.cumsum([len(part) for part in parts])])),
        truth=np.arange(clips) % 3,
        clip_ids=tuple(map(str, range(clips))),
        target=Emotions(CLASSES),
        settings=config.features,
        fingerprint="toy",
    )


def trained(model: str, **settings: float | str) -> TrainingRun:
    params = {"optim.epochs": 2, "optim.batch_size": 4, "features.clip_seconds": 0.6, "features.hop_ms": 20.0}
    config = default_config(model, params | {name.replace("__", "."): value for name, value in settings.items()})
    run = train(config, Fold(fit=np.arange(12), evaluate=np.arange(12, 18)), store_of(config), device="cpu")
    list(run)
    return run


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def run(request: pytest.FixtureRequest) -> TrainingRun:
    """Trained in each precision that a machine may choose by itself."""
    return trained("shallow_cnn", model__width=2, precision=request.param)


@pytest.fixture
def folder(run: TrainingRun, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", run, about=ABOUT)
    return tmp_path / "model"


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads((folder / "config.json").read_text())
    change(document)
    (folder / "config.json").write_text(json.dumps(document))


# -- what it says and does ---------------------------------------------------------------------------------------------


def test_the_folder_says_all_that_predicting_needs(folder: Path, run: TrainingRun) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    document = json.loads((folder / "config.json").read_text())
    assert document["architecture"] == "shallow_cnn"
    assert document["settings"] == run.config.params()
    assert document["classes"] == list(CLASSES)
    assert (document["clip_frames"], document["bins"]) == (30, 128)
    assert len(document["normalisation"]["mean"]) == len(document["normalisation"]["std"]) == 128
    assert document["epochs"] == run.best_epoch
    assert document["about"] == ABOUT
    assert document["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_a_loaded_model_predicts_exactly_what_the_run_did(folder: Path, run: TrainingRun) -> None:
    predictor = load_model(folder)
    assert predictor.config == run.config
    assert predictor.classes == CLASSES
    np.testing.assert_array_equal(predictor.predict_store(store_of(run.config)), run.predict(np.arange(18)))


def test_samples_and_store_give_the_same(folder: Path, run: TrainingRun) -> None:
    predictor = load_model(folder)
    rows = predictor.predict_store(store_of(run.config))
    for index in (0, 7):
        probabilities = predictor.probabilities(clip(index))
        assert probabilities.shape == (3,)
        np.testing.assert_allclose(probabilities, rows[index], atol=1e-5)


@pytest.mark.parametrize("length", [100, RATE_HZ * 20])
def test_clips_of_any_length_are_predicted(folder: Path, length: int) -> None:
    samples = np.random.default_rng(0).normal(size=length).astype(np.float32)
    assert load_model(folder).probabilities(samples).sum() == pytest.approx(1, rel=1e-5)


def test_a_model_of_one_vector_per_clip(tmp_path: Path) -> None:
    run = trained("mlp")
    save_model(tmp_path, run, about=ABOUT)
    np.testing.assert_array_equal(load_model(tmp_path).predict_store(store_of(run.config)), run.predict(np.arange(18)))


def test_loading_fetches_no_pretrained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(
        "ast", model__size="tiny", model__pretrained="none", model__stride=16, optim__epochs=1, precision="bf16"
    )
    save_model(tmp_path, run, about=ABOUT)
    edit(tmp_path, lambda document: document["settings"].update({"model.pretrained": "imagenet"}))

    def refuse(*args: object) -> None:
        raise AssertionError("pretrained weights were asked for")

    monkeypatch.setattr("ser_core.models.ast.initial_weights", refuse)
    predictor = load_model(tmp_path)
    np.testing.assert_array_equal(predictor.predict_store(store_of(run.config)), run.predict(np.arange(18)))
    assert predictor.config.model.pretrained == "imagenet"


def test_loading_fetches_no_encoder(tmp_path: Path, tiny_encoder: Callable[..., Path]) -> None:
    run = trained("attn_crnn", model__pretrained=str(tiny_encoder("hubert")), optim__epochs=1)
    save_model(tmp_path, run, about=ABOUT)
    assert load_model(tmp_path).probabilities(np.full(9_000, 0.1, np.float32)).shape == (len(run.target.names),)
    edit(tmp_path, lambda document: document["settings"].update({"features.encoder": "nobody/nothing"}))
    with pytest.raises(PretrainedError, match=r"downloads nothing by itself: .* `hf download nobody/nothing`"):
        load_model(tmp_path)


def test_saving_again_replaces_the_model(folder: Path) -> None:
    other = trained("mlp")
    save_model(folder, other, about=ABOUT)
    assert load_model(folder).config == other.config


def test_a_store_of_other_features_is_refused(folder: Path) -> None:
    other = default_config("shallow_cnn", {"features.n_mels": 40})
    with pytest.raises(ValueError, match=r"store holds features of .*n_mels=40.* needs .*n_mels=64"):
        load_model(folder).predict_store(store_of(other))


# -- damaged folders ---------------------------------------------------------------------------------------------------


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is no model folder: it holds no config\.json"):
        load_model(tmp_path)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"holds no model\.safetensors; copy the whole model folder"):
        load_model(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"model\.safetensors is not the file .* it was truncated or changed"):
        load_model(folder)


def test_a_flipped_bit_is_refused(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match="SHA-256 differs"):
        load_model(folder)


def test_a_truncated_config_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ArtifactError, match=r"config\.json is not JSON"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="ser-model-0"), "must have the format 'ser-model-1'; got 'ser-model-0'"),
        (lambda d: d.pop("normalisation"), r"lacks normalisation; copy the whole model folder"),
        (lambda d: d["classes"].pop(), "does not describe the weights beside it"),
        (lambda d: d.update(architecture="perceptron"), "unknown model 'perceptron'"),
        (lambda d: d["settings"].update({"model.depth": 3}), "unknown settings 'model.depth'"),
        (lambda d: d["settings"].update({"model.width": 3}), "does not describe the weights beside it"),
        (lambda d: d["normalisation"]["std"].pop(), r"normalisation must have 128 bins; got \(128,\) and \(127,\)"),
        (lambda d: d["normalisation"]["std"].__setitem__(0, 0.0), "deviations above 0"),
        (lambda d: d["about"]["corpus"].update(scales={"arousal": [5, 1]}), "arousal must be below the highest; got 5"),
        (lambda d: d["about"]["corpus"].update(scales={"arousal": ["1", "5"]}), "must be a number; got text"),
    ],
)
def test_an_edited_config_is_refused(folder: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    edit(folder, change)
    with pytest.raises(ArtifactError, match=message):
        load_model(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"bins": ' + "9" * 5_000 + "}", "[]", "3", '"\\ud800"', "\0"])
def test_hostile_json_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"config\.json (is not JSON|must hold a JSON object)"):
        load_model(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_config_gives_a_model_or_an_artifact_error(folder: Path, data: st.DataObject) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    holder, key = document, data.draw(st.sampled_from(sorted(document)))
    if isinstance(document[key], dict) and document[key] and data.draw(st.booleans()):
        holder, key = document[key], data.draw(st.sampled_from(sorted(document[key])))
    before = holder[key]
    holder[key] = data.draw(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))
    )
    kept = path.read_text()
    path.write_text(json.dumps(document))
    try:
        with bounded(), suppress(ArtifactError):  # with the file and the place
            load_model(folder)
    finally:
        holder[key] = before
        path.write_text(kept)


def test_weights_that_are_nan_are_refused(folder: Path, run: TrainingRun) -> None:
    weights = load_file(folder / "model.safetensors")
    name = "head.weight"
    save_file({**weights, name: weights[name] * math.nan}, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit(folder, lambda document: document.update(weights_sha256=digest))
    with pytest.raises(ArtifactError, match=rf"weights that are NaN or infinite \(first {name}; tensors: 1\).*anew"):
        load_model(folder)


def test_a_safetensors_file_with_a_hostile_header_is_refused(folder: Path) -> None:
    content = (2**40).to_bytes(8, "little") + b"{" * 100
    (folder / "model.safetensors").write_bytes(content)
    edit(folder, lambda document: document.update(weights_sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(ArtifactError, match=r"cannot be read .*header too large"):
        load_model(folder)


def test_a_model_that_normalises_by_speaker_wants_several_clips_of_one(tmp_path: Path) -> None:
    settings = {
        "optim.epochs": 2,
        "features.clip_seconds": 0.6,
        "model.width": 2,
        "features.n_mels": 16,
        "features.deltas": 0,
    }
    config = default_config("shallow_cnn", {**settings, "features.hop_ms": 20.0, "features.normalisation": "speaker"})
    clips = [clip(index) for index in range(18)]
    plain = extractor(config.features)(clips)
    offsets = np.cumsum([0, *map(len, plain)])
    speakers = np.repeat(["a", "b"], 9)
    frames = np.concatenate(list(by_speaker(np.concatenate(plain), end_to_end(offsets), speakers)))
    store = replace(store_of(config), frames=frames, bounds=end_to_end(offsets))
    run = train(config, Fold(fit=np.arange(12), evaluate=np.arange(12, 18)), store, device="cpu")
    list(run)
    save_model(tmp_path, run, about={})
    predictor = load_model(tmp_path)
    np.testing.assert_allclose(
        predictor.speaker_probabilities(clips[9:]), predictor.predict_store(store)[9:], atol=1e-5
    )
    with pytest.raises(ValueError, match="one clip alone cannot be predicted"):
        predictor.probabilities(clips[0])
    with pytest.raises(ValueError, match="at least one clip"):
        predictor.speaker_probabilities([])


def test_a_folder_that_an_earlier_version_wrote_is_read_in_present_words(folder: Path, run: TrainingRun) -> None:
    def as_before(document: dict[str, Any]) -> None:
        del document["settings"]["features.normalisation"]
        document["settings"]["features.speaker_normalisation"] = True

    assert not load_model(folder).transductive
    edit(folder, as_before)
    assert load_model(folder).config.features.normalisation == "speaker"
    assert load_model(folder).transductive
