"""How much disk the features in a cache may take: stores that nobody has used for longest make room for new ones.

A process that has a store open holds a shared lock on its description, and such a store is never deleted.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ser_core.features.cache import DESCRIPTION, stores_folder

DEFAULT_SHARE = 0.5
"""Of what a disk has for features: what is free, and what they take already."""


def cached_bytes(cache_dir: Path) -> int:
    """What the features in a cache take."""
    return sum(_size(folder) for folder in _stores(cache_dir))


def default_limit(cache_dir: Path) -> int:
    """`DEFAULT_SHARE` of the disk, in bytes, less what others than features take."""
    there = next(parent for parent in (cache_dir.resolve(), *cache_dir.resolve().parents) if parent.exists())
    return int(DEFAULT_SHARE * (shutil.disk_usage(there).free + cached_bytes(cache_dir)))


def make_room(cache_dir: Path, limit_bytes: int) -> list[str]:
    """Delete the stores that were not used for longest, until the rest takes no more than the limit -> their names.

    What a running process has open stays, also beyond the limit.
    """
    folders = sorted(_stores(cache_dir), key=_last_used)
    taken, deleted = sum(map(_size, folders)), []
    for folder in folders:
        if taken <= limit_bytes:
            break
        size = _size(folder)
        if _delete(folder):
            taken -= size
            deleted.append(folder.name)
    return deleted


def _stores(cache_dir: Path) -> list[Path]:
    folder = stores_folder(cache_dir)
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if (path / DESCRIPTION).is_file() and not path.suffix]


def _size(folder: Path) -> int:
    size = 0
    with suppress(OSError):  # another process deletes it
        size = sum(path.stat().st_size for path in folder.iterdir())
    return size


def _last_used(folder: Path) -> float:
    try:
        return (folder / DESCRIPTION).stat().st_mtime
    except OSError:
        return 0.0


def _delete(folder: Path) -> bool:
    """Delete a store unless a process holds it or makes it anew."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    try:
        with (folder / DESCRIPTION).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = folder.with_suffix(".tmp")
            shutil.rmtree(gone, ignore_errors=True)
            os.rename(folder, gone)  # it is there as a whole or not at all
        shutil.rmtree(gone, ignore_errors=True)
    except OSError:  # held; or a file system that cannot tell
        return False
    finally:
        lock.release()
    return True
