"""Downloads that resume where they broke off and are checked before anyone uses them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import requests
from filelock import FileLock

from ser_core.corpora._progress import Progress

CONNECT_SECONDS, SILENCE_SECONDS = 10, 60
"""How long to wait for a connection, and for the next bytes of one, s."""
ATTEMPTS = 5
"""Connections in a row that may break without one new byte."""
_BLOCK_BYTES = 1 << 16  # a connection that breaks loses less than this


class DownloadError(RuntimeError):
    """A file that could not be fetched; what arrived is kept for the next attempt unless it is wrong."""


def download(url: str, target: Path, *, md5: str, progress: Progress) -> Path:
    """Fetch `url` into `target`; continue what an earlier call left beside it in `<target>.part`.

    Raises:
        DownloadError: no connection, an answer other than success, a connection that breaks again and again, a file
            whose MD5 is not `md5` (it is deleted).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with FileLock(f"{target}.lock"):
        if not target.exists():
            _fetch(url, part, progress)
            found = file_md5(part)
            if found != md5:
                part.unlink()
                raise DownloadError(f"{url} has MD5 {found}, expected {md5}; the file was deleted")
            part.rename(target)
    return target


def file_md5(path: Path) -> str:
    """MD5 of a file as hexadecimal digits: a checksum against accidents, as Zenodo publishes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fetch(url: str, part: Path, progress: Progress) -> None:
    """Append to `part` until it is whole, over as many connections as it takes."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_once(url, part, progress)
        except requests.HTTPError as error:
            raise DownloadError(str(error)) from error
        except requests.RequestException as error:
            failures = failures + 1 if _size(part) <= before else 0
            unreachable = type(error) is requests.ConnectionError  # offline, say: no use in trying on
            if failures == ATTEMPTS or (unreachable and not before):
                kept = f"; {_size(part) / 1e6:.1f} MB are kept for the next attempt" if _size(part) else ""
                raise DownloadError(f"{_cause(error)}{kept}") from error
        else:
            return


def _fetch_once(url: str, part: Path, progress: Progress) -> None:
    """One connection.

    Raises:
        requests.RequestException: it could not be made, was refused or broke.
    """
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS)) as answer:
        if answer.status_code == 416:  # nothing beyond what is here: whole, or longer than the file, which MD5 tells
            return
        answer.raise_for_status()
        resumed = answer.status_code == 206 and _first_byte(answer) == have
        total = int(answer.headers.get("Content-Length", 0)) + (have if resumed else 0)
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_content(_BLOCK_BYTES):
                file.write(block)
                progress(f"Downloading {part.stem} (bytes)", file.tell(), total)


def _first_byte(answer: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cause(error: requests.RequestException) -> str:
    """The kind of failure without urllib3's nested representation of it."""
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server (offline?)"
    return str(error)
