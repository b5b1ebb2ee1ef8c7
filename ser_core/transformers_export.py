"""Models over a speech encoder as folders in the layout of `transformers`, as far as it knows their parts.

It knows the encoder of any family, with what was fine-tuned of it and adapters merged into its weights. It knows the
head too where that is linear in the mean over time, and the encoder takes samples. Whatever is written gives the
probabilities that the model gives, or it is not written.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ser_core.artifact import ArtifactError, Predictor
from ser_core.models.finetune import FineTuned
from ser_core.models.probe import Probe
from ser_core.modules.encoder_families import WHISPER
from ser_core.modules.encoders import Encoder, load_encoder, truncate_encoder
from ser_core.targets import DIMENSIONS

TOLERANCE = 2e-3
"""Largest difference of a probability that is accepted: the model may hear samples in 16 bits, or keep statistics in
half precision."""
NOTE_FILE = "README.md"


@dataclass(frozen=True)
class _Linear:
    """A head that is linear in the mean over time of an encoder's output, or of a weighted sum of its layers.

    Attributes:
        weight, bias: (classes, hidden) and (classes,).
        layers: (layers + 1,) what the softmax of which weighs the layers; None for the encoder's output.
    """

    weight: Tensor
    bias: Tensor
    layers: Tensor | None


def export_transformers(predictor: Predictor, folder: Path) -> str:
    """Write the folder, which must not exist, and say in a sentence or two what of the model it holds.

    Raises:
        ArtifactError: a model without a speech encoder, or of ratings, or a folder that exists.
        PretrainedError: an encoder that cannot be loaded.
        OSError: a disk that is full or cannot be written.
    """
    if folder.exists():
        raise ArtifactError(f"{folder} exists already; name another folder")
    if predictor.target.kind == DIMENSIONS:
        raise ArtifactError(f"this model rates {', '.join(predictor.target.names)}: --onnx exports it, with its scale")
    encoder = _encoder_of(predictor)
    linear, lacks = _linear_head(predictor)
    classifier = None if linear is None else _classifier(encoder, linear, predictor.classes)
    if classifier is not None and (difference := _difference(classifier, encoder, predictor)) > TOLERANCE:
        classifier, lacks = None, f"what it makes of the head differs by {difference:.2g} in a probability"
    name = "AutoModel" if encoder.facts.family != WHISPER else "WhisperEncoder"
    said = f"It holds the encoder alone, which {name} loads, since {lacks}."
    if classifier is not None:
        heard = f"{predictor.clip_seconds:g} s"
        said = f"AutoModelForAudioClassification loads the whole model, which was trained on {heard} of a clip."
    (encoder.net if classifier is None else classifier).save_pretrained(folder)
    encoder.feature_extractor.save_pretrained(folder)
    (folder / NOTE_FILE).write_text(f"# In the layout of transformers\n\n{said}\n", encoding="utf-8")
    return said


def _encoder_of(predictor: Predictor) -> Encoder:
    """The encoder as the model uses it, with plain linear maps where adapters were."""
    model = predictor.model
    if isinstance(model, FineTuned):
        encoder: Encoder = copy.deepcopy(model.encoder).cpu().eval()
        _merge_adapters(encoder.net)
        return encoder
    if isinstance(model, Probe):
        encoder = load_encoder(predictor.config.features.encoder)
        return truncate_encoder(encoder, model.alone) if model.alone else encoder
    raise ArtifactError(
        f"transformers knows models over a speech encoder, of finetune and probe; {predictor.config.architecture} has "
        f"none that it could load: export to ONNX"
    )


def _merge_adapters(net: nn.Module) -> None:
    for name, module in [*net.named_modules()]:
        if hasattr(module, "get_base_layer") and hasattr(module, "merge"):
            module.merge()
            above, _, last = name.rpartition(".")
            setattr(net.get_submodule(above), last, module.get_base_layer())


def _linear_head(predictor: Predictor) -> tuple[_Linear | None, str]:
    """The head if it is linear in a mean; else None, and what transformers has no place for."""
    model, settings = predictor.model, predictor.config.params()
    encoder_input = "the encoder takes a log-mel spectrogram, padded to a fixed length"
    if settings["model.pooling"] != "mean":
        return None, f"transformers has no head with model.pooling = {settings['model.pooling']}"
    if settings["model.width"]:
        return None, f"transformers has no head with a hidden layer, model.width = {settings['model.width']}"
    head = model.head
    assert isinstance(head, nn.Linear)
    if isinstance(model, FineTuned):
        if not model.encoder.facts.takes_samples:
            return None, encoder_input
        return _Linear(head.weight.data, head.bias.data, None if model.sum is None else model.sum.scores.data), ""
    assert isinstance(model, Probe)
    if settings["model.normalisation"] == "layer":
        return None, "transformers has no head with model.normalisation = layer"
    if settings["model.normalisation"] == "value" and model.sum is not None:
        return None, "each layer is normalised before the layers are summed"
    layers = None if model.sum is None else model.sum.scores.data
    if settings["model.normalisation"] == "none":
        return _Linear(head.weight.data, head.bias.data, layers), ""
    return _with_normalisation(predictor, model, head), ""


def _with_normalisation(predictor: Predictor, model: Probe, head: nn.Linear) -> _Linear:
    """The head of a single layer, whose mean and deviation are taken into the weights."""
    assert model.alone is not None
    each = len(predictor.normalisation.mean) // model.layers  # mean and deviation of one layer
    start = model.alone * each
    mean, std = (
        torch.from_numpy(values[start : start + each // 2]).to(head.weight)
        for values in (predictor.normalisation.mean, predictor.normalisation.std)
    )
    weight = head.weight.data / std
    return _Linear(weight, head.bias.data - weight @ mean, None)


def _classifier(encoder: Encoder, linear: _Linear, classes: tuple[str, ...]) -> Any:
    """The model of transformers with this encoder and this head."""
    from transformers import AutoModelForAudioClassification  # seconds to import

    config = copy.deepcopy(encoder.net.config)
    config.num_hidden_layers = len(encoder.stack.layers)
    config.classifier_proj_size = config.hidden_size
    config.use_weighted_layer_sum = linear.layers is not None
    config.id2label = dict(enumerate(classes))
    config.label2id = {word: index for index, word in enumerate(classes)}
    whole = AutoModelForAudioClassification.from_config(config)
    getattr(whole, whole.base_model_prefix).load_state_dict(encoder.net.state_dict())
    with torch.no_grad():
        whole.projector.weight.copy_(torch.eye(config.hidden_size))
        whole.projector.bias.zero_()
        whole.classifier.weight.copy_(linear.weight)
        whole.classifier.bias.copy_(linear.bias)
        if linear.layers is not None:
            whole.layer_weights.copy_(linear.layers)
    return whole.eval()


def _difference(classifier: Any, encoder: Encoder, predictor: Predictor) -> float:
    """Largest difference of a probability, over clips as long as the model hears."""
    rng, rate = np.random.default_rng(0), predictor.sample_rate_hz
    differences = []
    for _ in range(3):
        samples = (0.1 * rng.normal(size=round(predictor.clip_seconds * rate))).astype(np.float32)
        fed = encoder.feature_extractor(samples, sampling_rate=rate, return_tensors="pt")
        with torch.no_grad():
            own = classifier(fed["input_values"]).logits.softmax(dim=1)[0].numpy()
        differences.append(float(np.abs(own - predictor.speaker_probabilities([samples])[0]).max()))
    return max(differences)
