"""A fine-tuned encoder: what of it is trained and when, and that only that is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ser_core.architectures import build_model, default_config
from ser_core.artifact import ArtifactError, load_model, save_model
from ser_core.config import Config, ConfigError
from ser_core.features.frames import end_to_end
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, extractor
from ser_core.modules.encoder_families import encoder_facts
from ser_core.modules.encoders import load_encoder
from ser_core.splits import Fold
from ser_core.targets import Emotions
from ser_core.training.optim import build_optimizer
from ser_core.training.run import TrainingRun, train
from tests.tiny_encoders import FAMILIES, save_tiny_encoder

Tiny = Callable[..., Path]
CLIPS = 12
PLAIN = {"model.mask_frames": 0, "model.dropout": 0.0, "augment.time_shift_seconds": 0.0}
"""Nothing is drawn at random but the first weights of the head and the order of the clips."""


def clip(index: int) -> np.ndarray:
    """A noisy tone of 0.3 s, higher for each class: (samples,) float32."""
    noise = np.random.default_rng(index).normal(size=4_800)
    return (0.3 * np.sin(np.arange(4_800) * 0.1 * 2 ** (index % 3)) + 0.03 * noise).astype(np.float32)


def tuned(encoder: Path, **settings: float | str) -> Config:
    params = {name.replace("__", "."): value for name, value in settings.items()}
    base = {"features.clip_seconds": 0.3, "optim.epochs": 2, "optim.batch_size": 4, "precision": "fp32"}
    return default_config("finetune", {"model.pretrained": str(encoder), **base, **params})


def store_of(config: Config) -> FeatureStore:
    parts = extractor(config.features)([clip(index) for index in range(CLIPS)])
    return FeatureStore(
        frames=np.concatenate(parts),
        bounds=end_to_end(np.cumsum([0, *map(len, parts)])),
        truth=np.arange(CLIPS) % 3,
        clip_ids=tuple(map(str, range(CLIPS))),
        target=Emotions(("low", "middle", "high")),
        settings=config.features,
        fingerprint="tones",
    )


def started(config: Config, resume: Path | None = None) -> TrainingRun:
    fold = Fold(fit=np.arange(9), evaluate=np.arange(9, 12))
    return train(config, fold, store_of(config), device="cpu", resume=resume)


def batch_for(encoder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Two clips of what the encoder takes, the second shorter."""
    inputs = load_encoder(str(encoder)).inputs(torch.from_numpy(clip(0)))
    return torch.stack([inputs, inputs.flip(0)]), torch.tensor([len(inputs), len(inputs) * 2 // 3])


def built(encoder: Path, **settings: float | str) -> torch.nn.Module:
    """The model over the frozen or tuned encoder, its head always with the same first weights."""
    config, facts = tuned(encoder, **settings), encoder_facts(str(encoder))
    torch.manual_seed(0)
    model = build_model(config, frames=batch_for(encoder)[0].shape[1], bins=facts.values, classes=3)
    for name, weight in model.named_parameters():  # adapters draw numbers before the head does
        if not name.startswith("encoder."):
            torch.nn.init.constant_(weight, 0.01)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_change_nothing_at_first_and_are_reached_by_the_gradient(family: str, tiny_encoder: Tiny) -> None:
    pytest.importorskip("peft")
    encoder = tiny_encoder(family)
    features, lengths = batch_for(encoder)
    frozen, adapted = (built(encoder, model__tuning=way, **PLAIN) for way in ("head", "lora"))
    with torch.inference_mode():
        torch.testing.assert_close(
            adapted.eval()(features, lengths), frozen.eval()(features, lengths), atol=1e-4, rtol=1e-4
        )
    adapted.begin_epoch(2)
    adapted.train()(features, lengths).square().sum().backward()
    reached = {name: weight.grad for name, weight in adapted.named_parameters() if "lora_B" in name}
    assert len(reached) >= 6  # both kinds of linear maps of the upper of two layers
    assert [name for name, grad in reached.items() if grad is None or not grad.any()] == []
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert all("lora_" in name or not name.startswith("encoder.") for name in trained)


@pytest.mark.parametrize(("share", "lowest"), [(0.01, 3), (0.5, 2), (1.0, 0)])
def test_top_layers_are_trained_each_more_slowly_than_the_one_above(
    share: float, lowest: int, tiny_encoder: Tiny
) -> None:
    model = built(
        tiny_encoder("hubert", layers=4, stable=True),
        model__tuned_share=share, model__encoder_rate=0.1, model__layer_decay=0.5,
    )  # fmt: skip
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    layers = {int(name.split("layers.")[1].split(".")[0]) for name in trained if ".layers." in name}
    assert layers == set(range(lowest, 4))
    assert "encoder.net.encoder.layer_norm.weight" in trained
    assert not any("feature_extractor" in name or "pos_conv" in name for name in trained)
    assert model.learning_rate_scale("head.weight") == 1
    assert model.learning_rate_scale("encoder.net.encoder.layer_norm.weight") == 0.1
    name = f"encoder.net.encoder.layers.{lowest}.attention.q_proj.weight"
    assert model.learning_rate_scale(name) == pytest.approx(0.1 * 0.5 ** (3 - lowest))
    groups = build_optimizer(model, tuned(tiny_encoder("hubert")).optim).param_groups
    assert sum(len(group["params"]) for group in groups) == len(trained)
    assert {round(group["scale"], 6) for group in groups} == {1.0, *(0.1 * 0.5**up for up in range(4 - lowest))}


def test_the_head_is_trained_first_and_only_what_changed_is_kept(tiny_encoder: Tiny, tmp_path: Path) -> None:
    config = tuned(tiny_encoder("wavlm"), model__head_epochs=1, model__encoder_rate=1.0, optim__learning_rate=1e-2)
    run = started(config)
    layer = run.model.encoder.stack.layers[1].feed_forward.output_dense.weight
    before = layer.detach().clone()
    next(run)
    assert torch.equal(layer, before)
    run.save(tmp_path / "first")
    next(run)
    assert not torch.equal(layer, before)
    run.save(tmp_path / "second")
    with safe_open(tmp_path / "second", framework="pt") as file:
        kept = [name for name in file.keys() if name.startswith("weights/encoder.")]  # noqa: SIM118 - not a mapping
    assert kept
    assert all(".layers.1." in name for name in kept)

    resumed = started(config, tmp_path / "first")  # as if it had never stopped
    list(resumed)
    np.testing.assert_array_equal(resumed.predict(np.arange(CLIPS)), run.predict(np.arange(CLIPS)))
    assert resumed.reports[1].val_loss == run.reports[1].val_loss


@pytest.mark.parametrize("tuning", ["layers", "lora"])
def test_a_folder_predicts_with_the_encoder_that_it_was_trained_on_and_no_other(
    tuning: str, tiny_encoder: Tiny, tmp_path: Path
) -> None:
    encoder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder("hubert"), encoder)
    config = tuned(encoder, model__tuning=tuning, optim__average_decay=0.5)
    run, again = started(config), started(config)
    list(run), list(again)
    said = run.predict(np.arange(CLIPS))
    np.testing.assert_array_equal(again.predict(np.arange(CLIPS)), said)  # one seed, one result
    save_model(tmp_path / "model", run, about={})
    kept = [name for name in load_file(tmp_path / "model" / "model.safetensors") if name.startswith("encoder.")]
    assert all(("lora_" if tuning == "lora" else ".layers.1.") in name for name in kept)
    predictor = load_model(tmp_path / "model")
    np.testing.assert_allclose(predictor.predict_store(store_of(config)), said, atol=1e-6)
    np.testing.assert_allclose(predictor.probabilities(clip(2)), said[2], atol=1e-6)
    save_tiny_encoder(encoder, "hubert", seed=1)
    with pytest.raises(ArtifactError, match="has other weights on this machine: get the encoder"):
        load_model(tmp_path / "model")


def test_a_batch_in_parts_and_hidden_states_computed_again_give_the_same_step(tiny_encoder: Tiny) -> None:
    ways = ({}, {"optim__accumulation": 2}, {"model__checkpointing": True})
    losses = []
    for way in ways:
        encoder = tiny_encoder("wavlm", hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
                               feat_proj_dropout=0.0)  # fmt: skip
        run = started(tuned(encoder, model__head_epochs=0, optim__batch_size=9, **PLAIN, **way))
        losses.append([report.val_loss for report in run])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-4)


