"""A text file that only grows, by whole lines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class AppendFile:
    """Appends whole lines, or nothing.

    A last line that a power cut tore is cut off on opening; a write that the disk refuses half-way is taken back, so
    that readers and later writes never see part of a line.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        if path.stat().st_size:
            whole = path.read_bytes().rfind(b"\n") + 1
            os.truncate(self._file.fileno(), whole)

    def append(self, lines: Iterable[str], *, sync: bool = False) -> None:
        """Append lines, without their newlines, and hand them to the operating system.

        Args:
            sync: wait until they are on the disk, where a power cut cannot take them.

        Raises:
            OSError: a full or read-only disk; the file is as it was.
        """
        data = "".join(line + "\n" for line in lines).encode()
        size = os.fstat(self._file.fileno()).st_size
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:]) or 0
            if sync:
                os.fsync(self._file.fileno())
        except OSError:
            os.truncate(self._file.fileno(), size)
            raise

    def close(self) -> None:
        self._file.close()
