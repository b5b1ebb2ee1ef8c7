"""The part of a cluster that one driver takes beside others who share it. Needs no Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from search.workers.placement import ROUNDING, Demand, Node, Request


@dataclass(frozen=True)
class Part:
    """Which of how many equal parts, counted from 0."""

    number: int = 0
    of: int = 1


WHOLE = Part()


class Taken:
    """Whether a driver may take one more place.

    Its part is its own. Beyond that it takes what the others leave free, and gives it back as its jobs end: while
    nothing is free, a driver that has more than its part takes nothing.

    Args:
        part: asked each time, as drivers end and the others' parts grow.
        free: what the whole cluster has left, in Ray's words.
    """

    def __init__(self, part: Callable[[], Part], free: Callable[[], Mapping[str, float]]) -> None:
        self._part, self._ask_free = part, free
        self._free: Mapping[str, float] = {}
        self._held: dict[str, float] | None = None  # when it was asked what is free

    def refresh(self) -> None:
        """Ask anew what is free; between two calls what was taken since is subtracted."""
        if self._part().of > 1:
            self._free, self._held = self._ask_free(), None

    def allows(
        self,
        request: Request,
        demand: Demand,
        nodes: Sequence[Node],
        at_work: Counter[Request],
        others: Counter[Request],
    ) -> bool:
        """True when a job may ask for a place; the arguments are those of `Demand.next`, and what that found."""
        part = self._part()
        if part.of == 1:
            return True
        jobs = at_work.total() + others.total()
        if demand.concurrency:
            first, beyond = (demand.concurrency * number // part.of for number in (part.number, part.number + 1))
            return jobs < beyond - first
        held = _resources(at_work + others)
        if self._held is None:
            self._held = held
        if not jobs:
            return True  # there is always room for one job, which waits where no node has come yet
        wanted = {name: amount for name, amount in _resources(Counter([request])).items() if amount}
        whole = {name: sum(node.get(name, 0.0) for node in nodes) for name in wanted}
        if all(
            held[name] - demand.surplus * amount + ROUNDING < whole[name] / part.of for name, amount in wanted.items()
        ):
            return True  # of its part; its last job may reach beyond that
        taken = {name: max(0.0, held[name] - self._held[name]) for name in wanted}
        return all(self._free.get(name, 0.0) - taken[name] + ROUNDING >= amount for name, amount in wanted.items())


def _resources(requests: Counter[Request]) -> dict[str, float]:
    """What jobs hold together, by Ray's names."""
    return {
        "CPU": sum(request.cpus * number for request, number in requests.items()),
        "GPU": sum(request.gpus * number for request, number in requests.items()),
    }
