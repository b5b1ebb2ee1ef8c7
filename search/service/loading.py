"""A model folder, run folder or ensemble, as the service hears it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.service.asked import Engine
from search.service.facts import ModelFacts, origin_of
from ser_core.artifact import ArtifactError, Predictor
from ser_core.batches import BatchModel, batch_model, onnx_batch_model
from ser_core.ensemble import EnsemblePredictor, load_predictor, models_of
from ser_core.outputs import Rescaled
from ser_core.predict import check_device

SPAN_DEVIATIONS = 2.5
"""Of ratings, on either side of their mean: where 99 of 100 lie if they are normal."""


def load_service_model(folder: Path, engine: Engine, device: str, scratch: Path) -> tuple[BatchModel, ModelFacts]:
    """The model that a folder stands for, as `ser predict` takes it.

    Args:
        scratch: a folder for exported graphs, which are read once.

    Raises:
        ArtifactError, PretrainedError, OnnxModelError: see `ser_core.ensemble.load_predictor` and
            `ser_core.export.export_onnx`; or a model that one clip alone cannot be given to, or a device that the
            engine does not use.
    """
    if engine is Engine.ONNX and device != "cpu":
        raise ArtifactError(f"--engine onnx computes on the CPU; got --device {device}: leave it out, or use torch")
    check_device(device)
    models = models_of(folder)
    predictor = load_predictor(models, device=device)
    if predictor.transductive:
        raise ArtifactError(
            "this model normalises by all clips of a speaker, and who sends a clip is not known: train with "
            "features.normalisation=clip or corpus to serve it"
        )
    model = batch_model(predictor) if engine is Engine.TORCH else onnx_batch_model(predictor, scratch)
    facts = ModelFacts(
        target=predictor.target,
        spans=_spans(predictor),
        sample_rate_hz=model.sample_rate_hz,
        clip_seconds=model.clip_seconds,
        engine=f"ONNX Runtime, {device}" if engine is Engine.ONNX else f"PyTorch, {device}",
        origin=origin_of(models, _architecture(predictor), predictor.about, predictor.target),
    )
    return model, facts


def _architecture(predictor: Predictor | EnsemblePredictor) -> str:
    return ", ".join(dict.fromkeys(member.config.architecture for member in _members(predictor)))


def _spans(predictor: Predictor | EnsemblePredictor) -> tuple[tuple[float, float], ...]:
    meaning = _members(predictor)[0].meaning  # members learnt from the same data
    if not isinstance(meaning, Rescaled):
        return ()
    mean, reach = meaning.mean, SPAN_DEVIATIONS * meaning.deviation
    return tuple(zip((mean - reach).tolist(), (mean + reach).tolist(), strict=True))


def _members(predictor: Predictor | EnsemblePredictor) -> Sequence[Predictor]:
    return (predictor,) if isinstance(predictor, Predictor) else predictor.members
