"""A trained model as the start of another: what is taken over, what must agree, and what its folder may be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ser_core.architectures import architectures, default_config, fits_itself
from ser_core.artifact import ArtifactError, load_model, save_model
from ser_core.config import Config, ConfigError
from ser_core.ensemble import ENSEMBLE_FILE, ensemble_document
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames
from ser_core.modules.trained_state import trained_state
from ser_core.splits import Fold
from ser_core.starts import HEAD, find_start
from ser_core.targets import Emotions
from ser_core.training.run import TrainingRun, train
from tests.tiny_encoders import save_tiny_encoder

CLASSES, OTHERS = ("low", "high"), ("calm", "loud", "shrill")


def started(small: Any, name: str, classes: tuple[str, ...] = CLASSES, **settings: Any) -> TrainingRun:
    """A training run of the architecture on six clips of noise, before its first epoch."""
    params = {key.replace("__", "."): value for key, value in settings.items()}
    plain = small.config(name)
    if plain.features.kind != "encoder_input":
        params.setdefault("features.clip_seconds", 1.5)
    else:
        params.setdefault("features.clip_seconds", 0.28)
    config = default_config(name, {**plain.params(), "optim.batch_size": 4, "optim.epochs": 2, **params})
    frames, bins = small.shape(name)
    if config.features.deltas:
        bins *= 1 + config.features.deltas
    frames = clip_frames(config.features) if frames > 1 else 1
    values = np.random.default_rng(0).normal(size=(6 * frames, bins))
    integer = config.features.kind == "encoder_input"
    store = FeatureStore(
        frames=(3_000 * values).astype(np.int16) if integer else values.astype(np.float32),
        bounds=end_to_end(np.arange(7) * frames),
        truth=np.arange(6) % len(classes),
        clip_ids=tuple(map(str, range(6))),
        target=Emotions(classes),
        settings=config.features,
        fingerprint="noise",
    )
    return train(config, Fold(fit=np.arange(6), evaluate=np.arange(6)), store, device="cpu")


def saved(small: Any, name: str, folder: Path, **settings: Any) -> TrainingRun:
    run = started(small, name, **settings)
    next(run)
    save_model(folder, run, about={})
    return run


@pytest.mark.parametrize("name", [name for name in architectures() if not fits_itself(name)])
def test_every_architecture_begins_where_another_ended(name: str, small: Any, tmp_path: Path) -> None:
    ended = saved(small, name, tmp_path).best_weights()
    same = trained_state(started(small, name, start=str(tmp_path), seed=7).model)
    assert all(torch.equal(same[key], ended[key]) for key in ended)
    other = trained_state(started(small, name, OTHERS, start=str(tmp_path), seed=7).model)
    own = [key for key in other if key.startswith(HEAD)]
    assert own
    assert all(torch.equal(other[key], ended[key]) for key in ended if key not in own)
    assert any(len(other[key]) == len(OTHERS) for key in own)


def test_what_no_gradient_trains_begins_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start says nothing to svm, which no gradient trains"):
        default_config("svm", {"start": str(tmp_path)})


def test_classes_in_another_order_have_a_new_classifier(small: Any, tmp_path: Path) -> None:
    ended = saved(small, "mlp", tmp_path).best_weights()
    turned = trained_state(started(small, "mlp", CLASSES[::-1], start=str(tmp_path)).model)
    assert not torch.equal(turned["head.weight"], ended["head.weight"])
    fresh = trained_state(started(small, "mlp", CLASSES[::-1]).model)
    assert torch.equal(turned["head.weight"], fresh["head.weight"])  # that of its own seed


def test_a_model_with_a_start_is_loaded_and_resumed_as_any_other(small: Any, tmp_path: Path) -> None:
    saved(small, "shallow_cnn", tmp_path / "first", model__width=2)
    run = started(small, "shallow_cnn", start=str(tmp_path / "first"), model__width=2)
    next(run)
    run.save(tmp_path / "checkpoint")
    next(run)
    save_model(tmp_path / "second", run, about={})
    shutil.rmtree(tmp_path / "first")  # whose weights are in the second by now
    predictor = load_model(tmp_path / "second")
    assert predictor.config.start == str(tmp_path / "first")
    assert predictor.classes == CLASSES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__width": 3}, r"does not agree with this run:\s+model\.width: 2 there, 3 here$"),
        ({"features__deltas": 0}, r"features\.deltas: 1 there, 0 here"),
        ({"features__normalisation": "clip"}, r"features\.normalisation: 'corpus' there, 'clip' here"),
    ],
)
def test_what_does_not_agree_is_named(settings: dict[str, Any], message: str, small: Any, tmp_path: Path) -> None:
    saved(small, "shallow_cnn", tmp_path, model__width=2)
    started(small, "shallow_cnn", model__width=2, model__dropout=0.4, start=str(tmp_path))
    with pytest.raises(ConfigError, match=message):
        started(small, "shallow_cnn", **{"model__width": 2, "start": str(tmp_path), **settings})


def test_another_architecture_is_named(small: Any, tmp_path: Path) -> None:
    saved(small, "mlp", tmp_path)
    with pytest.raises(ConfigError, match="model: mlp there, shallow_cnn here"):
        started(small, "shallow_cnn", start=str(tmp_path))


def test_clips_of_another_length_are_refused_where_weights_depend_on_it(small: Any, tmp_path: Path) -> None:
    saved(small, "shallow_cnn", tmp_path / "cnn", model__width=2)
    started(small, "shallow_cnn", model__width=2, start=str(tmp_path / "cnn"), features__clip_seconds=2.0)
    saved(small, "ast", tmp_path / "ast", model__stride=16)
    with pytest.raises(ConfigError, match=r"do not fit ast here \(features\.clip_seconds is 1\.5 there, 2\.0 here"):
        started(small, "ast", model__stride=16, start=str(tmp_path / "ast"), features__clip_seconds=2.0)


def test_weights_that_were_changed_since_are_refused(small: Any, tmp_path: Path) -> None:
    saved(small, "mlp", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match="it was truncated or changed"):
        started(small, "mlp", start=str(tmp_path))


@pytest.mark.parametrize("tuning", ["layers", "lora"])
def test_a_tuned_encoder_goes_on_over_the_weights_that_it_was_tuned_over(tuning: str, tmp_path: Path) -> None:
    class Tiny:
        """An encoder whose weights the test changes."""

        def config(self, name: str) -> Config:
            return default_config(name, {"model.pretrained": str(tmp_path / "encoder"), "model.tuning": tuning})

        def shape(self, name: str) -> tuple[int, int]:
            return 4_480, 1

    save_tiny_encoder(tmp_path / "encoder", "hubert")
    ended = saved(Tiny(), "finetune", tmp_path / "first", model__head_epochs=0).best_weights()
    begun = trained_state(started(Tiny(), "finetune", OTHERS, start=str(tmp_path / "first")).model)
    tuned = [key for key in ended if key.startswith("encoder.")]
    assert tuned
    assert all(torch.equal(begun[key], ended[key]) for key in tuned)
    save_tiny_encoder(tmp_path / "encoder", "hubert", seed=1)
    with pytest.raises(ArtifactError, match="has other weights on this machine: get the encoder"):
        started(Tiny(), "finetune", OTHERS, start=str(tmp_path / "first"))


def test_a_start_is_a_model_or_the_first_of_an_ensemble_or_a_run_and_nothing_else(
    small: Any, tiny_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    run, model = tmp_path / "run", tmp_path / "run" / "final" / "seed-1"
    saved(small, "mlp", model)
    assert find_start(str(model)) == model.resolve()
    assert find_start(str(run)) is None
    members = json.dumps(ensemble_document({"seed-1": 0.5, "seed-2": 0.5}))
    (run / "final" / ENSEMBLE_FILE).write_text(members)
    assert find_start(str(run)) == find_start(str(run / "final")) == model.resolve()
    assert find_start(str(tiny_encoder())) is None
    assert find_start("facebook/hubert-base-ls960") is None
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "config.json").write_text("{")
    assert find_start(str(tmp_path / "torn")) is None
