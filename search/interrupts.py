"""Ctrl-C and SIGTERM: the first one asks, the second one insists."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The user asked to stop; everything done so far is in the run folder."""


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a flag; a second one ends the block at once, later ones are ignored.

    Raises:
        Interrupted: at the second one.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            for each in old:  # the way out ends the workers, and must not be cut short itself
                signal.signal(each, signal.SIG_IGN)
            raise KeyboardInterrupt  # no Exception: nothing on the way may take it for a failure of its own
        asked = True

    old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
