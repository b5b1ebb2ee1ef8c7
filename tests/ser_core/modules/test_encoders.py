"""Encoders of every family are loaded whole and fed as their checkpoints say, or refused with what to do."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModel, BertConfig, BertModel

from ser_core.modules.encoder_families import FAMILIES, encoder_facts
from ser_core.modules.encoders import CONTINUED, TopLayers, frames_of, load_encoder, truncate_encoder
from ser_core.modules.pretrained import PretrainedError, nothing_fetched
from tests.tiny_encoders import FAMILIES as MADE
from tests.tiny_encoders import SAMPLE_FAMILIES, save_tiny_encoder

EVERY = pytest.mark.parametrize("family", MADE)
SPEECH_SECONDS = 0.75


def large_of(family: str) -> dict[str, bool]:
    """Settings of the family's larger checkpoints, whose norms do not run over time."""
    return {"stable": True} if family in SAMPLE_FAMILIES else {}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_tiny_encoder(tmp_path / "checkpoint", stable=True)
    return tmp_path / "checkpoint"


@pytest.fixture
def samples() -> torch.Tensor:
    return 0.1 * torch.randn(round(16_000 * SPEECH_SECONDS))


def test_every_family_that_is_named_is_tried_here():
    assert set(MADE) == set(FAMILIES)


@EVERY
def test_states_are_those_of_transformers_with_the_checkpoints_own_feature_extractor(family, tiny_encoder, samples):
    folder = tiny_encoder(family)
    net, fed = AutoModel.from_pretrained(folder).eval(), AutoFeatureExtractor.from_pretrained(folder)
    inputs = fed(samples.numpy(), sampling_rate=16_000, return_tensors="pt")
    encoder = load_encoder(str(folder))
    with torch.inference_mode():
        outputs = (net.encoder if family == "whisper" else net)(**inputs, output_hidden_states=True)
        states, short = encoder.clip_states(samples), encoder.clip_states(samples[:150])[-1]
    for state, wanted in zip(states, [*outputs.hidden_states[:-1], outputs.last_hidden_state], strict=True):
        if family == "audio-spectrogram-transformer":  # 12 rows of patches in 101 columns, after two tokens
            wanted = wanted[:, 2:].view(1, 12, 101, -1).mean(dim=1)
        torch.testing.assert_close(state, wanted[0, : len(state)], atol=1e-5, rtol=1e-5)

    facts = encoder.facts  # what is said before any weight is read
    assert (len(states), *states[-1].shape[1:]) == (facts.states, facts.hidden) == (3, 16)
    assert facts.frame_seconds == pytest.approx(0.1 if family == "audio-spectrogram-transformer" else 0.02)
    assert len(states[-1]) * facts.frame_seconds == pytest.approx(SPEECH_SECONDS, abs=1.6 * facts.frame_seconds)
    assert 1 <= len(short) <= 2  # a clip that is too short for a frame gives one all the same
    assert torch.isfinite(short).all()


@pytest.mark.parametrize(("family", "seconds"), [("whisper", 30), ("audio-spectrogram-transformer", 10.24)])
def test_a_clip_longer_than_the_encoder_takes_is_taken_in_pieces(family, seconds, tiny_encoder):
    encoder, samples = load_encoder(str(tiny_encoder(family))), 0.1 * torch.randn(round(16_000 * (seconds + 2)))
    with torch.inference_mode():
        whole = encoder.clip_states(samples)[-1]
        first, second = (encoder.clip_states(part)[-1] for part in samples.split(round(16_000 * seconds)))
    torch.testing.assert_close(whole, torch.cat([first, second]))


@pytest.mark.parametrize("normalised", [True, False])
def test_samples_are_normalised_only_where_the_checkpoint_says_so(normalised, tmp_path, samples):
    save_tiny_encoder(tmp_path, "hubert", do_normalize=normalised, stable=True)  # a group norm would hide it
    encoder = load_encoder(str(tmp_path))
    with torch.inference_mode():
        one, louder = encoder.clip_states(samples)[0], encoder.clip_states(3 * samples + 0.05)[0]
    assert torch.allclose(one, louder, atol=1e-4) is normalised


