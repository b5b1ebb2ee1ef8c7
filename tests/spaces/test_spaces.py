"""Every space fits the architecture whose name it bears, all over and at its corners."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import torch

import spaces
from ser_core.architectures import (
    architectures,
    build_model,
    default_config,
    feature_maps,
    kind_of_weights,
    settings_read,
)
from ser_core.augment_settings import SAMPLE_CHANGES
from ser_core.config import CLIP_VECTORS, ENCODER_KINDS, Config
from spaces import space_for
from spaces.common import COMMON
from spaces.knobs import Choice, Float, Int, Knob, KnobError, Space, Value

SMALL = {"ast": {"model.size": "tiny"}}
"""Settings outside the space that keep an architecture small enough for a test."""
FILES = [info.name for info in iter_modules(spaces.__path__)]


def value_at(knob: Knob, share: float) -> Value:
    """The value that lies `share` of the way, in [0, 1], from the knob's low end to its high end."""
    if isinstance(knob, Choice):
        return knob.values[round(share * (len(knob.values) - 1))]
    if isinstance(knob, Int):
        return knob.low + knob.step * round(share * (knob.high - knob.low) / knob.step)
    if knob.log:
        return min(knob.high, max(knob.low, knob.low * (knob.high / knob.low) ** share))
    return knob.low + share * (knob.high - knob.low)


def params_at(space: Space, shares: dict[str, float]) -> dict[str, Value]:
    """A configuration of the space, without the knobs whose condition does not hold."""
    params: dict[str, Value] = {}
    for name, knob in space.knobs.items():
        if space.active(name, params):
            params[name] = value_at(knob, shares[name])
    return params


def tried(space: Space) -> list[dict[str, Value]]:
    """Both extreme corners, every first configuration, and some random points."""
    generator = random.Random(0)
    corners = [dict.fromkeys(space.knobs, share) for share in (0.0, 1.0)]
    points = [{name: generator.random() for name in space.knobs} for _ in range(4)]
    return [params_at(space, shares) for shares in corners + points] + [dict(params) for params in space.first]


def configured(model: str, params: dict[str, Value], encoder: Path | str = "none") -> Config:
    """The architecture from random weights, or over a tiny encoder where it needs one."""
    config = default_config(model, {**SMALL.get(model, {}), **params})
    if "model.pretrained" not in config.params():
        return config
    if config.features.kind in ENCODER_KINDS:
        return default_config(model, {**SMALL.get(model, {}), **params, "model.pretrained": str(encoder)})
    return config.with_params({"model.pretrained": "none"})


KINDS = {"finetune": {"": {}, "level": {"do_normalize": False}}}
"""Architecture -> kind of initial weights -> settings of a tiny encoder of that kind, where spaces differ by it."""


def kinds() -> list[tuple[str, str]]:
    """Every architecture with each kind of initial weights for which it has a space or recipes."""
    found = []
    for model in architectures():
        module = import_module(f"spaces.{model}")
        own = {*getattr(module, "SPACE_OF", {}), *getattr(module, "FIRST_OF", {})}
        found += [(model, kind) for kind in ("", *sorted(own))]
    return found


@pytest.mark.parametrize(("model", "kind"), [each for each in kinds() if each != ("finetune", "log_mel")])
def test_every_point_is_a_configuration_that_runs(model, kind, tiny_encoder):
    encoder = tiny_encoder(**KINDS.get(model, {}).get(kind, {}))
    space, usual = space_for(model, kind), space_for(model)
    for params in space.first if kind and space.knobs == usual.knobs else tried(space):
        config = configured(model, params, encoder)
        assert {name: config.params()[name] for name in params} == params
        frames, bins = (1, 24) if config.features.kind in CLIP_VECTORS else (64, 40)
        if config.features.kind == "encoder_input":
            frames, bins = 4_000, 1  # samples
        width = bins * feature_maps(config.features)
        module = build_model(config, frames=frames, bins=width, classes=3).eval()
        with torch.inference_mode():
            logits = module(torch.randn(2, frames, width), torch.tensor([frames, 1]))
        assert torch.isfinite(logits).all(), params


