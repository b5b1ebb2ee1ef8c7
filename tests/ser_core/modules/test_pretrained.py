"""Initial weights: loaded whole from timm's and transformers' own files, or refused with what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from transformers import ASTConfig, ASTForAudioClassification, ASTModel, Wav2Vec2Config

from ser_core.architectures import build_model, default_config
from ser_core.config import ConfigError
from ser_core.models import ast, resnet18
from ser_core.models._ast_weights import fit_positions, initial_weights, timm_names
from ser_core.modules.pretrained import PretrainedError, load_weights
from tests.tiny_encoders import save_tiny_encoder


@pytest.fixture(scope="session")
def imagenet_resnet(tmp_path_factory) -> Path:
    """A file in the layout of timm's ImageNet ResNet-18."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet18").state_dict(), path)
    return path


@pytest.fixture(scope="session")
def imagenet_deit(tmp_path_factory) -> Path:
    """A file in the layout of timm's distilled DeiT tiny, 224 pixels: a grid of 14 x 14 patches."""
    path = tmp_path_factory.mktemp("weights") / "deit.safetensors"
    safetensors.torch.save_file(timm.create_model("deit_tiny_distilled_patch16_224").state_dict(), path)
    return path


def randomised(model: nn.Module) -> nn.Module:
    """`model` with no weight left at zero, so that none can be swapped unnoticed."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.1)
    return model.eval()


def built(name: str, pretrained: Path | str, **settings) -> nn.Module:
    """The architecture over 96 frames of 64 bins from the given weights."""
    params = {"model.pretrained": str(pretrained), **{f"model.{key}": value for key, value in settings.items()}}
    return build_model(default_config(name, params), frames=96, bins=64, classes=4)


def test_resnet_sums_the_colours_of_the_first_convolution(imagenet_resnet):
    stored = safetensors.torch.load_file(imagenet_resnet)
    weights = built("resnet18", imagenet_resnet).backbone.state_dict()
    torch.testing.assert_close(weights["conv1.weight"], stored["conv1.weight"].sum(dim=1, keepdim=True))
    assert all(torch.equal(weights[key], stored[key]) for key in weights if key != "conv1.weight")


def test_pytorch_files_and_folders_are_read_too(imagenet_resnet, tmp_path):
    stored = safetensors.torch.load_file(imagenet_resnet)
    torch.save({"model": stored}, tmp_path / "weights.pth")
    torch.save(stored, tmp_path / "pytorch_model.bin")
    for source in (tmp_path / "weights.pth", tmp_path):
        weights = built("resnet18", source).backbone.state_dict()
        assert torch.equal(weights["layer4.1.conv2.weight"], stored["layer4.1.conv2.weight"])


def test_ast_takes_a_distilled_deit(imagenet_deit):
    stored = safetensors.torch.load_file(imagenet_deit)
    weights = built("ast", imagenet_deit, size="tiny").transformer.state_dict()
    assert weights["pos_embed"].shape == (1, 2 + 5 * 9, 192)
    torch.testing.assert_close(
        weights["patch_embed.proj.weight"], stored["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
    )
    assert torch.equal(weights["dist_token"], stored["dist_token"])
    assert torch.equal(weights["blocks.11.mlp.fc2.weight"], stored["blocks.11.mlp.fc2.weight"])


def test_ast_doubles_the_token_of_a_plain_vit(tmp_path):
    stored = VisionTransformer(img_size=64, embed_dim=192, depth=12, num_heads=3).state_dict()
    safetensors.torch.save_file(stored, tmp_path / "vit.safetensors")
    weights = built("ast", tmp_path / "vit.safetensors", size="tiny").transformer.state_dict()
    assert torch.equal(weights["dist_token"], stored["cls_token"])
    assert torch.equal(weights["pos_embed"][:, 1], stored["pos_embed"][:, 0])


def test_ast_reads_the_authors_own_names(tmp_path):
    transformer = ast.vision_transformer(192, 12, 3, grid=(12, 101), stride=10)
    stored = {f"module.v.{key}": value for key, value in transformer.state_dict().items()}
    torch.save({**stored, "module.mlp_head.1.weight": torch.zeros(527, 192)}, tmp_path / "audioset.pth")
    weights, grid = initial_weights(str(tmp_path / "audioset.pth"))
    assert grid == (12, 101)
    load_weights(transformer, weights, "audioset.pth")


def test_ast_of_transformers_gives_the_same_outputs_under_timms_names():
    settings = ASTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        max_length=90,
        num_mel_bins=64,
    )
    reference = randomised(ASTModel(settings))
    ours = ast.vision_transformer(32, 3, 4, grid=reference.embeddings.get_shape(settings), stride=10).eval()
    load_weights(ours, timm_names(reference.state_dict()), "reference")
    x = torch.randn(2, 90, 64)
    expected = reference(x).last_hidden_state
    torch.testing.assert_close(ours.forward_features(x.transpose(1, 2).unsqueeze(1)), expected, atol=1e-4, rtol=1e-4)


def test_ast_takes_an_audioset_folder_of_transformers(tmp_path):
    settings = ASTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        max_length=96,
        num_mel_bins=64,
    )
    reference = randomised(ASTForAudioClassification(settings))
    reference.save_pretrained(tmp_path)
    ours = built("ast", tmp_path, size="tiny").eval()
    x = torch.randn(2, 96, 64)
    expected = reference.audio_spectrogram_transformer(0.5 * x).pooler_output
    tokens = ours.transformer.forward_features(0.5 * x.transpose(1, 2).unsqueeze(1))[:, :2]
    torch.testing.assert_close(tokens.mean(dim=1), expected, atol=1e-4, rtol=1e-4)


def test_positions_are_cut_to_the_centre_and_interpolated():
    old = torch.arange(4.0).view(4, 1) * 10 + torch.arange(4.0)  # row * 10 + column
    positions = torch.cat([torch.tensor([100.0, 200.0]), old.flatten()]).view(1, -1, 1)
    fitted = fit_positions(positions, old=(4, 4), new=(2, 8)).flatten()
    assert fitted[:2].tolist() == [100.0, 200.0]
    columns = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    torch.testing.assert_close(
        fitted[2:].view(2, 8), torch.tensor([[10 + c for c in columns], [20 + c for c in columns]])
    )
    assert torch.equal(fit_positions(positions, old=(4, 4), new=(4, 4)), positions)


def truncated(source: Path, folder: Path) -> Path:
    path = folder / f"cut{source.suffix}"
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_truncated_file_is_refused(imagenet_resnet, tmp_path, suffix):
    source = imagenet_resnet
    if suffix == ".pth":
        source = tmp_path / "whole.pth"
        torch.save(safetensors.torch.load_file(imagenet_resnet), source)
    with pytest.raises(PretrainedError, match=r"cut\.\w+ cannot be read as weights .*it may be truncated"):
        built("resnet18", truncated(source, tmp_path))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "model.bin").write_bytes(pickle.dumps({"conv1.weight": Harmful()}))
    with pytest.raises(PretrainedError, match="cannot be read as weights"):
        built("resnet18", tmp_path / "model.bin")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["resnet18", "ast"])
def test_weights_of_another_kind_are_refused(name, tmp_path):
    save = {"some.weight": torch.zeros(3)}
    safetensors.torch.save_file(save, tmp_path / "other.safetensors")
    with pytest.raises(PretrainedError, match=r"are not of a .*: they lack"):
        built(name, tmp_path / "other.safetensors")


def test_weights_of_another_size_are_refused(imagenet_deit):
    with pytest.raises(
        PretrainedError, match=r"do not fit: cls_token is \(1, 1, 192\), not \(1, 1, 384\).* more: choose"
    ):
        built("ast", imagenet_deit, size="small")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/model.safetensors", r"no file .*nowhere/model\.safetensors to take pretrained weights from"),
        ("no_such_model", r"'no_such_model' cannot be had: Unknown model .*\nWithout internet: .*--pretrained none"),
        ("imagenet", r"cannot be had: .*\nWithout internet: fetch the weights elsewhere .*--pretrained PATH"),
    ],
)
@pytest.mark.parametrize("name", ["resnet18", "ast"])
def test_weights_that_cannot_be_had_say_what_to_do(name, source, message):
    with pytest.raises(PretrainedError, match=message):
        built(name, source)


def test_the_hub_model_of_audioset_offline_says_what_to_do():
    with pytest.raises(PretrainedError, match=r"MIT/ast-.*cannot be had: .*\nWithout internet"):
        built("ast", "MIT/ast-finetuned-audioset-10-10-0.4593")


def test_an_empty_folder_and_another_model_of_transformers_are_refused(tmp_path):
    with pytest.raises(PretrainedError, match=r"holds no model\.safetensors or pytorch_model\.bin"):
        built("ast", tmp_path)
    Wav2Vec2Config().save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"must be an audio-spectrogram-transformer .* 'wav2vec2'"):
        built("ast", tmp_path)


def test_every_imagenet_name_is_one_that_timm_has_weights_for():
    names = [resnet18.IMAGENET, *ast.IMAGENET.values()]
    assert [name for name in names if not timm.models.is_model_pretrained(name)] == []


@pytest.mark.parametrize("stable", [False, True])
def test_tuned_layers_continue_where_the_stored_frames_end(stable, tmp_path):
    encoder = save_tiny_encoder(tmp_path, layers=4, stable=stable)
    config = default_config("attn_crnn", {"model.pretrained": str(tmp_path), "model.tuned_layers": 3})
    assert (config.features.encoder, config.features.encoder_layer) == (str(tmp_path), 1)
    outputs = encoder(torch.randn(2, 8000), output_hidden_states=True)
    stored: Tensor = outputs.hidden_states[1]
    model = build_model(config, frames=stored.shape[1], bins=16, classes=4).eval()
    everything_real = torch.ones(stored.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(model.top(stored, everything_real), outputs.last_hidden_state, atol=1e-5, rtol=1e-5)


def test_tuned_layers_are_trained_and_ignore_padding(tmp_path):
    save_tiny_encoder(tmp_path, layers=4)
    config = default_config("attn_crnn", {"model.pretrained": str(tmp_path), "model.tuned_layers": 2})
    model = build_model(config, frames=30, bins=16, classes=4)
    x, lengths = torch.randn(2, 30, 16), torch.tensor([30, 17])
    model.train()(x, lengths).sum().backward()
    assert all(weight.grad is not None for weight in model.top.parameters())
    torch.testing.assert_close(model.eval()(x, lengths)[1:], model(x[1:, :17], lengths[1:]), atol=1e-4, rtol=1e-4)


def test_encoders_that_cannot_be_had_or_do_not_fit_say_so(tmp_path):
    save_tiny_encoder(tmp_path, layers=4)
    with pytest.raises(ConfigError, match=r"model\.tuned_layers may be at most 4, .*; got 5"):
        default_config("attn_crnn", {"model.pretrained": str(tmp_path), "model.tuned_layers": 5})
    config = default_config("attn_crnn", {"model.pretrained": str(tmp_path), "model.tuned_layers": 1})
    with pytest.raises(ConfigError, match="has 4 layers of 16 units; got frames of 768"):
        build_model(config, frames=30, bins=768, classes=4)
    with pytest.raises(PretrainedError, match="someone/absent"):
        default_config("attn_crnn", {"model.pretrained": "someone/absent", "model.tuned_layers": 1})
