"""Where models look. A new file in ser_core/models is held to the contract without a line here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ser_core.architectures import architectures, build_model, default_config
from ser_core.modules.explain import (
    AttentionRollout,
    FrameAttention,
    GradCam,
    GradientInput,
    Occlusion,
    explain,
    explained_by,
    rollout,
)
from ser_core.modules.layers import AttentionPool, as_maps

EVERY = pytest.mark.parametrize("name", architectures())
METHODS = {
    "ast": AttentionRollout,
    "attn_crnn": FrameAttention,
    "cnn_lstm": GradCam,
    "finetune": GradientInput,
    "mlp": GradientInput,
    "boosting": Occlusion,
    "probe": GradientInput,
    "resnet18": GradCam,
    "shallow_cnn": GradCam,
}


def randomised(model, seed=0):
    """All weights drawn anew, none zero: a layer that starts at zero hides what lies before it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return model


# -- every architecture -----------------------------------------------------------------------------------------------


@EVERY
def test_map_covers_the_input_in_the_unit_interval(name, small):
    model = randomised(small.build(name))
    features, lengths, labels = small.batch(name)
    maps = explain(model, features, lengths, labels)
    assert maps.shape == features.shape
    assert maps.dtype == torch.float32
    assert torch.isfinite(maps).all()
    assert (maps.min() >= 0, maps.max() <= 1) == (True, True)
    tops = maps.amax(dim=(1, 2))
    assert ((tops == 0) | (tops > 0.999)).all()
    assert tops.max() > 0


@EVERY
def test_map_leaves_the_model_as_it_was(name, small):
    model = randomised(small.build(name)).train()
    features, lengths, labels = small.batch(name)
    model(features, lengths)
    hooked = [module for module in model.modules() if module._forward_hooks]  # such as an encoder's own
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state, given = torch.get_rng_state(), features.clone()
    first = explain(model, features, lengths, labels)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert [module for module in model.modules() if module._forward_hooks] == hooked
    assert (torch.equal(torch.get_rng_state(), state), torch.equal(features, given)) == (True, True)
    assert not first.requires_grad
    assert torch.equal(explain(model, features, lengths, labels), first)


@EVERY
def test_map_of_a_clip_is_the_same_in_any_batch(name, small):
    model = randomised(small.build(name))
    batch = small.batch(name)
    alone = [explain(model, *(part[i : i + 1] for part in batch)) for i in range(len(batch[1]))]
    torch.testing.assert_close(torch.cat(alone), explain(model, *batch), atol=1e-3, rtol=1e-3)


@EVERY
def test_map_follows_the_weights_and_the_class(name, small):
    """A map that other weights do not change would say something of the clip alone (Adebayo et al. 2018)."""
    features, lengths, labels = small.batch(name)
    model = randomised(small.build(name))
    maps = explain(model, features, lengths, labels)
    other = explain(randomised(small.build(name, seed=1), seed=1), features, lengths, labels)
    assert (maps - other).abs().max() > 0.05
    next_class = explain(model, features, lengths, (labels + 1) % 4)
    assert torch.equal(maps, next_class) is not explained_by(model).of_class


@EVERY
def test_method_is_named_with_its_source(name, small):
    method = explained_by(small.build(name))
    assert type(method) is METHODS.get(name, GradientInput)
    assert method.name
    assert any(character.isdigit() for character in method.source)


def test_occlusion_is_the_fall_of_the_score_without_a_value():
    model = nn.Module()
    model.forward = lambda features, lengths: torch.stack([features[:, 0, 0] * features[:, 0, 1], features[:, 0, 2]], 1)
    features = torch.tensor([[[3.0, -2.0, 5.0, 7.0]], [[1.0, 1.0, -4.0, 0.0]]])
    maps = Occlusion().maps(model, features, torch.ones(2, dtype=torch.long), torch.tensor([0, 1]))
    assert maps.tolist() == [[[6.0, 6.0, 0.0, 0.0]], [[0.0, 0.0, 4.0, 0.0]]]


@pytest.mark.parametrize("name", sorted(name for name, kind in METHODS.items() if kind in (GradCam, FrameAttention)))
def test_padding_moves_nothing(name, small):
    features, lengths, labels = small.batch(name)
    maps = explain(randomised(small.build(name)), features, lengths, labels)
    padding = torch.arange(features.shape[1]) >= lengths[:, None]
    assert maps[padding].abs().max() == 0