@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_in_bf16_it_learns_what_it_does_in_fp32_but_for_rounding(family: str, tiny_encoder: Tiny) -> None:
    runs = [started(tuned(tiny_encoder(family), precision=precision, **PLAIN)) for precision in ("fp32", "bf16")]
    losses = [[report.val_loss for report in run] for run in runs]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)
    assert losses[1] != losses[0]
    assert {weight.dtype for weight in runs[1].best_weights().values() if weight.is_floating_point()} == {torch.float32}


def test_samples_are_changed_in_training_alone_and_alike_for_one_seed(tiny_encoder: Tiny) -> None:
    changes = {
        "augment.speed_change": 0.1, "augment.reverb_seconds": 0.3, "augment.background_noise": 0.3,
        "augment.gain_db": 6.0,
    }  # fmt: skip
    encoder = tiny_encoder("hubert")
    plain, changed, again = (started(tuned(encoder, **PLAIN, **own)) for own in ({}, changes, changes))
    every = np.arange(CLIPS)
    np.testing.assert_array_equal(changed.predict(every), plain.predict(every))
    losses = [[report.train_loss for report in run] for run in (plain, changed, again)]
    assert losses[1] == losses[2]
    assert all(one != other for one, other in zip(losses[0], losses[1], strict=True))
    np.testing.assert_array_equal(changed.predict(every), again.predict(every))


