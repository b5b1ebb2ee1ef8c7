"""An uploaded request, from its bytes to samples, within the limits."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from search.service.limits import MOST_FILES, MOST_RATE_HZ, Limits, Refusal, too_large, too_slow
from ser_core.features.audio import AudioError, read_audio

FIELD = "files"
READERS = 2
"""Files that are decoded at a time."""
_MIB = 1 << 20
_MOST_NAME = 200
_MOST_FIELD_BYTES = 4096  # of what is no file, and nobody reads; its character set is the client's to choose


async def uploaded_files(request: Request, limits: Limits) -> list[UploadFile]:
    """The files of a multipart request, on disk where they are large; `close` each.

    Raises:
        Refusal: a request that is too large, too slow, has too many files or none, or is no multipart form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"files come as multipart/form-data in the field {FIELD!r}, as with curl -F {FIELD}=@clip.wav; got "
            f"{kind or 'nothing'}",
        )
    try:
        form = await Request(request.scope, _Bounded(request, limits)).form(
            max_files=MOST_FILES, max_fields=MOST_FILES, max_part_size=_MOST_FIELD_BYTES
        )
    except ClientDisconnect:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the request ended before it was whole") from None
    except HTTPException as error:  # of the parser, in its own words
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the form cannot be read: {error.detail}") from error
    except UnicodeError as error:  # by a character set that the client names
        raise Refusal(HTTPStatus.BAD_REQUEST, "the form cannot be read: its names must be in UTF-8") from error
    files = [value for value in form.getlist(FIELD) if isinstance(value, UploadFile)]
    if not files:
        await form.close()
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"a request has one or more files in the field {FIELD!r}; got {', '.join(form) or 'none'}",
        )
    if len(files) > limits.queue:  # for which there is never room, however often they are sent
        await form.close()
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request may have up to {limits.queue} files here, and this one has {len(files)}: send them in several",
        )
    return files


class _Bounded:
    """What a request receives, until it is too much or too late.

    A body that is too large is read on for a while, and dropped: a client that still sends does not see the answer.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._receive, self._limits = request.receive, limits
        self._until = time.monotonic() + limits.receive_seconds
        self._most = limits.request_mib * _MIB
        self._had = 0

    async def __call__(self) -> Message:
        message = await self._next()
        self._had += len(message.get("body", b""))
        if self._had <= self._most:
            return message
        while self._had <= 4 * self._most and message.get("more_body"):
            message = await self._next()
            self._had += len(message.get("body", b""))
        raise too_large(self._limits)

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._until - time.monotonic()):
                return await self._receive()
        except TimeoutError:
            raise too_slow(self._limits) from None


class Reader:
    """Decodes uploaded files in threads of its own."""

    def __init__(self, sample_rate_hz: int, limits: Limits) -> None:
        self._rate_hz, self._limits = sample_rate_hz, limits
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    async def samples(self, file: UploadFile) -> np.ndarray:
        """Speech (samples,) float32 at the model's rate.

        Raises:
            AudioError: no usable speech, see `ser_core.features.audio.decode`, or more than the limits allow.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, file.file, file.filename or "")

    def close(self) -> None:
        """Wait for what is being decoded."""
        self._threads.shutdown()

    def _read(self, file: BinaryIO, name: str) -> np.ndarray:
        suffix = re.search(r"\.[A-Za-z0-9]{1,8}$", name)  # by which libsndfile knows some formats
        with tempfile.NamedTemporaryFile(prefix="upload-", suffix=suffix[0] if suffix else "") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            path = Path(copy.name)
            try:
                _check_rate(path)
                return read_audio(path, self._rate_hz, most_seconds=self._limits.file_seconds)
            except AudioError as error:
                raise AudioError(str(error).replace(str(path), shown_name(name))) from error


def _check_rate(path: Path) -> None:
    try:
        rate_hz = soundfile.info(path).samplerate
    except Exception:  # soundfile has several of its own; reading the file gives the reason
        return
    if rate_hz > MOST_RATE_HZ:
        raise AudioError(f"its sample rate is {rate_hz:,} Hz; up to {MOST_RATE_HZ:,} Hz are served: resample it")


def shown_name(name: str | None) -> str:
    """A file's name as the answer repeats it."""
    return (name or "unnamed")[:_MOST_NAME].encode(errors="replace").decode()
