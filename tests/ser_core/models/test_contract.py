"""What every architecture must do. A new file in ser_core/models is held to it without a line here."""

from __future__ import annotations

import math

import pytest
import safetensors.torch
import torch
from torch.nn.functional import cross_entropy

from ser_core.architectures import (
    architecture,
    architectures,
    build_model,
    default_config,
    fits_itself,
    least_frames,
    settings_read,
    takes_raw_features,
    without_pretrained,
)
from ser_core.config import Config, ConfigError

EVERY = pytest.mark.parametrize("name", architectures())
TRAINED = pytest.mark.parametrize("name", [name for name in architectures() if not fits_itself(name)])
"""What gradient steps ask of a module: a gradient for every parameter, and that following it lowers the loss."""
SOLVED = pytest.mark.parametrize("name", [name for name in architectures() if fits_itself(name)])
"""What a solver's module owes in their place: the clips decide its state, whoever fitted the epochs before."""

PADDING_COUNTS = {
    "resnet18": "the last cells before the end see the padding's zeros after batch norm",
    "ast": "position embeddings fix the number of frames",
    "mlp": "a clip is one frame, never padded",
    "probe": "a clip is one frame, never padded",
    "svm": "a clip is one frame, never padded",
    "boosting": "a clip is one frame, never padded",
}
"""Architecture -> why its logits may depend on how much padding follows a clip (never on what it holds)."""

PARAMETERS = {
    "mlp": (2_823, 1, 360_000, 365_000),
    "shallow_cnn": (64, 150, 90_000, 103_000),
    "cnn_lstm": (64, 150, 450_000, 465_000),
    "resnet18": (64, 150, 11_100_000, 11_300_000),
    "ast": (128, 300, 84_500_000, 88_000_000),
    "attn_crnn": (768, 150, 500_000, 1_000_000),
    "svm": (2_823, 1, 22_592, 22_592),
}
"""Architecture -> bins, frames, and the range in which the defaults' number of parameters lies."""


@EVERY
def test_module_states_what_others_read(name, small):
    module = architecture(name)
    assert module.PRECISION in ("bf16", "fp32")
    assert isinstance(module.CHANNELS_LAST, bool)
    assert len(module.CITATION) > 20
    assert isinstance(default_config(name), Config)
    assert (least_frames(small.config(name)) is None) is (name in PADDING_COUNTS)
    assert takes_raw_features(default_config(name)) is (default_config(name).features.kind == "encoder_input")


@EVERY
def test_gives_one_finite_logit_per_class(name, small):
    features, lengths, _ = small.batch(name)
    logits = small.build(name)(features, lengths)
    assert logits.shape == (6, 4)
    assert torch.isfinite(logits).all()


@TRAINED
def test_gradient_reaches_every_parameter(name, small):
    model = small.build(name).train()
    features, lengths, labels = small.batch(name)
    with torch.no_grad():
        for weight in model.parameters():  # a residual branch that starts at zero has no gradient until the first step
            weight += 0.01 * torch.randn_like(weight)
    cross_entropy(model(features, lengths), labels).backward()
    trained = [(key, weight) for key, weight in model.named_parameters() if weight.requires_grad]
    untouched = [key for key, weight in trained if weight.grad is None or not weight.grad.any()]
    assert untouched == []


@EVERY
def test_what_padding_holds_does_not_matter(name, small):
    model = small.build(name).eval()
    features, lengths, _ = small.batch(name)
    padding = torch.arange(features.shape[1]) >= lengths[:, None]  # (clips, frames)
    noisy = torch.where(padding.unsqueeze(-1), torch.full_like(features, 7.0), features)
    torch.testing.assert_close(model(noisy, lengths), model(features, lengths), atol=1e-5, rtol=1e-5)


@EVERY
def test_how_much_padding_follows_does_not_matter(name, small):
    if name in PADDING_COUNTS:
        pytest.skip(PADDING_COUNTS[name])
    model = small.build(name)
    features, lengths, _ = small.batch(name)
    for _ in range(3):  # batch norm's running statistics must not be those of the start
        model.train()(features + 0.3, lengths)
    model.eval()
    for length in (features.shape[1] * share // 70 for share in (61, 42, 19)):
        clip, size = features[:1, :length], torch.tensor([length])
        padded = torch.nn.functional.pad(clip, (0, 0, 0, features.shape[1] - length))
        torch.testing.assert_close(model(padded, size), model(clip, size), atol=1e-4, rtol=1e-4)


@EVERY
def test_a_clip_scores_the_same_in_any_batch(name, small):
    model = small.build(name).eval()
    features, lengths, _ = small.batch(name)
    together = model(features, lengths)
    alone = torch.cat([model(features[i : i + 1], lengths[i : i + 1]) for i in range(len(lengths))])
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)


