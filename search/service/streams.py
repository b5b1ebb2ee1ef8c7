"""Samples as they come, and what is heard in the last seconds of them after every hop; as `ser predict --stream`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from fastapi import WebSocket, WebSocketDisconnect

from search.service.batching import Hearing, ModelFailure
from search.service.facts import ModelFacts
from search.service.limits import (
    MOST_MESSAGE_BYTES,
    MOST_RATE_HZ,
    MOST_STREAM_SECONDS,
    STREAM_IDLE_SECONDS,
    Limits,
)
from ser_core.errors import UserError
from ser_core.features.audio import LOWEST_RATE_HZ, resampled
from ser_core.last_seconds import LastSeconds
from ser_core.printer import said_of

END = "end"
"""The text message after which what is left is heard, and the stream closed."""
LEAST_HOP, MOST_HOP = 0.05, 10.0
NORMAL, POLICY_CODE, TOO_BIG, FAILED = 1000, 1008, 1009, 1011
"""Codes with which a stream is closed (RFC 6455, section 7.4.1)."""


class StreamError(UserError):
    """A stream that is ended for what it is or sends; `code` says so in the protocol."""

    def __init__(self, message: str, code: int = POLICY_CODE) -> None:
        super().__init__(message)
        self.code = code


class PcmFormat(StrEnum):
    """Little-endian mono samples; float32 has full scale 1."""

    INT16 = "int16"
    FLOAT32 = "float32"


@dataclass(frozen=True, kw_only=True)
class StreamRequest:
    """How a stream is sent.

    Attributes:
        rate: its sample rate, Hz.
        hop: from one answer to the next, s.
    """

    rate: int
    format: PcmFormat
    hop: float

    def __post_init__(self) -> None:
        if not LOWEST_RATE_HZ <= self.rate <= MOST_RATE_HZ:
            raise StreamError(f"rate must be from {LOWEST_RATE_HZ:,} to {MOST_RATE_HZ:,} Hz; got {self.rate:,}")
        if not LEAST_HOP <= self.hop <= MOST_HOP:
            raise StreamError(f"hop must be from {LEAST_HOP:g} to {MOST_HOP:g} s; got {self.hop:g}")

    @classmethod
    def of(cls, query: Any, default_rate_hz: int) -> StreamRequest:
        """What the query of an address says: rate, format and hop, each of which may be left out.

        Raises:
            StreamError: a value that is none.
        """
        try:
            kind = PcmFormat(query.get("format", PcmFormat.INT16))
        except ValueError:
            raise StreamError(f"format must be {' or '.join(PcmFormat)}; got {query['format'][:40]!r}") from None
        numbers = {"rate": query.get("rate", str(default_rate_hz)), "hop": query.get("hop", "0.5")}
        try:
            return cls(rate=int(numbers["rate"]), format=kind, hop=float(numbers["hop"]))
        except ValueError:
            raise StreamError(
                f"rate must be a whole number of Hz and hop a number of seconds; got {numbers['rate'][:40]!r} and "
                f"{numbers['hop'][:40]!r}"
            ) from None

    def samples(self, data: bytes) -> np.ndarray:
        """(samples,) float32 of a message.

        Raises:
            StreamError: half a sample, or one that is not finite.
        """
        dtype = np.dtype("<i2" if self.format is PcmFormat.INT16 else "<f4")
        if len(data) % dtype.itemsize:
            raise StreamError(f"a message must hold whole {self.format} samples; got {len(data):,} bytes")
        raw = np.frombuffer(data, dtype=dtype)
        if self.format is PcmFormat.INT16:
            return raw.astype(np.float32) / 32_768
        if not np.isfinite(raw).all():
            raise StreamError("samples must be finite; got NaN or infinity")
        return raw.astype(np.float32)


class Windows:
    """The last seconds of a stream after every hop of it."""

    def __init__(self, request: StreamRequest, clip_seconds: float) -> None:
        self._stream = LastSeconds(clip_seconds, request.rate)
        self._hop = max(1, round(request.hop * request.rate))
        self._pending = np.empty(0, dtype=np.float32)

    @property
    def seconds(self) -> float:
        """Where the last window ends."""
        return self._stream.seconds

    def after(self, samples: np.ndarray) -> Iterator[tuple[float, np.ndarray | None]]:
        """The windows that samples (samples,) complete: where each ends, s, and (samples,), None for silence."""
        pending = np.concatenate([self._pending, samples])
        whole = len(pending) // self._hop * self._hop
        self._pending = pending[whole:]
        yield from map(self._next, pending[:whole].reshape(-1, self._hop))

    def rest(self) -> Iterator[tuple[float, np.ndarray | None]]:
        """The window that ends with the stream, unless that was the last one."""
        if len(self._pending):
            yield self._next(self._pending)

    def _next(self, block: np.ndarray) -> tuple[float, np.ndarray | None]:
        window = self._stream.after(block)
        return self.seconds, window


async def serve_stream(
    socket: WebSocket, request: StreamRequest, hearing: Hearing, model: ModelFacts, limits: Limits
) -> None:
    """Answer a stream until it ends; one message a hop, in order.

    Raises:
        StreamError: a stream that must be ended.
        WebSocketDisconnect: it was ended.
    """
    windows, said = Windows(request, model.clip_seconds), said_of(model.target)
    async for data in _messages(socket):
        ready = windows.rest() if data is None else windows.after(request.samples(data))
        for seconds, window in ready:
            told = None
            if window is not None:
                own = await asyncio.to_thread(resampled, window, request.rate, model.sample_rate_hz)
                told = await _heard(hearing, own, limits)
            await socket.send_json({"seconds": seconds, **said.document(told)})
        if windows.seconds > MOST_STREAM_SECONDS:
            raise StreamError(f"a stream may have up to {MOST_STREAM_SECONDS:,} s: open another one")


async def _messages(socket: WebSocket) -> AsyncIterator[bytes | None]:
    """The samples of each message; None for its end."""
    while True:
        try:
            async with asyncio.timeout(STREAM_IDLE_SECONDS):
                message = await socket.receive()
        except TimeoutError:
            raise StreamError(f"nothing came for {STREAM_IDLE_SECONDS:g} s: open another stream") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", NORMAL))
        data, text = message.get("bytes"), message.get("text")
        if data is None:
            if text != END:
                raise StreamError(f"a stream takes binary messages of samples, and the text {END!r} when it is over")
            yield None
            return
        if len(data) > MOST_MESSAGE_BYTES:
            raise StreamError(f"a message may have up to {MOST_MESSAGE_BYTES:,} bytes; got {len(data):,}", TOO_BIG)
        yield data


async def _heard(hearing: Hearing, samples: np.ndarray, limits: Limits) -> np.ndarray:
    try:
        async with asyncio.timeout(limits.answer_seconds):
            return await hearing.probabilities(samples, one_crop=True)
    except TimeoutError:
        raise StreamError("the model did not come to this stream in time: open it again in a moment", FAILED) from None
    except ModelFailure as error:
        raise StreamError(str(error), FAILED) from error
