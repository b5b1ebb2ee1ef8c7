"""Shared layers beside plain references."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ser_core.config import ConfigError
from ser_core.modules.layers import AttentionPool, BiRecurrent, ConvBlock, check_input, frame_mask


def test_frame_mask_marks_real_frames():
    assert frame_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]


@pytest.mark.parametrize(("cell", "layer"), [("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_bi_recurrent_is_torchs_bidirectional_layer_on_packed_sequences(cell, layer):
    ours, reference = BiRecurrent(5, 7, cell=cell), layer(5, 7, batch_first=True, bidirectional=True)
    for name, weight in ours.ahead.named_parameters():
        getattr(reference, name).data.copy_(weight.data)
    for name, weight in ours.back.named_parameters():
        getattr(reference, f"{name}_reverse").data.copy_(weight.data)
    x, lengths = torch.randn(3, 11, 5), torch.tensor([4, 11, 1])
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    real = frame_mask(lengths, 11).unsqueeze(-1)
    torch.testing.assert_close(ours(x, lengths) * real, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_layers_leave_autocast_on_a_gpu(cell: str) -> None:
    layer, x = BiRecurrent(5, 7, cell=cell).cuda(), torch.randn(3, 11, 5, device="cuda")
    lengths = torch.tensor([11, 4, 1], device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        out = layer(x.bfloat16(), lengths)
    assert out.dtype is torch.float32


def test_attention_pool_is_a_softmax_weighted_mean_of_real_frames():
    pool = AttentionPool(2)
    pool.score.weight.data = torch.tensor([[1.0, 0.0]])
    x = torch.tensor([[[0.5, 1.0], [-0.5, 3.0], [9.0, 9.0]]])
    high, low = torch.tensor([0.5, -0.5]).tanh().exp().tolist()
    expected = (high * x[0, 0] + low * x[0, 1]) / (high + low)
    torch.testing.assert_close(pool(x, torch.tensor([2]))[0], expected)


def test_conv_block_keeps_whole_windows_and_zeroes_the_rest():
    block = ConvBlock(1, 3, time_pool=2, bin_pool=4).eval()
    block.norm.bias.data.fill_(1.0)
    y, lengths = block(torch.randn(2, 1, 9, 8), torch.tensor([9, 1]))
    assert y.shape == (2, 3, 4, 2)
    assert lengths.tolist() == [4, 1]
    assert not y[1, :, 1:].any()
    assert y[1, :, 0].any()


def test_too_small_an_input_names_every_limit():
    with pytest.raises(
        ConfigError, match=r"x needs at least 4 frames; got 3: raise .*\nx needs at least 8 bins; got 7"
    ):
        check_input("x", frames=3, bins=7, least_frames=4, least_bins=8)
