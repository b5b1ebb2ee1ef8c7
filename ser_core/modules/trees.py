"""Regression trees as arrays of nodes: sums of trees that PyTorch evaluates, saves without pickle, and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_ARRAYS = ("feature", "threshold", "left", "right", "value", "roots")


@dataclass(frozen=True)
class Tree:
    """One tree, its root first; all arrays (nodes,). Below a node with `left` -1 is nothing: it is a leaf.

    Attributes:
        feature: which value of a clip is compared. threshold: a clip goes left when that value is at most this.
        left, right: positions of nodes. value: what a leaf adds.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray


class TreeSums(nn.Module):
    """Sums over rounds of trees, one tree a round for each of `outputs` sums; without any tree they are zero.

    All nodes lie end to end in one array per attribute; a leaf leads to itself, so that every clip takes as many steps.
    Thresholds and values are float64 and trees are added in the order of their rounds, as scikit-learn does it: on the
    CPU, the sums are those of its own `decision_function` bit by bit.

    Attributes:
        steps: edges of the longest path.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs, self.steps = outputs, 0
        for name in _ARRAYS:
            kind = torch.float64 if name in ("threshold", "value") else torch.int64
            self.register_buffer(name, torch.zeros((0, outputs) if name == "roots" else 0, dtype=kind))

    def grow(self, rounds: Sequence[Sequence[Tree]]) -> None:
        """Replace all trees: rounds of `outputs` trees each."""
        trees = [tree for each in rounds for tree in each]
        starts = np.cumsum([0, *(len(tree.value) for tree in trees)])
        leaves = np.concatenate([tree.left < 0 for tree in trees])
        offsets = np.repeat(starts[:-1], np.diff(starts))
        own = np.arange(starts[-1])
        joined = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in _ARRAYS[:-1]}
        joined |= {side: np.where(leaves, own, joined[side] + offsets) for side in ("left", "right")}
        joined |= {name: np.where(leaves, 0, joined[name]) for name in ("feature", "threshold")}
        joined["roots"] = starts[:-1].reshape(-1, self.outputs)
        self._take({name: torch.from_numpy(array) for name, array in joined.items()})

    def forward(self, x: Tensor) -> Tensor:
        """(clips, values) -> (clips, outputs) float64."""
        rounds = self.roots.shape[0]
        if not rounds:
            return x.new_zeros((x.shape[0], self.outputs), dtype=self.value.dtype)
        node = self.roots.flatten().expand(x.shape[0], -1)  # (clips, rounds * outputs)
        for _ in range(self.steps):
            goes_left = x.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(goes_left, self.left[node], self.right[node])
        return self.value[node].view(-1, rounds, self.outputs).cumsum(dim=1)[:, -1]  # a sum may add in another order

    def _take(self, arrays: Mapping[str, Tensor]) -> None:
        for name, tensor in arrays.items():
            setattr(self, name, tensor.to(getattr(self, name)))
        self.steps = self._longest_path()

    def _longest_path(self) -> int:
        steps, level = 0, self.roots.flatten()
        while len(level := torch.cat([side[level][side[level] != level] for side in (self.left, self.right)])):
            steps += 1
        return steps

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *others: Any) -> None:
        """Take the size of the state, which may hold more or fewer trees."""
        found = {name: state_dict[prefix + name] for name in _ARRAYS if prefix + name in state_dict}
        if len(found) == len(_ARRAYS):
            _check(found, self.outputs)
            self._take({name: tensor.clone() for name, tensor in found.items()})
        super()._load_from_state_dict(state_dict, prefix, *others)


def _check(arrays: Mapping[str, Tensor], outputs: int) -> None:
    """Raise RuntimeError, as torch does of a state that does not fit, for arrays that are no trees."""
    nodes = len(arrays["value"])
    paths = torch.cat([arrays[name].flatten() for name in ("left", "right", "roots")])
    own = torch.arange(nodes)
    backwards = any((arrays[side].cpu() < own).any() for side in ("left", "right") if len(arrays[side]) == nodes)
    sizes = {len(arrays[name]) for name in _ARRAYS[:-1]}
    if sizes != {nodes} or arrays["roots"].shape[1:] != (outputs,) or backwards or not _within(paths, nodes):
        raise RuntimeError(f"the state holds no rounds of {outputs} trees: its nodes lead to none, or in circles")


def _within(positions: Tensor, nodes: int) -> bool:
    return not len(positions) or bool((positions >= 0).all() and (positions < nodes).all())
