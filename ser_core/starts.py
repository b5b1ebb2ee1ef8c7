"""A trained model as the start of another: its folder, what of both must agree, and its weights.

Corpora and classes may differ. Where classes do, the classifier, which every architecture calls `head`, keeps its own
first weights. Features are normalised by the new training clips, as in any training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ser_core.architectures import architecture, without_pretrained
from ser_core.config import Config, ConfigError, Value
from ser_core.ensemble import ENSEMBLE_FILE, member_folders, models_of
from ser_core.json_document import DocumentError, read_object
from ser_core.model_document import CONFIG_FILE, ArtifactError, document_config, document_weights, read_document
from ser_core.modules.trained_state import frozen_sha256, load_trained_state, trained_state

HEAD = "head."
"""What the names of the classifier's weights begin with."""
CUT = ("features.clip_seconds", "features.crop")
"""Settings of features that may differ: how much of a clip is seen, as far as the architecture takes any length."""


def find_start(text: str) -> Path | None:
    """The model folder that a path means; None for what is none, such as an encoder's folder or a name on a hub.

    Of a run or an ensemble, whose models differ in the seed alone, it is the first.

    Raises:
        ArtifactError: an ensemble that is damaged.
    """
    folder = Path(text).expanduser()
    if not folder.is_dir():
        return None
    models = models_of(folder)
    if (models / ENSEMBLE_FILE).is_file():
        return member_folders(models)[0].resolve()
    try:
        format_ = read_object(folder / CONFIG_FILE).get("format") if (folder / CONFIG_FILE).is_file() else None
    except DocumentError:
        return None  # who takes the folder for an encoder says what is wrong with it
    return folder.resolve() if str(format_).startswith("ser-model-") else None


def start_config(folder: Path) -> Config:
    """The configuration of a model to begin with, with nothing to fetch: the weights come from the folder.

    Raises:
        ArtifactError: a folder that is damaged, or of an architecture or with settings that this version lacks.
    """
    try:
        return without_pretrained(document_config(read_document(folder)))
    except ConfigError as error:
        raise ArtifactError(f"{folder / CONFIG_FILE} is not of a model that this version knows: {error}") from error


def kept_settings(config: Config) -> dict[str, Value]:
    """Settings of a model to begin with that the new one must share: what gives features and weights their meaning."""
    free = {f"model.{name}" for name in getattr(architecture(config.architecture), "TRAINING_ONLY", ())}
    return {
        name: value
        for name, value in config.params().items()
        if name.startswith(("features.", "model.")) and name not in {*free, *CUT}
    }


def begin_with(folder: Path, model: nn.Module, config: Config, classes: Sequence[str]) -> None:
    """Copy the weights of the model in a folder into `model`, in place.

    Args:
        config: that `model` was built from.
        classes: its classes; where the folder's are others, or in another order, the head stays as it is.

    Raises:
        ConfigError: another architecture, other features or settings, each named; or weights of other shapes.
        ArtifactError: a folder that is damaged, or that goes with other frozen weights than `model` has.
    """
    document, theirs = read_document(folder), start_config(folder)
    if problems := _differences(theirs, without_pretrained(config)):
        raise ConfigError(f"the model to begin with, {folder}, does not agree with this run:\n" + "\n".join(problems))
    if document.get("frozen_sha256", "") not in ("", frozen_sha256(model)):
        raise ArtifactError(
            f"{folder} keeps only what training changed of encoder {theirs.features.encoder!r}, and that has other "
            f"weights on this machine: get the encoder that it was trained on"
        )
    weights, own = document_weights(folder, document), trained_state(model)
    if tuple(document["classes"]) != tuple(classes):
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(HEAD)}
        weights |= {name: tensor for name, tensor in own.items() if name.startswith(HEAD)}
    try:
        load_trained_state(model, weights)
    except RuntimeError as error:  # names or shapes that differ, as with another length of a clip
        seen = {name: (theirs.params()[name], config.params()[name]) for name in CUT}
        cut = "; ".join(f"{name} is {one!r} there, {other!r} here" for name, (one, other) in seen.items())
        raise ConfigError(
            f"the weights of the model to begin with, {folder}, do not fit {config.architecture} here ({cut}): "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


def _differences(theirs: Config, ours: Config) -> list[str]:
    """What must be equal and is not, a line each."""
    if theirs.architecture != ours.architecture:
        return [f"  model: {theirs.architecture} there, {ours.architecture} here"]
    mine = ours.params()
    return [
        f"  {name}: {value!r} there, {mine[name]!r} here"
        for name, value in kept_settings(theirs).items()
        if mine[name] != value
    ]
