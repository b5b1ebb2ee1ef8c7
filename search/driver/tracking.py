"""Trackers beside a run: a process each, which reads what the run writes, so that none can delay or end a search."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import search
from search.driver.options import Options
from search.tracking.destination import Destination, destinations_of
from search.tracking.sent_file import followed, read_sent, sent_path
from search.wording import printable
from ser_core.config import ConfigError

REACHED_SECONDS, UNREACHED_SECONDS = 120.0, 10.0
"""At the end of a run, longest wait for a tracker to which nothing moves any more, and for one that was not reached."""
_ROOT = str(Path(search.__file__).resolve().parents[1])


def asked_destinations(options: Options, folder: Path | None) -> tuple[Destination, ...]:
    """Where a run is to be sent: what `--track` says, else where earlier sessions of it were sent.

    Args:
        folder: of the run that goes on, None for a new one.

    Raises:
        ConfigError: a tracker that cannot be used; an experiment without one.
    """
    if options.track is not None:
        return destinations_of(options.track, options.experiment or "")
    if options.experiment is not None:
        raise ConfigError(f"--experiment {options.experiment} names one of a tracker; give --track too")
    return () if folder is None else followed(folder)


@contextmanager
def tracked(
    folder: Path,
    destinations: Sequence[Destination],
    log: Callable[[str], None],
    away: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[None]:
    """Send the run in `folder` to trackers while the block lasts, and what is left at its end.

    Args:
        log: gets a line when a tracker cannot be reached, and on what was left.
        away: what is left is sent in a block of it, in which other runs of this process may go on.
    """
    senders = [_Sender(folder, destination, log) for destination in destinations]
    try:
        yield
    finally:
        if senders:
            with away():
                for sender in senders:
                    sender.finish()


class _Sender:
    """The process of one destination."""

    def __init__(self, folder: Path, destination: Destination, log: Callable[[str], None]) -> None:
        self._folder, self._destination, self._log = folder, destination, log
        path = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "search.tracking.beside", str(folder), *vars(destination).values()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # out of reach of Ctrl-C, after which there is something left to send
            env={**os.environ, "PYTHONPATH": path},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._log(printable(line.rstrip()))

    def finish(self) -> None:
        """Tell it that the run has ended, and wait for as long as there is something left that moves."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            sent = self._wait()
        finally:
            self._process.kill()
            self._process.wait()
            self._listener.join()
        if not sent:
            self._log(
                f"Not everything was sent to {self._destination}. Send what is left with:\n  ser track "
                f"{shlex.quote(str(self._folder))} {self._destination.options}"
            )

    def _wait(self) -> bool:
        """True when everything was sent."""
        moved, since = self._moved(), time.monotonic()
        while self._process.poll() is None:
            if (now := self._moved()) != moved:
                moved, since = now, time.monotonic()
            if time.monotonic() - since > self._patience():
                return False
            time.sleep(0.05)
        return self._process.returncode == 0

    def _moved(self) -> float:
        path = sent_path(self._folder, self._destination)
        return path.stat().st_mtime if path.exists() else 0.0

    def _patience(self) -> float:
        kept = read_sent(sent_path(self._folder, self._destination))
        return UNREACHED_SECONDS if kept is not None and kept.problem else REACHED_SECONDS
