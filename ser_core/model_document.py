"""What a model folder holds on disk: its two files, read and checked. `ser_core.artifact` makes models of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ser_core.architectures import architecture
from ser_core.config import Config
from ser_core.earlier_settings import present_settings
from ser_core.errors import UserError
from ser_core.json_document import DocumentError, read_object

FORMAT = "ser-model-1"
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
_KINDS: Mapping[str, type] = {
    "architecture": str,
    "settings": dict,
    "classes": list,
    "clip_frames": int,
    "bins": int,
    "normalisation": dict,
    "weights_sha256": str,
    "about": dict,
}
"""Keys of `config.json` that must be there, and what their values are."""


class ArtifactError(UserError, RuntimeError):
    """A model folder that cannot be used; the message says what is wrong with it and what to do."""


def read_document(folder: Path) -> dict[str, Any]:
    """What `config.json` of a model folder holds.

    Raises:
        ArtifactError: no model folder, or one that is damaged.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ArtifactError(f"{folder} is no model folder: it holds no {CONFIG_FILE}")
    try:
        document = read_object(path)
    except DocumentError as error:
        raise ArtifactError(f"{error}; copy the whole model folder again") from error
    if document.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} must have the format {FORMAT!r}; got {document.get('format')!r}: train the model anew"
        )
    missing = [key for key in _KINDS if key not in document]
    if missing:
        raise ArtifactError(f"{path} lacks {', '.join(missing)}; copy the whole model folder again")
    for key, kind in _KINDS.items():
        if not isinstance(document[key], kind):
            found = str(document[key])[:60]
            raise ArtifactError(f"{path}: {key} must be of type {kind.__name__}; got {found}: copy the folder again")
    return document


def document_config(document: Mapping[str, Any]) -> Config:
    """The configuration that a model was trained with.

    Raises:
        ConfigError: an architecture or settings that this version does not know.
    """
    name, settings = document["architecture"], present_settings(document["settings"])
    return Config(architecture=name, model=architecture(name).Config()).with_params(settings)


def document_weights(folder: Path, document: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights beside a document, on the CPU.

    Raises:
        ArtifactError: weights that are missing, truncated, or changed since the document was written.
    """
    weights_file = folder / WEIGHTS_FILE
    if not weights_file.is_file():
        raise ArtifactError(f"{folder} holds no {WEIGHTS_FILE}; copy the whole model folder")
    if file_sha256(weights_file) != document["weights_sha256"]:
        raise ArtifactError(
            f"{weights_file} is not the file that {CONFIG_FILE} was written with (its SHA-256 differs): it was "
            f"truncated or changed; copy the whole model folder again"
        )
    try:
        return load_file(weights_file)
    except SafetensorError as error:
        raise ArtifactError(f"{weights_file} cannot be read ({error}); copy the whole model folder again") from error


def weights_sha256(folder: Path) -> str:
    """What tells the weights of a model folder from all others.

    Raises:
        ArtifactError: no model folder.
    """
    return str(read_document(folder)["weights_sha256"])


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
