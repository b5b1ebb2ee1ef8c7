"""Encoders are loaded whole or refused with what to do."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from ser_core.modules.encoders import load_encoder, truncate_encoder
from ser_core.modules.pretrained import PretrainedError


@pytest.fixture
def checkpoint(tmp_path, make_wav2vec2):
    make_wav2vec2(tmp_path / "checkpoint", stable=True)
    return tmp_path / "checkpoint"


def test_a_folder_gives_its_weights_ready_for_use(checkpoint):
    model = load_encoder(str(checkpoint))
    assert not model.training
    saved = load_file(checkpoint / "model.safetensors")["feature_projection.projection.weight"]
    torch.testing.assert_close(model.feature_projection.projection.weight.detach(), saved)


def test_what_is_neither_folder_nor_on_the_hub_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PretrainedError, match=r"(?s)'nobody/nothing' cannot be loaded.*--pretrained FOLDER.*'none'"):
        load_encoder("nobody/nothing")


def test_another_kind_of_model_is_refused(tmp_path):
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"must be a wav2vec 2\.0 model; its model_type is 'bert'"):
        load_encoder(str(tmp_path))


def test_a_checkpoint_that_lacks_weights_is_never_filled_up_with_random_ones(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    del weights["encoder.layers.1.attention.q_proj.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PretrainedError, match=r"lacks 1 weights, such as encoder\.layers\.1\.attention\.q_proj"):
        load_encoder(str(checkpoint))


def test_a_truncated_checkpoint_is_refused(checkpoint):
    whole = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PretrainedError, match="cannot be loaded"):
        load_encoder(str(checkpoint))


def test_frames_must_be_20_ms_apart(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["conv_stride"] = [5, 2, 2, 2, 2, 2, 1]
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(PretrainedError, match="must give a frame every 320 samples"):
        load_encoder(str(checkpoint))


def test_a_truncated_encoder_ends_before_its_layer_and_without_the_final_norm(checkpoint):
    samples = torch.randn(1, 4_000, generator=torch.Generator().manual_seed(0))
    whole = load_encoder(str(checkpoint))
    cut = truncate_encoder(load_encoder(str(checkpoint)), 1)
    with torch.inference_mode():
        wanted = whole(samples, output_hidden_states=True).hidden_states[1]
        torch.testing.assert_close(cut(samples).last_hidden_state, wanted)


@pytest.mark.slow
def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = load_encoder("none"), load_encoder("none")
    torch.testing.assert_close(torch.random.get_rng_state(), before)
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)