@TRAINED
def test_learns_one_small_batch_by_heart(name, small):
    model = small.build(name).train()
    features, lengths, labels = small.batch(name, clips=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    while len(losses) < 80 and (not losses or losses[-1] > 0.1):
        optimizer.zero_grad()
        loss = cross_entropy(model(features, lengths), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] <= 0.1


@SOLVED
def test_a_solver_learns_a_few_clips_by_heart(name, small):
    model = small.build(name)
    small.fit(model, name, clips=24, epoch=small.config(name).optim.epochs)
    features, lengths, labels = small.batch(name, clips=24)
    assert torch.equal(model(features, lengths).argmax(dim=1), labels)


@SOLVED
def test_what_is_fitted_follows_from_the_clips_alone(name, small):
    """A run that is resumed in another process goes on as if it had never been interrupted."""
    one_by_one, at_once = small.build(name), small.build(name, seed=1)
    for epoch in (2, 3):
        small.fit(one_by_one, name, epoch=epoch)
    resumed = build_model(small.config(name), frames=1, bins=small.shape(name)[1], classes=4)
    resumed.load_state_dict(at_once.state_dict())
    small.fit(resumed, name, epoch=3)
    states = one_by_one.state_dict(), resumed.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@SOLVED
def test_two_classes_are_told_apart(name, small):
    model = build_model(small.config(name), frames=1, bins=small.shape(name)[1], classes=2)
    features, lengths, labels = small.batch(name, clips=24)
    model.fit_clips(features, labels % 2, torch.ones(24), epoch=10, config=small.config(name))
    logits = model(features, lengths)
    assert logits.shape == (24, 2)
    assert torch.equal(logits.argmax(dim=1), labels % 2)


@SOLVED
def test_a_class_without_a_clip_is_refused(name, small):
    model = build_model(small.config(name), frames=1, bins=small.shape(name)[1], classes=5)
    with pytest.raises(ValueError, match="clips of every class to fit; there are none of class 4 of 5"):
        small.fit(model, name)


@SOLVED
def test_settings_of_gradient_steps_are_refused(name):
    steps = {"optim.batch_size": 64, "augment.mixup_alpha": 0.2, "precision": "bf16"}
    with pytest.raises(
        ConfigError, match=f"optim.batch_size says nothing to {name}, .*; leave it at 32, got 64"
    ) as told:
        default_config(name, steps)
    assert len(str(told.value).splitlines()) == len(steps)
    assert not {*steps} & {*settings_read(name)}
    assert {"optim.class_weights", "features.kind", "seed"} <= {*settings_read(name)}
    assert default_config(name, default_config(name).params()) == default_config(name)


@EVERY
def test_weights_survive_safetensors(name, small, tmp_path):
    model = small.build(name, seed=0).eval()
    features, lengths, _ = small.batch(name)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = small.build(name, seed=1).eval()
    assert not torch.equal(other(features, lengths), model(features, lengths))
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    torch.testing.assert_close(other(features, lengths), model(features, lengths), atol=0, rtol=0)


@EVERY
def test_exports(name, small):
    model = small.build(name).eval()
    features, lengths, _ = small.batch(name, clips=2)
    exported = torch.export.export(model, (features, lengths)).module()
    torch.testing.assert_close(exported(features, lengths), model(features, lengths), atol=1e-5, rtol=1e-5)


@EVERY
@pytest.mark.parametrize("shape", [(1, 40), (3, 8), (15, 15), (70, 15), (16, 16), (33, 47), (131, 80)])
def test_takes_other_shapes_or_says_what_it_needs(name, shape, small):
    config, frames = small.config(name), shape[0]
    bins = shape[1] * (1 + config.features.deltas)
    try:
        model = build_model(config, frames=frames, bins=bins, classes=3)
    except ConfigError as error:
        assert "needs at least" in str(error) or f"{name} takes " in str(error)  # noqa: PT017
        return
    logits = model.eval()(torch.randn(2, frames, bins), torch.tensor([frames, 1]))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()


@EVERY
def test_same_seed_gives_the_same_weights(name, small):
    first, second = small.build(name, seed=3).state_dict(), small.build(name, seed=3).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", PARAMETERS)
def test_defaults_have_the_published_number_of_parameters(name):
    """And are built with nothing fetched, which loading saved weights relies on: there is no network here."""
    bins, frames, low, high = PARAMETERS[name]
    config = without_pretrained(default_config(name))
    with torch.device("meta"):  # shapes without memory
        model = build_model(config, frames=frames, bins=bins * (1 + config.features.deltas), classes=8)
    count = sum(math.prod(weight.shape) for weight in model.parameters())
    assert low <= count <= high


def test_unknown_architecture_lists_the_known_ones():
    with pytest.raises(ConfigError, match="unknown model 'lstm'; known: ast, attn_crnn, boosting"):
        architecture("lstm")


def test_settings_out_of_bounds_are_refused_together():
    with pytest.raises(ConfigError, match=r"model\.width must lie in \[1, 256\]; got 0\nmodel\.dropout must lie in"):
        default_config("shallow_cnn", {"model.width": 0, "model.dropout": 2.0})


def test_folded_modules_are_no_architectures():
    assert all(not name.startswith("_") for name in architectures())
    assert set(PARAMETERS) <= set(architectures())
