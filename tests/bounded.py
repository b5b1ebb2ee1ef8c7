"""Limits on a block of a test in its own process: what exceeds them fails, however fast the machine is."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

MEMORY_BYTES = 2**31
"""Address space beyond what the process has when the block begins."""
CPU_SECONDS = 60.0
"""Of the process's own time, which other programs do not use up; what is tested takes milliseconds."""


@contextmanager
def bounded() -> Iterator[None]:
    """Refuse memory beyond `MEMORY_BYTES` (a MemoryError) and end what takes `CPU_SECONDS` (an AssertionError)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, _took_too_long)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, before)


def _took_too_long(*_: object) -> NoReturn:
    raise AssertionError(f"took more than {CPU_SECONDS:g} s of processor time")
