"""How an epoch is divided into steps of clips of similar lengths, or of so many seconds."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ser_core.architectures import architectures, default_config, least_frames
from ser_core.config import ConfigError
from ser_core.features.transforms import clip_frames, frame_seconds
from ser_core.training.steps import WIDTHS, bucketed, padded_frames, steps_of
from tests.ser_core.conftest import SmallModels

SECONDS = {"optim.batch_size": 0}
LENGTHS = st.lists(st.integers(1, 200), min_size=2, max_size=120)


@given(LENGTHS, st.integers(1, 64))
def test_a_batch_is_cut_to_hold_its_clips_and_to_few_lengths(lengths: list[int], least: int) -> None:
    seen = torch.tensor(lengths).clamp(max=100)
    padded = padded_frames(seen, 100, least)
    assert (padded >= seen).all()
    assert ((padded - seen < -(-100 // WIDTHS)) | (padded == least)).all()
    assert padded.min() >= least
    assert len(padded.unique()) <= WIDTHS


@given(LENGTHS, st.integers(2, 40), st.integers(0, 5))
def test_every_clip_is_in_one_batch_of_similar_lengths(lengths: list[int], size: int, seed: int) -> None:
    torch.manual_seed(seed)
    order, seen = torch.randperm(len(lengths)), torch.tensor(lengths)
    padded = padded_frames(seen[order], 200, 1)
    batches = bucketed(order, padded, lambda frames: size)
    rows = torch.cat([rows for rows, _ in batches]).tolist()
    left_out = set(range(len(lengths))) - set(rows)
    assert len(rows) == len(set(rows))
    assert len(left_out) == (1 if len(lengths) % size == 1 else 0)
    assert all(2 <= len(batch) <= size for batch, _ in batches)
    assert all(frames >= seen[batch].max() for batch, frames in batches)
    in_order = sorted(batches, key=lambda each: (each[1], seen[each[0]].min()))
    for (shorter, frames), (longer, _) in itertools.pairwise(in_order):
        assert seen[shorter].max() <= frames
        assert padded_frames(seen[longer], 200, 1).min() >= padded_frames(seen[shorter], 200, 1).max()


@given(LENGTHS, st.floats(400, 3_000))
def test_a_budget_is_kept_padding_included(lengths: list[int], budget: float) -> None:
    order, seen = torch.arange(len(lengths)), torch.tensor(lengths)
    batches = bucketed(order, padded_frames(seen, 200, 1), lambda frames: max(2, int(budget / frames)))
    assert all(len(batch) * frames <= budget for batch, frames in batches)


def test_batches_are_other_ones_in_every_epoch_and_the_same_for_one_seed() -> None:
    seen = torch.arange(200) % 50 + 1

    def epoch(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        order = torch.randperm(200)
        return [rows.tolist() for rows, _ in bucketed(order, padded_frames(seen[order], 50, 1), lambda frames: 8)]

    assert epoch(1) == epoch(1)
    assert not {frozenset(batch) for batch in epoch(1)} & {frozenset(batch) for batch in epoch(2)}


def test_padding_costs_little() -> None:
    """Lengths as of a corpus: of random batches more than half is padding, of these a fifth at most."""
    generator = torch.Generator().manual_seed(0)
    seen = (torch.randn(5_000, generator=generator).mul(0.5).exp() * 120).long().clamp(min=20, max=400)
    order = torch.randperm(5_000, generator=generator)
    batches = bucketed(order, padded_frames(seen[order], 400, 1), lambda frames: 32)
    computed = sum(len(rows) * frames for rows, frames in batches)
    assert 1 - seen.sum().item() / computed < 0.2
    plain = sum(len(rows) * seen[rows].max().item() for rows in order.split(32))
    assert 1 - seen.sum().item() / plain > 0.5


def test_steps_of_so_many_seconds_hold_no_more() -> None:
    config = default_config("shallow_cnn", {**SECONDS, "optim.batch_seconds": 40.0, "optim.accumulation": 2})
    seen = 1 + torch.arange(300) % 75
    steps = steps_of(torch.arange(300), lambda rows: seen[rows], config)
    seconds = [step.clips * (step.view or 0) * frame_seconds(config.features) for step in steps]
    assert max(seconds) <= 40
    assert sum(step.clips for step in steps) in (299, 300)
    assert all(len(step.parts) == 2 for step in steps if step.clips >= 4)
    assert all(step.view >= least_frames(config) for step in steps if step.view is not None)


def test_clips_and_seconds_exclude_one_another() -> None:
    with pytest.raises(ConfigError, match=r"exclude one another; got 60 and 32: .*set optim.batch_size=0"):
        default_config("shallow_cnn", {"optim.batch_seconds": 60.0})
    with pytest.raises(ConfigError, match=r"must be at least 2, or 0 beside optim.batch_seconds; got 0"):
        default_config("shallow_cnn", {"optim.batch_size": 0})
    with pytest.raises(ConfigError, match=r"must hold two clips of features.clip_seconds = 3 .* 12 s; got 11"):
        default_config("shallow_cnn", {**SECONDS, "optim.batch_seconds": 11.0, "optim.accumulation": 2})


def test_an_architecture_for_which_padding_counts_is_not_cut() -> None:
    with pytest.raises(ConfigError, match=r"what resnet18 says of a clip depends on padding.* attn_crnn, cnn_lstm"):
        default_config("resnet18", {"optim.bucketing": True})


@pytest.mark.parametrize("name", architectures())
def test_a_batch_of_the_fewest_frames_can_be_computed(name: str, small: SmallModels) -> None:
    config = small.config(name)
    least = least_frames(config)
    if least is None:
        pytest.skip("padding counts")
    features, _, _ = small.batch(name)
    view = min(least, clip_frames(config.features), features.shape[1])
    cut = small.build(name).eval()(features[:, :view], torch.full((len(features),), view))
    assert torch.isfinite(cut).all()