def test_grad_cam_finds_the_burst_that_tells_the_classes_apart():
    """Each class is a burst in its own quarter of the bins, at a random time; the map must lie where the burst is."""
    config = default_config("shallow_cnn", {"model.width": 8, "model.dropout": 0.0})
    model = build_model(config, frames=48, bins=32, classes=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    lengths, labels = torch.full((16,), 48), torch.arange(16) % 4

    def clips():
        features, bursts = torch.randn(16, 48, 32), torch.zeros(16, 48, 32)
        for clip, start in enumerate(torch.randint(0, 36, (16,)).tolist()):
            bursts[clip, start : start + 12, 8 * labels[clip] : 8 * labels[clip] + 8] = 1
        return features + 2 * bursts, bursts

    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(model.train()(clips()[0], lengths), labels).backward()
        optimizer.step()
    features, bursts = clips()
    maps = explain(model, features, lengths, labels)
    shares = (maps * bursts).sum(dim=(1, 2)) / maps.sum(dim=(1, 2))
    assert shares.mean() > 1.5 * bursts.mean()  # a map of 3 x 2 cells cannot do much better: .11 where .0625 is chance


# -- against the formulas ---------------------------------------------------------------------------------------------


def test_grad_cam_before_a_mean_is_the_class_activation_map(small):
    """Zhou et al. 2016, equation 2: the classifier's weights of the class over the last feature maps."""
    model = randomised(small.build("shallow_cnn")).eval()
    features, lengths, labels = small.batch("shallow_cnn")
    lengths = torch.full_like(lengths, features.shape[1])
    x = as_maps(features, model.maps)
    with torch.no_grad():
        for block in model.blocks:
            x, _ = block(x, torch.full_like(lengths, x.shape[2]))
        cells = torch.einsum("bk,bkfm->bfm", model.head.weight[labels], x).relu()
    size = features.shape[1], features.shape[2] // model.maps
    enlarged = nn.functional.interpolate(cells.unsqueeze(1), size=size, mode="bilinear").squeeze(1)
    expected = torch.cat([enlarged] * model.maps, dim=2)  # derivatives stand beside the spectrogram
    expected /= expected.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(explain(model, features, lengths, labels), expected, atol=1e-4, rtol=1e-4)


def test_gradient_times_input_of_a_linear_model_is_weight_times_input():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 2)

        def forward(self, features, lengths):
            return self.head(features.flatten(1))

    model, features = Linear(), torch.randn(3, 2, 3)
    labels = torch.tensor([0, 1, 1])
    expected = (model.head.weight[labels].view(3, 2, 3) * features).abs()
    expected = expected / expected.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(explain(model, features, torch.full((3,), 2), labels), expected)


def test_frame_attention_is_what_the_pool_weighs_with(small):
    model = randomised(small.build("attn_crnn"))
    features, lengths, labels = small.batch("attn_crnn")
    seen = []
    model.pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    maps = explain(model, features, lengths, labels)
    x, counts = seen[0]
    scores = torch.tanh(x) @ model.pool.score.weight[0]
    for clip, length in enumerate(counts.tolist()):
        expected = scores[clip, :length].softmax(dim=0)
        torch.testing.assert_close(maps[clip, :length, 0], expected / expected.max())
        assert (maps[clip] == maps[clip, :, :1]).all()


def test_frame_attention_of_another_layer_is_refused(small):
    model = small.build("attn_crnn")
    model.explained_by = FrameAttention("head")
    features, lengths, labels = small.batch("attn_crnn")
    with pytest.raises(TypeError, match="FrameAttention needs an AttentionPool; head is a Linear"):
        explain(model, features, lengths, labels)


def test_pool_with_given_weights_is_their_mean():
    pool, x, lengths = AttentionPool(3), torch.randn(2, 5, 3), torch.tensor([5, 2])
    weights = pool.weights(x, lengths)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    torch.testing.assert_close((weights.unsqueeze(-1) * x).sum(dim=1), pool(x, lengths))


def test_rollout_of_two_blocks_by_hand():
    """Tokens a and b; the first block swaps them, the second looks at a alone."""
    swap = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    first = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    # 0.5 (A + I): [[.5, .5], [.5, .5]], then [[1, 0], [.5, .5]]; their product, the later one on the left.
    expected = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    torch.testing.assert_close(rollout([swap, first]), expected)
    only_second = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]])
    torch.testing.assert_close(rollout([first]), only_second)
    torch.testing.assert_close(rollout([first, swap]), torch.tensor([[[0.75, 0.25], [0.75, 0.25]]]))


def test_rollout_of_the_transformer_follows_from_queries_and_keys(small):
    """The whole way in numpy: attention from the projections, roll-out, the mean of overlapping patches."""
    model = randomised(small.build("ast")).eval()
    features, lengths, labels = small.batch("ast", clips=2)
    inputs = []
    hooks = [
        block.attn.register_forward_pre_hook(lambda _, x: inputs.append(x[0])) for block in model.transformer.blocks
    ]
    with torch.no_grad():
        model(features, lengths)
    for hook in hooks:
        hook.remove()
    rolled = None
    for block, x in zip(model.transformer.blocks, inputs, strict=True):
        with torch.no_grad():
            query, key, _ = block.attn.qkv(x).unflatten(2, (3, block.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        logits = query.numpy() @ key.numpy().swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares = (shares / shares.sum(axis=-1, keepdims=True)).mean(axis=1)
        mixed = 0.5 * shares + 0.5 * np.eye(shares.shape[-1])
        rolled = mixed if rolled is None else mixed @ rolled
    np.testing.assert_allclose(rolled.sum(axis=-1), 1, rtol=1e-5)
    rows, columns = model.explained_by.grid
    patches = rolled[:, :2, 2:].mean(axis=1).reshape(2, rows, columns)
    total, times = np.zeros((2, 40, 70)), np.zeros((40, 70))
    for row in range(rows):
        for column in range(columns):
            area = slice(10 * row, 10 * row + 16), slice(10 * column, 10 * column + 16)
            total[(slice(None), *area)] += patches[:, row, column, None, None]
            times[area] += 1
    expected = (total / np.maximum(times, 1)).swapaxes(1, 2)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(explain(model, features, lengths, labels).numpy(), expected, atol=1e-4)
    assert expected[:, 68:].max() == 0  # frames that no patch reaches
    assert all(block.attn.fused_attn for block in model.transformer.blocks)
