"""Speech of several clips through a model at once: the crops of all of them in one batch.

from ser_core.batches import batch_model

model = batch_model(load_predictor(folder))
crops = model.crops(samples)  # of one clip; those of further clips may follow
model.mean(crops, model.probabilities(crops))  # what ser_core.predict gives for the clip

A clip's probabilities do not depend on its company, but for the rounding of sums of other sizes: `ROUNDING`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from ser_core.artifact import Predictor
from ser_core.ensemble import EnsemblePredictor
from ser_core.export import export_onnx
from ser_core.onnx_model import OnnxModel
from ser_core.windows import crops_of

ROUNDING = 1e-5
"""Largest difference of a probability between a clip alone and the same clip in a batch."""


class Part(Protocol):
    """The members of an ensemble that hear the same crops, or a model alone."""

    @property
    def clip_seconds(self) -> float:
        """What they hear of a clip, s."""

    def probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """(samples,) float32 each -> the sum over the members, by their weights, (clips, classes)."""


@dataclass(frozen=True, eq=False)
class Crop:
    """Speech (samples,) float32 for one of a model's parts."""

    part: int
    samples: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchModel:
    """A model or an ensemble that takes the crops of many clips at a time.

    Attributes:
        classes: in the order of the probabilities.
        sample_rate_hz: of the samples.
        parts: their weights are together 1.
    """

    classes: tuple[str, ...]
    sample_rate_hz: int
    parts: tuple[Part, ...]

    @property
    def clip_seconds(self) -> float:
        """The most that any part hears of a clip, s."""
        return max(part.clip_seconds for part in self.parts)

    def crops(self, samples: np.ndarray) -> list[Crop]:
        """Of speech of any length, (samples,) float32; see `ser_core.windows.crops_of`."""
        lengths = [round(part.clip_seconds * self.sample_rate_hz) for part in self.parts]
        return [Crop(index, crop) for index, length in enumerate(lengths) for crop in crops_of(samples, length)]

    def one_crop(self, samples: np.ndarray) -> list[Crop]:
        """Of a window of a stream, which each part hears once."""
        return [Crop(index, samples) for index in range(len(self.parts))]

    def probabilities(self, crops: Sequence[Crop]) -> np.ndarray:
        """What each crop's part says of it, (crops, classes) float32; the crops may be of any number of clips."""
        found = np.empty((len(crops), len(self.classes)), dtype=np.float32)
        order = sorted(range(len(crops)), key=lambda index: crops[index].part)
        for part, rows in groupby(order, key=lambda index: crops[index].part):
            own = list(rows)
            found[own] = self.parts[part].probabilities([crops[row].samples for row in own])
        return found

    def mean(self, crops: Sequence[Crop], probabilities: np.ndarray) -> np.ndarray:
        """(crops, classes) of all crops of one clip -> its class probabilities (classes,)."""
        of = np.array([crop.part for crop in crops])
        means = [probabilities[of == part].mean(axis=0) for part in range(len(self.parts))]
        return np.asarray(np.sum(means, axis=0))


def batch_model(predictor: Predictor | EnsemblePredictor) -> BatchModel:
    """A model in PyTorch; members of an ensemble whose features are the same share their computation."""
    members: dict[object, list[tuple[Predictor, float]]] = {}
    for member, weight in _weighted(predictor):
        members.setdefault(member.config.features, []).append((member, weight))
    return _model(predictor, (_TorchPart(tuple(group)) for group in members.values()))


def onnx_batch_model(predictor: Predictor | EnsemblePredictor, folder: Path) -> BatchModel:
    """The same in ONNX Runtime, which hears one crop at a time; a graph for each member is written into `folder`.

    Raises:
        ArtifactError: see `ser_core.export.export_onnx`.
        OnnxModelError: ONNX Runtime is missing.
    """
    parts = []
    for index, (member, weight) in enumerate(_weighted(predictor)):
        path = folder / f"{index}.onnx"
        export_onnx(member, path)
        parts.append(_OnnxPart(OnnxModel(path), weight))
    return _model(predictor, parts)


def _weighted(predictor: Predictor | EnsemblePredictor) -> list[tuple[Predictor, float]]:
    if isinstance(predictor, Predictor):
        return [(predictor, 1.0)]
    return list(zip(predictor.members, map(float, predictor.weights), strict=True))


def _model(predictor: Predictor | EnsemblePredictor, parts: Iterable[Part]) -> BatchModel:
    return BatchModel(classes=predictor.classes, sample_rate_hz=predictor.sample_rate_hz, parts=tuple(parts))


@dataclass(frozen=True)
class _TorchPart:
    """Members with the same features, and their weights."""

    members: tuple[tuple[Predictor, float], ...]

    @property
    def clip_seconds(self) -> float:
        return self.members[0][0].clip_seconds

    def probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        features = self.members[0][0].extract(clips)
        said = [weight * member.feature_probabilities(features) for member, weight in self.members]
        return np.asarray(np.sum(said, axis=0))


@dataclass(frozen=True)
class _OnnxPart:
    model: OnnxModel
    weight: float

    @property
    def clip_seconds(self) -> float:
        return self.model.clip_seconds

    def probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        return self.weight * np.stack([self.model.probabilities(clip) for clip in clips])
