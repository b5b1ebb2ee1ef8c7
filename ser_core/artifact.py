"""A trained model as a folder: `model.safetensors` with the weights, `config.json` with all else.

The folder is enough to predict and can be read without this program: no pickle, and every number that turns samples
into probabilities stands in the JSON file. Features of a speech encoder also need that encoder, which loading a model
never downloads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ser_core.architectures import build_model, without_pretrained
from ser_core.config import BY_SPEAKER, Config
from ser_core.features.device_clips import DeviceClips
from ser_core.features.frames import Frames, end_to_end
from ser_core.features.normalisation import Normalisation
from ser_core.features.store import FeatureStore, by_speaker
from ser_core.features.transforms import Extractor, clip_frames, extractor, settings_key
from ser_core.inference import evaluate
from ser_core.json_document import typed
from ser_core.model_document import (
    CONFIG_FILE,
    FORMAT,
    WEIGHTS_FILE,
    ArtifactError,
    document_config,
    document_weights,
    file_sha256,
    read_document,
)
from ser_core.modules.pretrained import PretrainedError, nothing_fetched
from ser_core.modules.trained_state import frozen_sha256, load_trained_state
from ser_core.named_scores import EARLIER_OBJECTIVE
from ser_core.outputs import Meaning, meaning_of
from ser_core.targets import EMOTION, Target, make_target
from ser_core.tensor_file import write_tensors

if TYPE_CHECKING:
    from ser_core.training.run import TrainingRun  # who predicts needs no training

LIBRARIES = ("ser-search", "torch", "torchaudio", "timm", "transformers", "numpy", "safetensors")


def save_model(folder: Path, run: TrainingRun, *, about: Mapping[str, Any]) -> None:
    """Write the best weights of `run` and all that predicting needs; `folder` is made when missing.

    Args:
        about: what a reader must know of the model's origin, as JSON values: corpus with licence, whether it is
            synthetic, split …

    Raises:
        OSError: a full or read-only disk. `config.json` comes last, so a folder without it is not a model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in run.best_weights().items()}
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    write_tensors(folder / WEIGHTS_FILE, weights)
    document = {
        "format": FORMAT,
        "architecture": run.config.architecture,
        "settings": run.config.params(),
        "target": {"kind": run.target.kind, "objective": run.target.objective, **run.meaning.facts()},
        "classes": list(run.target.names),
        "clip_frames": clip_frames(run.config.features),
        "bins": len(run.normalisation.mean),
        "normalisation": {"mean": run.normalisation.mean.tolist(), "std": run.normalisation.std.tolist()},
        "epochs": run.best_epoch or len(run.reports),
        "parameters": _numbers(run.model),
        "weights_sha256": file_sha256(folder / WEIGHTS_FILE),
        "frozen_sha256": frozen_sha256(run.model),
        "versions": _versions(),
        "about": dict(about),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A trained model that says how probable each emotion is, or how high each dimension. Computes in float32, on
    `device`.

    Attributes:
        config: settings that it was trained with.
        target: what it predicts.
        meaning: makes probabilities or ratings of the module's outputs.
        about: see `save_model`.
    """

    config: Config
    target: Target
    meaning: Meaning
    normalisation: Normalisation
    model: nn.Module
    device: torch.device
    extract: Extractor
    about: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Emotion words, or dimensions, in the order of what is predicted."""
        return self.target.names

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples that are predicted."""
        return self.config.features.sample_rate_hz

    @property
    def clip_seconds(self) -> float:
        """What the model hears of a clip, s."""
        return self.config.features.clip_seconds

    @property
    def transductive(self) -> bool:
        """True when it normalises by all clips of a speaker, and one clip alone cannot be predicted."""
        return self.config.features.normalisation == BY_SPEAKER

    @property
    def scales(self) -> Mapping[str, tuple[float, float]]:
        """Dimension -> the lowest and the highest rating of the data it was trained on, as far as it says them."""
        corpus = self.about.get("corpus")
        known: Mapping[str, Sequence[float]] = corpus.get("scales", {}) if isinstance(corpus, dict) else {}
        return {name: (low, high) for name, (low, high) in known.items()}

    @property
    def synthetic(self) -> bool:
        """True when no person spoke what it was trained on."""
        corpus = self.about.get("corpus")
        return isinstance(corpus, dict) and bool(corpus.get("synthetic"))

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """Class probabilities (classes,) float32 of one clip, (samples,) float32 at `sample_rate_hz`.

        Of a model of dimensions, here and below, they are ratings on the scale of the data it was trained on.

        Raises:
            ValueError: samples that are not one-dimensional, empty or not finite; or a model that needs several clips
                of a speaker, see `speaker_probabilities`.
        """
        if self.transductive:
            raise ValueError(
                "this model normalises by all clips of a speaker, so one clip alone cannot be predicted; give "
                "speaker_probabilities several clips of one speaker"
            )
        return self.speaker_probabilities([samples])[0]

    def speaker_probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """Class probabilities (clips, classes) float32 of several clips of one speaker, each as for `probabilities`.

        A model with `features.normalisation = speaker` normalises by all of them; for others the speaker is no matter.

        Raises:
            ValueError: samples that are not one-dimensional, empty or not finite, or no clip.
        """
        if not clips:
            raise ValueError("there must be at least one clip; got none")
        return self.feature_probabilities(self.extract(clips))

    def feature_probabilities(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """The same of clips whose features are there, each (frames, bins) as `extract` gives them."""
        frames, bounds = np.concatenate(features), end_to_end(np.cumsum([0, *map(len, features)]))
        if self.transductive:
            frames = np.concatenate(list(by_speaker(frames, bounds, np.full(len(features), ""))))
        return self._predict(frames, bounds)

    def predict_store(self, store: FeatureStore, rows: np.ndarray | None = None) -> np.ndarray:
        """Class probabilities (clips, classes) float32 of every clip of a store, or of the clips `rows` in that order.

        Raises:
            ValueError: a store of other features than the model was trained on.
        """
        self._check(store)
        return self._predict(store.frames, store.bounds, rows)

    def inputs(self, store: FeatureStore) -> tuple[Tensor, Tensor]:
        """What the module is given for every clip of a store: features (clips, frames, bins), lengths (clips,).

        Raises:
            ValueError: a store of other features than the model was trained on.
        """
        self._check(store)
        rows = torch.arange(len(store.clip_ids), device=self.device)
        return self._clips(store.frames, store.bounds).batch(rows)

    def _check(self, store: FeatureStore) -> None:
        if settings_key(store.settings) != settings_key(self.config.features):
            raise ValueError(
                f"the store holds features of {store.settings}, but the model needs {self.config.features}"
            )

    def _predict(self, frames: Frames, bounds: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(total_frames, bins), (clips, 2) -> (clips, classes)."""
        chosen = torch.arange(len(bounds)) if rows is None else torch.from_numpy(rows)
        outputs = evaluate(self.model, self._clips(frames, bounds), chosen.to(self.device))
        told: np.ndarray = self.meaning(outputs).cpu().numpy()
        return told

    def _clips(self, frames: Frames, bounds: np.ndarray) -> DeviceClips:
        return DeviceClips(
            frames,
            bounds,
            self.normalisation,
            view_frames=clip_frames(self.config.features),
            crop=self.config.features.crop,
            device=self.device,
        )


def load_model(folder: Path, *, device: str | torch.device = "cpu") -> Predictor:
    """Read what `save_model` wrote.

    Raises:
        ArtifactError: files that are missing, truncated, changed since they were written, or that do not fit.
        PretrainedError: the encoder of the features is not on this machine, or cannot be loaded.
    """
    document = read_document(folder)
    weights = document_weights(folder, document)
    try:
        config = document_config(document)
        with nothing_fetched():
            extract = extractor(config.features, device)
            model = build_model(
                without_pretrained(config),
                frames=document["clip_frames"],
                bins=document["bins"],
                classes=len(document["classes"]),
            )
        load_trained_state(model, weights)
        normalisation = _normalisation(document)
        target, meaning = _target(document)
        _check_scales(document["about"])
    except PretrainedError:
        raise
    except (
        Exception
    ) as error:  # what an edited file may make of a model has no end; torch and safetensors have their own
        raise ArtifactError(
            f"{folder / CONFIG_FILE} does not describe the weights beside it; it was edited, or written by another "
            f"version (libraries then: {str(document.get('versions'))[:200]}): {repr(error)[:300]}"
        ) from error
    if document.get("frozen_sha256", "") not in ("", frozen_sha256(model)):
        raise ArtifactError(
            f"{folder} keeps only what training changed of encoder {config.features.encoder!r}, and that has other "
            f"weights on this machine: get the encoder that it was trained on"
        )
    if spoilt := [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]:
        raise ArtifactError(
            f"{folder / WEIGHTS_FILE} holds weights that are NaN or infinite (first {spoilt[0]}; tensors: "
            f"{len(spoilt)}), with which nothing can be predicted: train the model anew"
        )
    return Predictor(
        config=config,
        target=target,
        meaning=meaning.to(device),
        normalisation=normalisation,
        model=model.to(device).eval(),
        device=torch.device(device),
        extract=extract,
        about=document["about"],
    )


def _numbers(model: nn.Module) -> int:
    """How many numbers were fitted: the parameters, or what a model of trees, which has none, keeps instead."""
    return sum(tensor.numel() for tensor in [*model.parameters()] or model.buffers())


def _target(document: Mapping[str, Any]) -> tuple[Target, Meaning]:
    """What the model predicts; of early versions the emotion."""
    facts = document.get("target", {})
    kind = facts.get("kind", EMOTION)
    target = make_target(kind, document["classes"], facts.get("objective", EARLIER_OBJECTIVE))
    return target, meaning_of(kind, facts)


def _check_scales(about: Mapping[str, Any]) -> None:
    """Raise for scales of ratings that are none; early versions kept none."""
    corpus = about.get("corpus")
    scales = corpus.get("scales", {}) if isinstance(corpus, dict) else {}
    for name, (low, high) in typed(Mapping[str, Sequence[float]], scales, "about.corpus.scales").items():
        if not low < high:
            raise ValueError(f"the lowest rating of {name} must be below the highest; got {low} and {high}")


def _normalisation(document: Mapping[str, Any]) -> Normalisation:
    mean, std = (np.array(document["normalisation"][name], dtype=np.float32) for name in ("mean", "std"))
    if mean.shape != (document["bins"],) or std.shape != mean.shape:
        raise ValueError(f"normalisation must have {document['bins']} bins; got {mean.shape} and {std.shape}")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ValueError("normalisation must be finite, with deviations above 0")
    return Normalisation(mean, std)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}