@pytest.mark.parametrize("model", architectures())
def test_every_end_of_every_knob_is_a_valid_setting(model):
    for name, knob in space_for(model).knobs.items():
        for value in knob.values if isinstance(knob, Choice) else (knob.low, knob.high):
            assert configured(model, {name: value}).params()[name] == value


@pytest.mark.parametrize("model", architectures())
def test_first_configurations_name_every_knob_of_the_model_itself(model):
    """What is published about an architecture includes its shape; only how it is trained may be left to the sampler."""
    space = space_for(model)
    own = {name for name in space.knobs if name.startswith("model.")}
    assert all(own <= set(params) for params in space.first)
    assert all("optim.learning_rate" in params for params in space.first) is has_learning_rate(model)


@pytest.mark.parametrize("model", [name for name in architectures() if space_for(name).first])
def test_the_first_configuration_is_the_architectures_default(model):
    """The recipe stands in both, since neither spaces nor ser_core may import the other."""
    first, defaults = space_for(model).first[0], default_config(model).params()
    assert {name: defaults[name] for name in first} == first


def test_a_kind_of_weights_without_a_space_of_its_own_has_the_usual_one():
    assert space_for("ast", "made up") == space_for("ast")
    assert space_for("mlp", "audioset") == space_for("mlp")


def test_ast_begins_with_the_recipe_for_audioset_weights_where_it_has_them(tmp_path):
    first = space_for("ast", "audioset").first
    assert (first[0]["optim.learning_rate"], first[0]["optim.batch_size"]) == (1e-5, 48)
    assert first[1]["model.layer_decay"] < 1
    assert space_for("ast", "audioset").knobs == space_for("ast").knobs
    for name, kind in (
        ("MIT/ast-finetuned-audioset-10-10-0.4593", "audioset"),
        ("audioset_10_10_0.4593.pth", "audioset"),
        ("imagenet", ""),
        ("none", ""),
        ("deit_base_distilled_patch16_384", ""),
    ):
        assert kind_of_weights(default_config("ast", {"model.pretrained": name})) == kind


@pytest.mark.parametrize(("family", "kind"), [("hubert", ""), ("whisper", "log_mel")])
def test_samples_are_changed_only_where_the_encoder_hears_it(family, kind, tiny_encoder):
    def of(encoder):
        return kind_of_weights(default_config("finetune", {"model.pretrained": str(encoder)}))

    assert of(tiny_encoder(family)) == kind
    assert of(tiny_encoder("hubert", do_normalize=False)) == "level"
    changes = {name for name in space_for("finetune", kind).knobs if name.removeprefix("augment.") in SAMPLE_CHANGES}
    assert ("augment.reverb_seconds" in changes) is (kind != "log_mel")
    assert "augment.gain_db" not in changes
    assert "augment.gain_db" in space_for("finetune", "level").knobs


def test_ast_tries_the_published_configuration_first():
    first = space_for("ast").first[0]
    assert (first["optim.optimizer"], first["optim.learning_rate"], first["model.stride"]) == ("adam", 5e-5, 10)


def test_ast_has_weight_decay_with_adamw_alone():
    space = space_for("ast")
    assert space.active("optim.weight_decay", {"optim.optimizer": "adamw"})
    assert not space.active("optim.weight_decay", {"optim.optimizer": "adam"})


def test_every_file_is_of_an_architecture_and_a_newcomer_is_searched_over_the_common_knobs():
    assert {*FILES} - {"common", "knobs", "several"} <= set(architectures())
    assert space_for("newcomer") == Space(knobs=COMMON)


def has_learning_rate(model: str) -> bool:
    """False of what is solved at once."""
    return "optim.learning_rate" in settings_read(model)


@pytest.mark.parametrize("model", [*filter(has_learning_rate, sorted({*architectures()} & {*FILES}))])
def test_first_configurations_are_checked_against_the_bounds(model):
    module = import_module(f"spaces.{model}")
    learning_rate = module.SPACE["optim.learning_rate"]
    assert isinstance(learning_rate, Float)
    assert learning_rate.log
    with pytest.raises(KnobError, match=r"first\[0\]: optim\.learning_rate=1\.0 is outside"):
        Space(knobs=module.SPACE, first=({**module.FIRST[0], "optim.learning_rate": 1.0},))
