"""A training run on disk: one safetensors file, tensors by name and everything else as JSON in its metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ser_core.config import Config
from ser_core.json_document import parse_object
from ser_core.splits import Fold
from ser_core.targets import Emotions, Target
from ser_core.tensor_file import write_tensors
from ser_core.training.report import EpochReport
from ser_core.whole_file import defined

FORMAT = "ser-checkpoint-1"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read or belongs to another run; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training run after a whole epoch.

    The random state is not part of it: every epoch's draws follow from the seed and the epoch alone.

    Attributes:
        identity: what must be equal for a run to be continued: settings, data, split.
        reports: every epoch so far.
        best_epoch: the epoch of `best`, counted from 1; 0 where there is no validation.
        weights: the model's state after the last epoch.
        best: the model's state after `best_epoch`; empty when that is 0.
        average: state of the averaged model; empty where weights are not averaged.
        optimizer: state tensors by "<parameter index>.<name>".
        precision: what the optimiser's steps compute in; "" in a checkpoint of an earlier version.
        precision_note: see `TrainingRun`.
        machine: on which that was decided, see `machine_of`; "" in a checkpoint of an earlier version.
        earlier: reports of folds that were trained before this one, see `FoldsInTurn`.
    """

    identity: Mapping[str, Any]
    reports: Sequence[EpochReport]
    best_epoch: int
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    precision: str = ""
    precision_note: str = ""
    machine: str = ""
    earlier: Sequence[EpochReport] = ()


_GROUPS = ("weights", "best", "average", "optimizer")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write under a temporary name and rename, so that `path` never holds half a checkpoint.

    Raises:
        OSError: a full or read-only disk; what was at `path` stays.
    """
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous()
        for group in _GROUPS
        for name, tensor in getattr(checkpoint, group).items()
    }
    header = {
        "identity": checkpoint.identity,
        "best_epoch": checkpoint.best_epoch,
        "precision": checkpoint.precision,
        "precision_note": checkpoint.precision_note,
        "machine": checkpoint.machine,
        "reports": [defined(report.as_json()) for report in checkpoint.reports],
        "earlier": [defined(report.as_json()) for report in checkpoint.earlier],
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write_tensors(temporary, tensors, {"format": FORMAT, "header": json.dumps(header, allow_nan=False)})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote; tensors lie on the CPU.

    Raises:
        CheckpointError: no file, a truncated one, or one that something else wrote.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}; start the run anew without resuming")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} is a safetensors file but no checkpoint of this version: its format is "
                    f"{metadata.get('format')!r}, not {FORMAT!r}; start the run anew"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is truncated or no checkpoint ({error}); delete it and start the run anew, or restore a copy"
        ) from error
    try:
        return _of_header(parse_object(metadata["header"]), tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error!r}); delete it and start the run anew") from error


def _of_header(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
    for name, tensor in tensors.items():
        group, _, leaf = name.partition("/")
        groups[group][leaf] = tensor
    return Checkpoint(
        identity=header["identity"],
        reports=[EpochReport.of_json(fields) for fields in header["reports"]],
        earlier=[EpochReport.of_json(fields) for fields in header.get("earlier", ())],
        best_epoch=header["best_epoch"],
        precision=header.get("precision", ""),
        precision_note=header.get("precision_note", ""),
        machine=header.get("machine", ""),
        **groups,
    )


def run_identity(config: Config, fold: Fold, features: str, target: Target) -> dict[str, Any]:
    """What two runs must share for one to go on from the other's checkpoint, as JSON values.

    Args:
        features: fingerprint of the feature store.
        target: what is predicted; the usual one goes unsaid, as in checkpoints of early versions.
    """
    digests = {
        f"rows to {name}": hashlib.sha256(np.asarray(rows, dtype="<i8").tobytes()).hexdigest()[:16]
        for name, rows in (("fit", fold.fit), ("evaluate", fold.evaluate))
    }
    said = {} if target == Emotions(target.names) else {"target": [target.kind, *target.names, target.objective]}
    return {"architecture": config.architecture, **config.params(), "features": features, **digests, **said}


def check_identity(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another run.

    Raises:
        CheckpointError: every setting that differs, with both values.
    """
    differing = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    if differing:
        lines = [f"  {key}: {found.get(key)!r} in the checkpoint, {wanted.get(key)!r} asked for" for key in differing]
        raise CheckpointError(
            f"{path} was written by another run; resume with its settings or start anew:\n" + "\n".join(lines)
        )
