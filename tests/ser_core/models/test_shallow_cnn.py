"""What the head of the shallow CNN sees, beside plain means over each clip's own frames."""

from __future__ import annotations

import pytest
import torch

from ser_core.architectures import build_model, default_config
from ser_core.models.shallow_cnn import BLOCKS

BINS, MAPS, WIDTH = 40, 2, 4
BANDS = BINS // 2**BLOCKS
CHANNELS = WIDTH * 2 ** (BLOCKS - 1)


@pytest.mark.parametrize(("pooling", "over"), [("mean", (1, 2)), ("bands", (1,))])
def test_the_head_sees_means_over_each_clips_own_frames(pooling: str, over: tuple[int, ...]) -> None:
    config = default_config("shallow_cnn", {"model.pooling": pooling, "model.width": WIDTH})
    model, lengths = build_model(config, frames=70, bins=BINS * MAPS, classes=3), torch.tensor([4, 2, 1])
    torch.manual_seed(0)
    x = torch.randn(3, CHANNELS, 4, BANDS) * (torch.arange(4) < lengths[:, None])[:, None, :, None]
    expected = [each[:, :length].mean(dim=over).flatten() for each, length in zip(x, lengths, strict=True)]
    pooled = model._pool(x, lengths)
    torch.testing.assert_close(pooled, torch.stack(expected))
    assert model.head.in_features == pooled.shape[1]
