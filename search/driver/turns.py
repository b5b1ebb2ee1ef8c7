"""One thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets one thread at a time go on: of those that wait, the one that has come furthest, then the first in order.

    Those that come last do so when no other waits.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._taken = False
        self._own = threading.local()

    @contextmanager
    def turn(self, number: int, *, last: bool = False) -> Iterator[None]:
        """The turn of the thread of that number, until the block ends."""
        self._own.rank = (int(last), number)
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Within a turn: leave it to others while the block lasts; who comes back has come further."""
        self._give()
        try:
            yield
        finally:
            further, number = self._own.rank
            self._own.rank = (further - 1, number)
            self._take()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        with self._changed:
            return len(self._waiting)

    def _take(self) -> None:
        with self._changed:
            self._waiting.append(self._own.rank)
            self._changed.wait_for(lambda: not self._taken and min(self._waiting) == self._own.rank)
            self._waiting.remove(self._own.rank)
            self._taken = True

    def _give(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()
