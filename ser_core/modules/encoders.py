"""Pretrained wav2vec 2.0 encoders (Baevski et al. 2020, arXiv 2006.11477), loaded or refused, never silently random."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ser_core.modules.pretrained import PretrainedError

if TYPE_CHECKING:
    from transformers import Wav2Vec2Model

ENCODER_RATE_HZ = 16_000
"""Sample rate that every public wav2vec 2.0 checkpoint was trained on."""

ENCODER_HOP_SAMPLES = 320
"""Samples from one encoder frame to the next: 20 ms."""

ENCODER_WINDOW_SAMPLES = 400
"""Receptive field of one encoder frame; a shorter clip gives no frame."""

RANDOM_SEED = 0
"""Seed of the weights of encoder "none", so that every process that asks for them gets the same."""


def load_encoder(name: str) -> Wav2Vec2Model:
    """The encoder in evaluation mode, float32, on the CPU.

    Args:
        name: hub name, folder that holds a checkpoint in the transformers layout, or "none" for random weights of the
            base shape (the same in every process).

    Raises:
        PretrainedError: weights that cannot be had, are not a wav2vec 2.0 model, are incomplete, or whose frames are
            not 20 ms apart.
    """
    from transformers import Wav2Vec2Config, Wav2Vec2Model  # seconds to import, and only this kind of feature needs it

    if name == "none":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            return Wav2Vec2Model(Wav2Vec2Config()).eval()
    try:
        _check_config(name, Wav2Vec2Config.get_config_dict(name)[0])
        model, loaded = Wav2Vec2Model.from_pretrained(name, output_loading_info=True, dtype=torch.float32)
    except PretrainedError:
        raise
    except Exception as error:  # transformers, huggingface_hub, safetensors and torch each raise their own
        raise PretrainedError(_advice(name, error)) from error
    # Fine-tuned checkpoints may lack the vector that masks frames in pretraining; it is never used here.
    missing = sorted(set(loaded["missing_keys"]) - {"masked_spec_embed"})
    if missing:
        raise PretrainedError(
            f"encoder {name!r} lacks {len(missing)} weights, such as {missing[0]}: use a whole checkpoint"
        )
    return model.eval()


def encoder_depth(name: str) -> int:
    """Number of transformer layers of encoder `name` (see `load_encoder`), read from its configuration alone.

    Raises:
        PretrainedError: a configuration that cannot be had, or is not of a wav2vec 2.0 model.
    """
    from transformers import Wav2Vec2Config

    if name == "none":
        return Wav2Vec2Config().num_hidden_layers
    try:
        config = Wav2Vec2Config.get_config_dict(name)[0]
    except Exception as error:  # transformers and huggingface_hub each raise their own
        raise PretrainedError(_advice(name, error)) from error
    _check_config(name, config)
    return Wav2Vec2Config.from_dict(config).num_hidden_layers


def truncate_encoder(model: Wav2Vec2Model, layer: int) -> Wav2Vec2Model:
    """Cut `model` in place so that its last hidden state is what enters transformer layer `layer`.

    Layers from `layer` on are dropped; 0 leaves the convolutional front end and position embeddings. -1, or the number
    of layers, keeps the whole encoder with its final norm.

    Raises:
        PretrainedError: the encoder has fewer layers.
    """
    count = len(model.encoder.layers)
    if layer > count:
        raise PretrainedError(
            f"features.encoder_layer may be at most {count}, the encoder's layers, or -1; got {layer}"
        )
    if layer in (-1, count):
        return model
    model.encoder.layers = model.encoder.layers[:layer]
    if model.config.do_stable_layer_norm:
        model.encoder.layer_norm = nn.Identity()  # in this variant the norm stands after the last layer
    return model


def _check_config(name: str, config: dict[str, object]) -> None:
    if config.get("model_type") != "wav2vec2":
        raise PretrainedError(
            f"encoder {name!r} must be a wav2vec 2.0 model; its model_type is {config.get('model_type')!r}"
        )
    strides = config.get("conv_stride", (5, 2, 2, 2, 2, 2, 2))
    if math.prod(strides) != ENCODER_HOP_SAMPLES or config.get("add_adapter"):  # type: ignore[call-overload]
        raise PretrainedError(
            f"encoder {name!r} must give a frame every {ENCODER_HOP_SAMPLES} samples; its strides are {strides} and "
            f"add_adapter is {bool(config.get('add_adapter'))}"
        )


def _advice(name: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    tried = (
        f"the folder {Path(name).resolve()}" if Path(name).exists() else f"no such folder, so the hub model {name!r}"
    )
    return (
        f"encoder {name!r} cannot be loaded ({tried} was tried): {reason}\n"
        f"Without internet: download it elsewhere (config.json and model.safetensors) and give that folder as "
        f"features.encoder (--pretrained FOLDER), or ask for random weights with 'none'."
    )
