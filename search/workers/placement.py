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

    def next(
        self, nodes: Sequence[Node], at_work: Counter[Request], others: Counter[Request] | None = None
    ) -> Request | None:
        """What the next job is to ask for: a place on the kind of GPU with most room; None when there is none.

        There is always room for one job, which waits where no node has come yet.

        Args:
            at_work: what the jobs at work asked for.
            others: likewise, jobs of runs that ask for something else, on the same nodes.
        """
        count = at_work.total()
        if others:
            nodes, count = without(nodes, others), count + others.total()
        room = self.fits(nodes) + self.surplus + (others.total() if others else 0)
        if count >= (self.concurrency or max(1, room)):
            return None
        taken = Counter[str]()
        for request, number in at_work.items():
            taken[request.kind] += number
        return max(self.requests, key=lambda request: self._fits(request, nodes) - taken[request.kind])

    def _fits(self, request: Request, nodes: Sequence[Node]) -> int:
        return sum(request.fits(node) for node in nodes)


def without(nodes: Sequence[Node], requests: Counter[Request]) -> list[Node]:
    """What the nodes have left beside jobs that ask for this, each on the first node that has room for it.

    That is Ray's order within a few jobs: it fills nodes, and which of them a job went to does not change how many fit
    but for what is left over.
    """
    left = [dict(node) for node in nodes]
    for request in requests.elements():
        node = next((node for node in left if request.fits(node)), None)
        if node is not None:
            node["CPU"] = node.get("CPU", 0.0) - request.cpus
            node["GPU"] = node.get("GPU", 0.0) - request.gpus
    return list(left)


def _whole(number: float) -> int:
    return math.floor(number + ROUNDING)


# -- shares of a GPU ---------------------------------------------------------------------------------------------------

HEADROOM = 0.1
"""Of a GPU's memory, kept free: fragments, and configurations that need a little more than those measured."""


def gpu_kinds(nodes: Sequence[Node]) -> set[str]:
    """Kinds of GPUs, as Ray names them; "" for one that it does not know, where it knows none."""
    with_gpu = [node for node in nodes if node.get("GPU", 0.0) > 0]
    named = {
        name.removeprefix(KIND_PREFIX) for node in with_gpu for name in node if name.startswith(KIND_PREFIX)
    }  # fmt: skip
    return named or ({""} if with_gpu else set())


def jobs_per_gpu(total: float, typical: float, largest: float, *, most: int) -> int:
    """How many jobs share a GPU, at least one.

    As many as fit if all were the largest, when that costs at most half the places; else as many as fit if all were
    typical: then the few that need more run out of memory, and are done anew with a larger share.

    Args:
        total: bytes of the GPU. typical, largest: bytes that a job needs; infinite for more than there are.
        most: that the cores beside the GPU can feed.

    Raises:
        ValueError: a job that needs nothing, or a largest that needs less than a typical one.
    """
    if not 0 < typical <= largest:
        raise ValueError(
            f"a typical job must need memory, and at most what the largest needs; got {typical}, {largest}"
        )
    safe, dense = (min(most, _whole((1 - HEADROOM) * total / need)) for need in (largest, typical))
    return max(1, safe if 2 * safe >= dense else dense)
