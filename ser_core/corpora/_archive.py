"""Zip archives: unpacked once into a cache folder, and only what is audio."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from filelock import FileLock

from ser_core.clips import CorpusError
from ser_core.corpora._progress import Progress
from ser_core.corpora._scan import AUDIO_SUFFIXES, is_visible

MAX_UNPACKED_BYTES = 16 * 2**30
"""A bound against zip bombs: 28 times what RAVDESS takes."""


def unpacked_zip(archive: Path, cache_dir: Path, progress: Progress) -> Path:
    """The folder below `cache_dir` with the archive's audio; a changed archive gets a new folder.

    Raises:
        CorpusError: see `unpacked`.
    """
    state = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}\t{state.st_size}\t{state.st_mtime_ns}".encode()).hexdigest()[:12]
    return unpacked(archive, cache_dir / "unpacked" / f"{archive.stem}-{key}", progress=progress)


def unpacked(archive: Path, folder: Path, *, progress: Progress) -> Path:
    """Unpack the audio files of `archive` into `folder`, which appears whole or not at all.

    Raises:
        CorpusError: not a zip, damaged, encrypted, a member that is a link or points outside, more than
            `MAX_UNPACKED_BYTES`, no audio, or too little room on the disk.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # two runs may start at once
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as temporary:
            whole = Path(temporary, "whole")
            try:
                with zipfile.ZipFile(archive) as source:
                    _extract(source, _members(source, folder.parent), whole, progress)
            except (zipfile.BadZipFile, EOFError) as error:
                raise CorpusError(f"{archive} is not a whole zip archive ({error}): download it again") from error
            except CorpusError as error:
                raise CorpusError(f"{archive} was not unpacked: {error}") from error
            whole.rename(folder)
    return folder


def _members(source: zipfile.ZipFile, target: Path) -> list[zipfile.ZipInfo]:
    """The audio files to unpack, after all of them passed the checks."""
    members = [info for info in source.infolist() if _is_audio(info)]
    if not members:
        raise CorpusError(f"it holds no {' or '.join(AUDIO_SUFFIXES)} file")
    for info in members:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or PureWindowsPath(info.filename).drive or ".." in path.parts:
            raise CorpusError(f"member {info.filename!r} points outside the archive")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise CorpusError(f"member {info.filename!r} is a link")
        if info.flag_bits & 1:
            raise CorpusError(f"member {info.filename!r} is encrypted: decrypt the archive first")
    size = sum(info.file_size for info in members)  # zipfile never yields more of a member than this
    if size > MAX_UNPACKED_BYTES:
        raise CorpusError(
            f"it would unpack to {size / 2**30:.1f} GiB; at most {MAX_UNPACKED_BYTES / 2**30:.0f} are allowed"
        )
    free = shutil.disk_usage(target).free
    if size > free:
        raise CorpusError(f"it needs {size / 2**20:.0f} MiB in {target}, where {free / 2**20:.0f} are free")
    return members


def _is_audio(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts
    visible = all(is_visible(part) or part == ".." for part in parts)  # ".." is refused later, not hidden
    return not info.is_dir() and visible and info.filename.lower().endswith(AUDIO_SUFFIXES)


def _extract(source: zipfile.ZipFile, members: list[zipfile.ZipInfo], root: Path, progress: Progress) -> None:
    for done, info in enumerate(members):
        progress("Unpacking", done, len(members))
        path = root / info.filename.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open(info) as member, path.open("wb") as file:
            shutil.copyfileobj(member, file)  # verifies the member's CRC at its end
