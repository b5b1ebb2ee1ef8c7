"""Augmentation: where masks fall, what mixup keeps, and that every clip has a draw of its own."""

import pytest
import torch
from torch import Tensor

from ser_core.config import AugmentConfig, FeatureConfig
from ser_core.training.augment import add_noise, augment, mask_bins, mask_frames, mixup, random_shifts, warp

BATCH, FRAMES, BINS = 200, 40, 24
PLAIN = FeatureConfig()


@pytest.fixture
def ones() -> Tensor:
    return torch.ones(BATCH, FRAMES, BINS)


def stretches(masked: Tensor) -> Tensor:
    """(batch, size) bool -> number of separate runs of True in each row."""
    padded = torch.nn.functional.pad(masked.int(), (1, 0))
    return (padded.diff(dim=1) == 1).sum(dim=1)


def test_one_frequency_mask_is_one_stretch_over_all_frames(ones: Tensor) -> None:
    masked = mask_bins(ones, 1, 6) == 0
    assert (masked == masked[:, :1]).all()  # the same bins in every frame
    widths = masked[:, 0].sum(dim=1)
    assert set(widths.tolist()) == set(range(7))
    assert (stretches(masked[:, 0]) == (widths > 0)).all()
    assert masked[:, 0].any(dim=0).all()  # every bin is masked in some clip


def test_time_masks_stay_before_the_padding(ones: Tensor) -> None:
    lengths = torch.full((BATCH,), 10)
    masked = mask_frames(ones, lengths, 1, 30) == 0
    assert (masked == masked[..., :1]).all()
    assert not masked[:, 10:].any()
    assert masked[:, :10, 0].sum(dim=1).max() == 10  # a mask may be as long as the clip, not longer


def test_several_masks_may_overlap_but_not_exceed_their_sum(ones: Tensor) -> None:
    masked = mask_frames(ones, torch.full((BATCH,), FRAMES), 3, 5)[..., 0] == 0
    assert masked.sum(dim=1).max() <= 15
    assert masked.sum(dim=1).max() > 5
    assert stretches(masked).max() == 3


def test_clips_of_a_batch_differ(ones: Tensor) -> None:
    assert len(mask_bins(ones, 2, 10)[:, 0].unique(dim=0)) > BATCH / 2
    assert len(add_noise(ones, torch.full((BATCH,), FRAMES), 1.0).flatten(1).unique(dim=0)) == BATCH


def test_noise_has_its_deviation_and_spares_padding(ones: Tensor) -> None:
    lengths = torch.full((BATCH,), 25)
    noise = add_noise(ones, lengths, 0.3) - ones
    assert noise[:, :25].std().item() == pytest.approx(0.3, rel=0.01)
    assert not noise[:, 25:].any()


def test_mixup_mixes_features_and_targets_by_the_same_share() -> None:
    features = torch.eye(BATCH)[:, None, :]  # clip i is the i-th unit vector, so a mixture names its parts
    mixed, lengths, targets = mixup(features, torch.arange(1, BATCH + 1), torch.eye(BATCH), 0.4)
    torch.testing.assert_close(mixed[:, 0], targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(BATCH))
    assert (targets > 0).sum(dim=1).max() == 2
    longest = torch.where(targets > 0, torch.arange(1, BATCH + 1), 0).amax(dim=1)
    assert (lengths == longest).all()


def test_mixup_shares_follow_the_beta_distribution() -> None:
    labels = torch.zeros(20_000, 2)
    labels[:, 1] = torch.arange(20_000) % 2
    _, _, mixed = mixup(torch.zeros(20_000, 1, 1), torch.ones(20_000), labels, 2.0)
    # With b' = s b + (1 - s) b~ for independent fair bits b, b~: Var b' = E[s^2 + (1 - s)^2] / 4, E[s^2] = 0.3 here.
    assert mixed[:, 1].var().item() == pytest.approx(0.25 * 0.6, rel=0.05)


def test_shifts_are_uniform_and_inclusive() -> None:
    counts = torch.bincount(random_shifts(7_000, 3, torch.device("cpu")) + 3)
    assert len(counts) == 7
    assert counts.min() > 850


def test_nothing_asked_for_changes_nothing(ones: Tensor) -> None:
    off = AugmentConfig(freq_masks=0, time_masks=0)
    lengths, targets = torch.full((BATCH,), FRAMES), torch.rand(BATCH, 4)
    result = augment(ones, lengths, targets, off, of=PLAIN)
    assert result[0] is ones
    assert result[1] is lengths
    assert result[2] is targets