def test_masks_are_laid_in_training_alone(tiny_encoder: Tiny) -> None:
    encoder = tiny_encoder("whisper")
    masked = built(encoder, model__mask_frames=8, model__mask_units=8, model__dropout=0.0)
    plain = built(encoder, **PLAIN)
    features, lengths = batch_for(encoder)
    masked.begin_epoch(2), plain.begin_epoch(2)
    with torch.inference_mode():
        assert torch.equal(masked.eval()(features, lengths), plain.eval()(features, lengths))
        assert not torch.equal(masked.train()(features, lengths), plain.train()(features, lengths))


def test_what_the_encoder_cannot_take_is_refused(tiny_encoder: Tiny) -> None:
    config = tuned(tiny_encoder("whisper"), features__clip_seconds=31.0)
    with pytest.raises(ConfigError, match=r"features\.clip_seconds may be at most 30 for encoder"):
        build_model(config, frames=clip_frames(config.features), bins=80, classes=3)
    with pytest.raises(ConfigError, match=r"finetune takes what encoder .* takes, 80 values a step; got 64"):
        build_model(config, frames=100, bins=64, classes=3)
    with pytest.raises(ConfigError, match=r"optim\.accumulation may be at most half of optim\.batch_size = 4"):
        tuned(tiny_encoder("whisper"), optim__accumulation=3)
    with pytest.raises(ConfigError, match=r"features\.normalisation must be corpus for .* encoder_input"):
        tuned(tiny_encoder("whisper"), features__normalisation="clip")


def test_adapters_without_their_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ser_core.models.finetune.adapters_available", lambda: False)
    with pytest.raises(ConfigError, match=r"tuning = lora cannot be had: .*pip install 'ser-search\[finetune\]'"):
        tuned(tmp_path, model__tuning="lora")
