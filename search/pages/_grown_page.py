"""A page that is built anew when the files behind it have changed."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from search.pages.html import SERVED_POLICY

BUILD_SECONDS = 2.0
BUILD_SHARE = 0.1
"""A page is built at most this often, and for at most this share of one core's time: the search wants the rest."""


class GrownPage(ABC):
    """The newest page about some files. Who derives from it says which, and how it is built."""

    policy = SERVED_POLICY

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._page, self._version, self._due = b"", "", 0.0

    def newest(self) -> tuple[bytes, str]:
        """The page and its version, which changes with it.

        Raises:
            RunFolderError, ConfigError: a folder is no readable run (any more).
        """
        with self._lock:
            version = files_version(self._files())
            if version != self._version and time.monotonic() >= self._due:
                began, worked = time.monotonic(), time.thread_time()
                self._page, self._version = self._build(), version
                self._due = began + max(BUILD_SECONDS, (time.thread_time() - worked) / BUILD_SHARE)
            return self._page, self._version

    @abstractmethod
    def _files(self) -> Iterable[Path]:
        """All that the page shows."""

    @abstractmethod
    def _build(self) -> bytes:
        """The page as the files say it now."""

    def _show_at_once(self) -> None:
        """The next page is built whenever it is asked for."""
        with self._lock:
            self._due = 0.0


def files_version(paths: Iterable[Path]) -> str:
    """Sizes and times of files as an ETag; of one that is missing, that it is."""
    known = []
    for path in paths:
        try:
            status = path.stat()
            known.append(f"{status.st_size:x}.{status.st_mtime_ns:x}")
        except (FileNotFoundError, NotADirectoryError):
            known.append("")
    return f'"{"-".join(known)}"'