def test_everything_together_keeps_shapes_and_padding() -> None:
    lengths = torch.randint(1, FRAMES, (BATCH,))
    features = torch.randn(BATCH, FRAMES, BINS) * (torch.arange(FRAMES) < lengths[:, None])[..., None]
    settings = AugmentConfig(mixup_alpha=0.3, noise_std=0.1, freq_warp=0.2, tempo_change=0.2)
    mixed, mixed_lengths, targets = augment(features, lengths, torch.eye(BATCH), settings, of=PLAIN)
    assert mixed.shape == features.shape
    assert targets.shape == (BATCH, BATCH)
    assert not mixed[(torch.arange(FRAMES) >= mixed_lengths[:, None])].any()


def test_a_warp_moves_what_it_stretches_by_its_factor() -> None:
    frames, bins = 60, 50
    clip = torch.zeros(BATCH, frames, bins)
    clip[:, 20] += 1.0  # a line in time and one in frequency
    clip[:, :, 30] += 1.0
    lengths = torch.full((BATCH,), frames)
    warped, new_lengths = warp(clip, lengths, 0.2, 0.2)
    line = warped[:, :, 5].argmax(dim=1)  # away from the line in frequency, which stays above bin 24
    factor = 20 / line
    assert factor.min() < 0.85
    assert factor.max() > 1.17
    # bin b shows bin b * a, so the line moves to 30 / a; the same for frames, and the clip ends at 60 / c
    assert (new_lengths - (frames / factor).clamp(max=frames)).abs().max() <= 3
    column = warped[torch.arange(BATCH), (line - 10).clamp(min=0)].argmax(dim=1)
    assert 30 / 1.2 - 1 <= column.min() < 27
    assert 34 < column.max() <= 30 / 0.8 + 1
    assert len(column.unique()) > 5


def test_a_warp_of_one_axis_leaves_the_other() -> None:
    lengths = torch.full((BATCH,), FRAMES)
    in_time = torch.arange(FRAMES).float()[None, :, None].expand(BATCH, FRAMES, BINS)
    in_frequency = torch.arange(BINS).float().expand(BATCH, FRAMES, BINS)
    unchanged, same_lengths = warp(in_time, lengths, 0.3, 0.0)
    torch.testing.assert_close(unchanged, in_time)
    assert (same_lengths == lengths).all()
    warped, _ = warp(in_frequency, lengths, 0.3, 0.0)
    assert (warped == warped[:, :1]).all()
    assert len(warped[:, 0, 1].unique()) > BATCH / 2  # a draw of its own for every clip


def test_a_warp_keeps_padding_and_interpolates_linearly() -> None:
    lengths = torch.randint(1, FRAMES, (BATCH,))
    ramp = torch.arange(FRAMES).float()[None, :, None].repeat(BATCH, 1, BINS) + 1
    ramp = ramp * (torch.arange(FRAMES) < lengths[:, None])[..., None]
    warped, new_lengths = warp(ramp, lengths, 0.0, 0.25)
    assert not warped[torch.arange(FRAMES) >= new_lengths[:, None]].any()
    for clip, old, new in zip(warped[..., 0], lengths.tolist(), new_lengths.tolist(), strict=True):
        steps = clip[:new].diff()
        inner = steps[clip[1:new] < old]  # before the last frame is repeated
        assert ((inner > 0.74) & (inner < 1.26)).all()  # a line of slope c stays a line
        if len(inner) > 1:
            torch.testing.assert_close(inner, inner[:1].expand_as(inner), atol=1e-4, rtol=0)


def test_derivatives_that_are_stacked_onto_the_bins_are_stretched_by_themselves() -> None:
    lengths = torch.full((BATCH,), FRAMES)
    static = torch.full((BATCH, FRAMES, BINS), 10.0)
    stacked = torch.cat([static, torch.zeros_like(static)], dim=2)
    warped, _ = warp(stacked, lengths, 0.3, 0.0, stacked=2)
    torch.testing.assert_close(warped, stacked)
    settings = AugmentConfig(freq_masks=0, time_masks=0, freq_warp=0.3)
    augmented, *_ = augment(stacked, lengths, torch.eye(BATCH), settings, of=FeatureConfig(deltas=1))
    torch.testing.assert_close(augmented, stacked)
