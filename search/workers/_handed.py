"""What travels to workers: put into Ray's object store once, fetched once by each process."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import ray

MOST_KEPT = 16
"""Fetched objects that a process keeps: those of the runs that it works for."""


class Handed:
    """Something in Ray's object store; small, so that it travels with every job."""

    def __init__(self, value: Any) -> None:
        self._reference = ray.put(value)

    def fetch(self) -> Any:
        """The same object at every call in this process, as long as few others are fetched."""
        return fetched(self._reference)

    def __deepcopy__(self, memo: object) -> Handed:
        return self


@lru_cache(maxsize=MOST_KEPT)
def fetched(reference: ray.ObjectRef) -> Any:
    """What lies in the object store, once per process: a manifest of 100,000 clips takes half a second to unpack."""
    return ray.get(reference)
