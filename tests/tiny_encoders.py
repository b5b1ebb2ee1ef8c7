"""Speech encoders with random weights, two layers and 16 units, in the layout of the published checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor

HIDDEN = 16
_SHAPE = {"hidden_size": HIDDEN, "num_attention_heads": 2, "intermediate_size": 32}
_CONVOLUTIONS = {
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def save_tiny_encoder(
    folder: Path,
    family: str = "wav2vec2",
    *,
    layers: int = 2,
    seed: int = 0,
    **settings: object,
) -> PreTrainedModel:
    """Save a checkpoint of the family (`model_type`), feature extractor included.

    No weight is zero, so that none can be swapped unnoticed.

    Args:
        settings: of the configuration; of families that take samples also `stable`, for the layer norms of the large
            encoders, and `do_normalize`.
    """
    torch.manual_seed(seed)
    model, extractor = _MAKERS[family](layers, settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return model.eval()


def _of_samples(family: str) -> Callable[[int, dict[str, object]], tuple[PreTrainedModel, SequenceFeatureExtractor]]:
    def make(layers: int, settings: dict[str, object]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
        from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor  # only a few tests pay for the import

        stable = bool(settings.pop("stable", False))
        extractor = Wav2Vec2FeatureExtractor(
            do_normalize=settings.pop("do_normalize", True), return_attention_mask=stable
        )
        norms = {} if family == "wav2vec2-conformer" else {"do_stable_layer_norm": stable}
        shape = _SHAPE | _CONVOLUTIONS | norms | {"feat_extract_norm": "layer" if stable else "group"}
        if family == "data2vec-audio":  # its positions come from a stack of convolutions
            shape |= {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}
        return AutoModel.from_config(
            AutoConfig.for_model(family, num_hidden_layers=layers, **(shape | settings))
        ), extractor

    return make


def _wav2vec2_bert(layers: int, settings: dict[str, object]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    shape = _SHAPE | {"feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 3}
    return Wav2Vec2BertModel(
        Wav2Vec2BertConfig(num_hidden_layers=layers, **(shape | settings))
    ), SeamlessM4TFeatureExtractor(padding_value=1)


def _whisper(layers: int, settings: dict[str, object]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    shape = {
        "d_model": HIDDEN,
        "encoder_layers": layers,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 16,
        "vocab_size": 20,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
        "max_target_positions": 8,
    }
    return WhisperModel(WhisperConfig(**(shape | settings))), WhisperFeatureExtractor()


def _ast(layers: int, settings: dict[str, object]) -> tuple[PreTrainedModel, SequenceFeatureExtractor]:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    # The published ones are classifiers of AudioSet.
    return ASTForAudioClassification(
        ASTConfig(num_hidden_layers=layers, num_labels=3, **(_SHAPE | settings))
    ), ASTFeatureExtractor()


SAMPLE_FAMILIES = (
    "wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer",
)  # fmt: skip
FAMILIES = (*SAMPLE_FAMILIES, "wav2vec2-bert", "whisper", "audio-spectrogram-transformer")

_MAKERS = {
    **{family: _of_samples(family) for family in SAMPLE_FAMILIES},
    "wav2vec2-bert": _wav2vec2_bert,
    "whisper": _whisper,
    "audio-spectrogram-transformer": _ast,
}