@EVERY
def test_padding_and_neighbours_change_no_frame_of_an_encoder_that_masks_it(family, tiny_encoder, samples):
    encoder = load_encoder(str(tiny_encoder(family, **large_of(family))))
    inputs = encoder.inputs(samples)
    padded = torch.nn.functional.pad(inputs, (0, 0, 0, len(inputs) // 2))
    lengths = torch.tensor([len(inputs), len(padded)])
    with torch.inference_mode():
        alone = encoder(inputs[None], lengths[:1])[-1][0]
        beside = encoder(torch.stack([padded, torch.ones_like(padded)]), lengths)[-1][0]
    frames = frames_of(encoder.facts, len(inputs))
    sees_padding = ("data2vec-audio", "wav2vec2-conformer")  # norms over time, and convolutions between the layers
    assert encoder.facts.padding_counts is (family in sees_padding)
    assert encoder_facts(str(tiny_encoder(family))).padding_counts is (
        family in SAMPLE_FAMILIES
    )  # group norms, no mask
    if family in sees_padding:
        assert torch.isfinite(beside).all()
    else:
        torch.testing.assert_close(beside[:frames], alone[:frames], atol=1e-4, rtol=1e-4)


@EVERY
def test_a_truncated_encoder_ends_before_its_layer_and_top_layers_go_on_from_there(family, tiny_encoder, samples):
    folder = str(tiny_encoder(family, **large_of(family)))
    encoder = load_encoder(folder)
    with torch.inference_mode():
        states = encoder.clip_states(samples)
        cut = truncate_encoder(load_encoder(folder), 1).clip_states(samples)
    torch.testing.assert_close(cut[-1], states[1])
    if family not in CONTINUED:
        with pytest.raises(PretrainedError, match=r"tuned_layers must be 0 .* --model finetune trains any family"):
            TopLayers(encoder, 1)
        return
    frames = cut[-1][None]
    with torch.inference_mode():
        top = TopLayers(encoder, 1)(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    torch.testing.assert_close(top[0], states[-1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fetch", [True, False])
def test_what_is_neither_folder_nor_on_the_hub_says_what_to_do(monkeypatch, fetch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = r"(?s)cannot be loaded.*WavLM.*--pretrained FOLDER.*'none'" if fetch else "`hf download nobody/nothing`"
    with nullcontext() if fetch else nothing_fetched(), pytest.raises(PretrainedError, match=message):
        load_encoder("nobody/nothing")


def test_emotion2vec_is_refused_as_what_it_is(tmp_path):
    message = "is emotion2vec, whose weights are published for FunASR and cannot be read without its code; use a"
    with pytest.raises(PretrainedError, match=message):
        encoder_facts("emotion2vec/emotion2vec_plus_base")
    (tmp_path / "config.yaml").write_text("model: Emotion2vec\n")
    (tmp_path / "model.pt").write_bytes(b"pickled")
    with pytest.raises(PretrainedError, match=message):
        encoder_facts(str(tmp_path))


def test_another_kind_of_model_is_refused_with_the_families_that_can_be_used(tmp_path):
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"model_type is 'bert'; use a checkpoint of wav2vec 2\.0 .* Whisper, "):
        load_encoder(str(tmp_path))


@EVERY
def test_a_truncated_checkpoint_is_refused(family, tiny_encoder, tmp_path):
    shutil.copytree(tiny_encoder(family), tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PretrainedError, match="cannot be loaded"):
        load_encoder(str(tmp_path))


@EVERY
def test_weights_of_another_family_are_refused(family, tiny_encoder, tmp_path):
    other = "hubert" if family in ("whisper", "audio-spectrogram-transformer") else "whisper"
    shutil.copytree(tiny_encoder(family), tmp_path, dirs_exist_ok=True)
    shutil.copy(tiny_encoder(other) / "model.safetensors", tmp_path)
    with pytest.raises(PretrainedError, match=r"lacks \d+ weights, such as .*: use a whole checkpoint"):
        load_encoder(str(tmp_path))


@EVERY
def test_a_checkpoint_in_half_precision_is_computed_in_single(family, tiny_encoder, tmp_path):
    shutil.copytree(tiny_encoder(family), tmp_path, dirs_exist_ok=True)
    weights = {name: tensor.half() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    assert {weight.dtype for weight in load_encoder(str(tmp_path)).parameters()} == {torch.float32}


def test_a_checkpoint_that_lacks_weights_is_never_filled_up_with_random_ones(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    del weights["encoder.layers.1.attention.q_proj.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PretrainedError, match=r"lacks 1 weights, such as encoder\.layers\.1\.attention\.q_proj"):
        load_encoder(str(checkpoint))


def test_only_wav2vec_2_may_lack_its_feature_extractor(checkpoint, tmp_path):
    (checkpoint / "preprocessor_config.json").unlink()
    load_encoder(str(checkpoint))
    save_tiny_encoder(tmp_path / "wavlm", "wavlm")
    (tmp_path / "wavlm" / "preprocessor_config.json").unlink()
    with pytest.raises(PretrainedError, match=r"lacks a preprocessor_config\.json .* fetch it too"):
        load_encoder(str(tmp_path / "wavlm"))


def test_an_adapter_for_a_decoder_and_a_feature_extractor_of_another_model_are_refused(tmp_path):
    save_tiny_encoder(tmp_path / "adapter", "wav2vec2", add_adapter=True, output_hidden_size=16)
    with pytest.raises(PretrainedError, match="ends in an adapter for a decoder"):
        load_encoder(str(tmp_path / "adapter"))
    save_tiny_encoder(tmp_path / "ast", "audio-spectrogram-transformer", max_length=512)
    with pytest.raises(
        PretrainedError, match=r"takes 512 frames .* makes 1024 of 128: fetch both files from one place"
    ):
        load_encoder(str(tmp_path / "ast"))


def test_a_configuration_that_changes_is_read_anew(checkpoint):
    assert encoder_facts(str(checkpoint)).layers == 2
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 11}))
    assert encoder_facts(str(checkpoint)).layers == 11


@pytest.mark.slow
def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = load_encoder("none"), load_encoder("none")
    torch.testing.assert_close(torch.random.get_rng_state(), before)
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)
