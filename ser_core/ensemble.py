"""Several models used as one: a file that names their folders and weights, and the mean of what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser_core.artifact import ArtifactError, Predictor, load_model
from ser_core.hub import fetched
from ser_core.json_document import DocumentError, read_object, typed
from ser_core.targets import Target

FORMAT = "ser-ensemble-1"
ENSEMBLE_FILE = "ensemble.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsemblePredictor:
    """The weighted mean of the probabilities, or ratings, of several models; used as a `Predictor` is.

    Attributes:
        members: of the same target, its names in the same order, and of the same sample rate.
        weights: (members,), none below 0, together 1.
    """

    members: tuple[Predictor, ...]
    weights: np.ndarray

    @property
    def target(self) -> Target:
        return self.members[0].target

    @property
    def classes(self) -> tuple[str, ...]:
        return self.target.names

    @property
    def sample_rate_hz(self) -> int:
        return self.members[0].sample_rate_hz

    @property
    def clip_seconds(self) -> float:
        """The most that any member hears of a clip, s."""
        return max(member.clip_seconds for member in self.members)

    @property
    def transductive(self) -> bool:
        return any(member.transductive for member in self.members)

    @property
    def about(self) -> Mapping[str, Any]:
        """Of the first member; all come from one corpus."""
        return self.members[0].about

    @property
    def scales(self) -> Mapping[str, tuple[float, float]]:
        """See `Predictor.scales`: what any member says."""
        return {name: scale for member in self.members for name, scale in member.scales.items()}

    @property
    def synthetic(self) -> bool:
        return self.members[0].synthetic

    def mean_of(self, probabilities: Callable[[Predictor], np.ndarray]) -> np.ndarray:
        """The weighted mean of what a function says of every member, float32."""
        said = np.stack([probabilities(member) for member in self.members])
        return np.tensordot(self.weights.astype(np.float32), said, axes=1)

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """See `Predictor.probabilities`."""
        return self.mean_of(lambda member: member.probabilities(samples))

    def speaker_probabilities(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """See `Predictor.speaker_probabilities`."""
        return self.mean_of(lambda member: member.speaker_probabilities(clips))


def ensemble_document(members: Mapping[str, float]) -> dict[str, Any]:
    """What `ensemble.json` says of its members, to which a writer may add other facts.

    Args:
        members: model folder, relative to that of the file, with slashes -> weight.
    """
    return {"format": FORMAT, "members": [{"folder": name, "weight": weight} for name, weight in members.items()]}


def load_predictor(folder: Path, *, device: str | torch.device = "cpu") -> Predictor | EnsemblePredictor:
    """The model in a folder, or the ensemble where the folder holds `ensemble.json`.

    Raises:
        ArtifactError: see `load_model`; or an ensemble that is damaged, or whose members do not fit one another.
        PretrainedError: see `load_model`.
    """
    path = folder / ENSEMBLE_FILE
    if not path.exists():
        return load_model(folder, device=device)
    weights = _read(path)
    members = [load_model(folder / name, device=device) for name in weights]
    for fact in ("kind", "classes", "sample_rate_hz"):
        found = {
            name: getattr(member.target if fact == "kind" else member, fact)
            for name, member in zip(weights, members, strict=True)
        }
        if len(set(found.values())) > 1:
            raise ArtifactError(f"{path}: its members must have the same {fact}; got {found}")
    _refuse_other_scales(path, dict(zip(weights, members, strict=True)))
    return EnsemblePredictor(members=tuple(members), weights=np.array(list(weights.values())))


def _refuse_other_scales(path: Path, members: Mapping[str, Predictor]) -> None:
    """Raise `ArtifactError` for ratings whose mean is on no scale; a member that does not say its own is believed."""
    for dimension in next(iter(members.values())).target.names:
        said = {name: member.scales[dimension] for name, member in members.items() if dimension in member.scales}
        if len(set(said.values())) > 1:
            scales = "; ".join(f"{name}: {low:g} to {high:g}" for name, (low, high) in said.items())
            raise ArtifactError(f"{path}: its members must rate {dimension} on one scale; got {scales}")


def models_of(model: Path) -> Path:
    """The models of a run for its run folder, those on the hub for hf:USER/NAME; any other folder as it is.

    Raises:
        HubError: see `ser_core.hub.fetched`.
    """
    folder = fetched(model)
    inside = folder / "final"
    return inside if (inside / ENSEMBLE_FILE).is_file() and not (folder / ENSEMBLE_FILE).exists() else folder


def member_folders(folder: Path) -> list[Path]:
    """The folders of the models that stand behind a folder: those of an ensemble's members, or the folder itself.

    Raises:
        ArtifactError: an ensemble that is damaged.
    """
    path = folder / ENSEMBLE_FILE
    return [folder / name for name in _read(path)] if path.exists() else [folder]


@dataclass(frozen=True, kw_only=True)
class _Member:
    folder: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class _Document:
    format: str = ""
    members: Sequence[_Member] = ()


def _read(path: Path) -> dict[str, float]:
    """Member folder -> weight."""
    try:
        document: _Document = typed(_Document, read_object(path))
    except DocumentError as error:
        raise ArtifactError(f"{path} is damaged ({error}); copy the whole folder again") from error
    if document.format != FORMAT:
        raise ArtifactError(f"{path} must have the format {FORMAT!r}; got {document.format!r}: train anew")
    weights = {member.folder: member.weight for member in document.members}
    if not weights:
        raise ArtifactError(f"{path} names no members: each fold of a protocol has models of its own; name one fold's")
    for name in weights:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ArtifactError(f"{path}: a member must be a folder below it; got {name!r}")
    if min(weights.values()) < 0 or not math.isclose(sum(weights.values()), 1, abs_tol=1e-6):
        raise ArtifactError(f"{path}: weights must not be below 0 and must add up to 1; got {list(weights.values())}")
    return weights
