"""Models that an algorithm of their own fits to all clips at once, where others take gradient steps."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from ser_core.config import Config
from ser_core.features.device_clips import DeviceClips
from ser_core.inference import evaluate


@runtime_checkable
class FitsItself(Protocol):
    """A module whose weights come from a solver, not from gradients of a loss.

    What it has learned is its state: after `fit_clips` the `state_dict` holds all that `forward` needs, and a module
    that grows takes the size of a state that it is given. Checkpoints, model folders and refits then need to know
    nothing of how it was fitted.
    """

    def fit_clips(self, features: Tensor, labels: Tensor, weights: Tensor, *, epoch: int, config: Config) -> None:
        """Bring the module to where it is after `epoch` epochs, whatever its state was before.

        The same arguments give the same state, bit by bit, also where the epochs before were fitted by another process.

        Args:
            features: (clips, frames, bins) float32 on the CPU, normalised; the same in every epoch of a run, as are the
                others.
            labels: (clips,) int64. weights: (clips,) float32, what each clip counts.

        Raises:
            ValueError: clips that cannot be fitted, such as none of some class.
        """


def fit_at_once(
    model: torch.nn.Module,
    clips: DeviceClips,
    rows: Tensor,
    labels: Tensor,
    class_weights: Tensor | None,
    *,
    epoch: int,
    config: Config,
) -> float:
    """Fit a model that `FitsItself` to the clips `rows` (rows,) with `labels` (rows,) -> their mean cross entropy.

    Args:
        class_weights: (classes,); None where all clips count alike.
    """
    assert isinstance(model, FitsItself)
    weights = torch.ones(len(rows)) if class_weights is None else class_weights[labels]
    features, _ = clips.batch(rows)
    model.fit_clips(features.cpu(), labels.cpu(), weights.float().cpu(), epoch=epoch, config=config)
    return F.cross_entropy(evaluate(model, clips, rows), labels).item()


def check_every_class(labels: Tensor, classes: int) -> None:
    """Raise ValueError unless there is a clip of each class: a solver gives a class that it never saw no score."""
    if lacking := sorted(set(range(classes)) - set(labels.tolist())):
        raise ValueError(
            f"there must be clips of every class to fit; there are none of class {lacking[0]} of {classes}"
        )
