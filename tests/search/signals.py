"""Signals in processes that tests start."""

from __future__ import annotations

import signal

from search.interruption import SIGNALS


def heed_signals() -> None:
    """For `preexec_fn`: heed what whoever runs the tests ignores, as `nohup` and some libraries do."""
    for number in (*SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
