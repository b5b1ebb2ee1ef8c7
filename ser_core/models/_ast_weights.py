"""Initial weights of the Audio Spectrogram Transformer: of image models and of models trained on AudioSet.

Whatever their layout, they are brought into timm's, with one input channel and two tokens.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

from ser_core.json_document import read_object
from ser_core.modules.pretrained import CHECKPOINT_SUFFIXES, OFFLINE_ADVICE, PretrainedError, image_weights, reason

AUDIOSET_ROWS = 12
"""Rows of the patch grid of the published AudioSet models: 128 bins at stride 10."""
TOKENS = 2
"""Class and distillation token, which come before the patches."""

Grid = tuple[int, int]
"""Rows (along frequency) and columns (along time) of patches."""


def initial_weights(name: str) -> tuple[dict[str, Tensor], Grid]:
    """Weights of the transformer in timm's layout for one input channel and two tokens, and their patch grid.

    Args:
        name: timm hub name, file, folder, or hub name with an owner (an AST of transformers).

    Raises:
        PretrainedError: weights that cannot be had, or are not of a vision transformer.
    """
    if _in_transformers_layout(name):
        return _transformers_weights(name)
    return _two_tokens(image_weights(name), name)


def of_audioset(name: str) -> bool:
    """True for weights that were trained on AudioSet, as far as their name and layout tell without loading them.

    So were the published models in the layout of transformers, and the authors' own files, which say it.
    """
    return _in_transformers_layout(name) or "audioset" in Path(name).name.lower()


def fit_positions(positions: Tensor, *, old: Grid, new: Grid) -> Tensor:
    """Position embeddings (1, 2 + rows * columns, width) for another patch grid (Gong et al. 2021, section 2.2).

    Along each axis the centre is cut out where the new grid is smaller, and values are interpolated linearly where it
    is larger. Those of the two tokens stay.
    """
    tokens, patches = positions[:, :TOKENS], positions[:, TOKENS:]
    patches = patches.float().transpose(1, 2).unflatten(2, old)  # (1, width, rows, columns)
    for axis in (2, 3):
        have, want = patches.shape[axis], new[axis - 2]
        if want < have:
            patches = patches.narrow(axis, have // 2 - want // 2, want)
        elif want > have:
            size = [want if a == axis else patches.shape[a] for a in (2, 3)]
            patches = nn.functional.interpolate(patches, size=size, mode="bilinear")
    return torch.cat([tokens, patches.flatten(2).transpose(1, 2).to(tokens.dtype)], dim=1)


def timm_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' ASTModel under timm's names; queries, keys and values are joined into one matrix."""
    renamed = {
        "embeddings.cls_token": "cls_token",
        "embeddings.distillation_token": "dist_token",
        "embeddings.position_embeddings": "pos_embed",
    }
    parts = (
        ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        ("layers.", "blocks."),
        ("attention.o_proj", "attn.proj"),
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("layernorm", "norm"),
    )
    result = {}
    for key, value in weights.items():
        if ".attention.q_proj." in key:
            joined = [weights[key.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            result[key.replace("layers.", "blocks.").replace("attention.q_proj", "attn.qkv")] = torch.cat(joined)
        elif ".attention.k_proj." not in key and ".attention.v_proj." not in key:
            name = renamed.get(key, key)
            for old, new in parts:
                name = name.replace(old, new)
            result[name] = value
    return result


def _in_transformers_layout(name: str) -> bool:
    """True for a folder that says so, and for hub names with an owner, which timm's do not have."""
    path = Path(name).expanduser()
    if path.is_dir():
        config = path / "config.json"
        return config.is_file() and "model_type" in read_object(config)
    names_a_file = path.is_file() or path.suffix in CHECKPOINT_SUFFIXES
    return "/" in name and not names_a_file and not name.startswith("hf_hub:")


def _transformers_weights(name: str) -> tuple[dict[str, Tensor], Grid]:
    """Of transformers' ASTModel, or of a classifier around it."""
    from transformers import ASTConfig, ASTModel  # seconds to import, and only these weights need it

    try:
        kind = ASTConfig.get_config_dict(name)[0].get("model_type")
        if kind == ASTConfig.model_type:
            model, loaded = ASTModel.from_pretrained(name, output_loading_info=True, dtype=torch.float32)
    except Exception as error:  # transformers, huggingface_hub, safetensors and torch each raise their own
        raise PretrainedError(
            f"pretrained weights {name!r} cannot be had: {reason(error)}\n{OFFLINE_ADVICE}"
        ) from error
    if kind != ASTConfig.model_type:
        raise PretrainedError(
            f"pretrained weights {name!r} must be an {ASTConfig.model_type} of transformers; its model_type is "
            f"{kind!r}: for a timm model give its file, its timm name, or hf_hub:{name}"
        )
    if loaded["missing_keys"]:
        raise PretrainedError(f"pretrained weights {name!r} lack {min(loaded['missing_keys'])}: use a whole model")
    return timm_names(model.state_dict()), model.embeddings.get_shape(model.config)


def _two_tokens(weights: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], Grid]:
    """A DeiT, a ViT or one of the AST authors' files, as weights for one channel and two tokens, and its patch grid."""
    weights = {key.removeprefix("module.").removeprefix("v."): value for key, value in weights.items()}
    weights = {key: value for key, value in weights.items() if not key.startswith(("head", "fc_norm.", "mlp_head."))}
    lacking = [key for key in ("cls_token", "pos_embed", "patch_embed.proj.weight") if key not in weights]
    if lacking:
        raise PretrainedError(f"weights {name!r} are not of a vision transformer: they lack {', '.join(lacking)}")
    if "dist_token" not in weights:
        # A plain ViT has one token; the second starts as its copy, and their mean is then what the one would give.
        positions = weights["pos_embed"]
        weights["dist_token"] = weights["cls_token"]
        weights["pos_embed"] = torch.cat([positions[:, :1], positions], dim=1)
    projection = weights["patch_embed.proj.weight"]
    weights["patch_embed.proj.weight"] = adapt_input_conv(1, projection, projection.shape[1])
    return weights, _stored_grid(weights["pos_embed"].shape[1] - TOKENS, name)


def _stored_grid(patches: int, name: str) -> Grid:
    """The patch grid of a file: square for an image model, else that of the published AudioSet models."""
    side = math.isqrt(patches)
    if side * side == patches:
        return side, side
    if patches % AUDIOSET_ROWS == 0:
        return AUDIOSET_ROWS, patches // AUDIOSET_ROWS
    raise PretrainedError(
        f"weights {name!r} have position embeddings for {patches} patches, neither a square nor rows of {AUDIOSET_ROWS}"
    )
