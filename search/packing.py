"""How many jobs fit on the nodes of a cluster, and which share of a GPU one of them needs.

Arithmetic alone: what a node has is a mapping of Ray's resources, and memory is measured elsewhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

Node = Mapping[str, float]
"""The resources of one node by Ray's names: "CPU", "GPU", "accelerator_type:A100" …"""

KIND_PREFIX = "accelerator_type:"
KIND_AMOUNT = 0.001
"""Of a node's one `accelerator_type`: what ties a job to nodes with that kind of GPU, as Ray itself does."""

ROUNDING = 1e-6
"""Shares are decimal fractions, which binary ones miss by less than this: three thirds fit."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one job asks of a node.

    Attributes:
        cpus: cores. gpus: GPUs, or a share of one.
        kind: of the GPU, in Ray's words; "" for any node.
    """

    cpus: float
    gpus: float
    kind: str = ""

    def bundle(self) -> dict[str, float]:
        """The request as Ray's resources."""
        tie = {KIND_PREFIX + self.kind: KIND_AMOUNT} if self.kind else {}
        return {"CPU": self.cpus, "GPU": self.gpus, **tie}

    def fits(self, node: Node) -> int:
        """How many jobs like this one fit on a node that has nothing else to do."""
        if self.kind and KIND_PREFIX + self.kind not in node:
            return 0
        counts = [_whole(node.get("CPU", 0.0) / self.cpus)] if self.cpus else []
        if self.gpus >= 1:
            counts.append(_whole(node.get("GPU", 0.0) / self.gpus))
        elif self.gpus:  # a job lies on one GPU
            counts.append(_whole(1 / self.gpus) * _whole(node.get("GPU", 0.0)))
        return min(counts, default=0)

    def larger(self) -> Request | None:
        """Twice the share of a GPU, for a job that ran out of its memory; None when it had a whole one or none."""
        if not 0 < self.gpus < 1:
            return None
        return replace(self, gpus=min(1.0, 2 * self.gpus))


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What the jobs of a run ask for, and how many may be at work.

    Attributes:
        requests: one for any node, or one for each kind of GPU.
        concurrency: jobs at work or waiting for a node; 0 for as many as fit, as the cluster grows and shrinks.
        surplus: jobs beyond those that fit, which wait: from them a cluster that scales itself learns that it should
            grow. Each is proposed earlier than it need be, so there are few.
    """

    requests: Sequence[Request]
    concurrency: int = 0
    surplus: int = 0

    def fits(self, nodes: Sequence[Node]) -> int:
        """How many jobs fit on the nodes together."""
        return sum(self._fits(request, nodes) for request in self.requests)

    def next(self, nodes: Sequence[Node], at_work: Counter[Request]) -> Request | None:
        """What the next job is to ask for: a place on the kind of GPU with most room; None when there is none.

        There is always room for one job, which waits where no node has come yet.
        """
        count = at_work.total()
        if count >= (self.concurrency or max(1, self.fits(nodes) + self.surplus)):
            return None
        taken = Counter[str]()
        for request, number in at_work.items():
            taken[request.kind] += number
        return max(self.requests, key=lambda request: self._fits(request, nodes) - taken[request.kind])

    def _fits(self, request: Request, nodes: Sequence[Node]) -> int:
        return sum(request.fits(node) for node in nodes)


def _whole(number: float) -> int:
    return math.floor(number + ROUNDING)
