"""The application under uvicorn: one process, until it is asked to end."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from search.pages.live_server import is_loopback
from search.service.app import create_app
from search.service.asked import LOOPBACK, Asked, ServiceError
from search.service.batching import Batcher
from search.service.limits import HEAD_SECONDS, MOST_CONNECTIONS, MOST_MESSAGE_BYTES, Limits
from search.service.loading import load_service_model
from search.service.metrics import Metrics
from search.service.service import Service

MOST_HEAD_BYTES = 1 << 16
"""Of a request's head."""


def serve(asked: Asked, say: Callable[[str], object]) -> None:
    """Answer until SIGTERM or Ctrl-C; then answer what was accepted, and end.

    Args:
        say: is given the address, once it answers.

    Raises:
        ServiceError: an address that cannot be had.
        ArtifactError, PretrainedError, OnnxModelError: see `search.service.loading`.
    """
    with _listening(asked.host, asked.port) as place, application(asked) as app:
        server = server_of(app, asked.limits)
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn has its own, and sends these again once it has ended
            signal.signal(number, lambda *_: setattr(server, "should_exit", True))
        host = f"[{asked.host}]" if ":" in asked.host else asked.host
        say(f"Serving {asked.model} at http://{host}:{place.getsockname()[1]}/\nCtrl-C ends it once all is answered.")
        if not is_loopback(asked.host):
            say(f"It listens on {asked.host}: whoever reaches it there may ask, and nothing is encrypted.")
        server.run(sockets=[place])


@contextmanager
def application(asked: Asked) -> Iterator[ASGIApp]:
    """The application with its model in this process, whose threads end with the block."""
    with tempfile.TemporaryDirectory(prefix="ser-serve-") as scratch:
        model, facts = load_service_model(asked.model, asked.engine, asked.device, Path(scratch))
    metrics = Metrics()
    batcher = Batcher(model, metrics, most_crops=asked.max_batch, window_ms=asked.batch_window_ms)
    service = Service(hearing=batcher, model=facts, limits=asked.limits, metrics=metrics, healthy=lambda: batcher.alive)
    try:
        yield create_app(service)
    finally:
        service.reader.close()
        batcher.close()


def _listening(host: str, port: int) -> socket.socket:
    """Before the model is loaded, since whoever names a taken port should not wait for that."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ServiceError(f"cannot listen on {host} port {port}: {_why_not(error)}") from error


def _why_not(error: OSError) -> str:
    number = error.errno or 0
    if number < 0 or number == errno.EADDRNOTAVAIL:  # below 0 are codes of getaddrinfo, which knows no such name
        return f"no address of this machine; --host takes one, such as {LOOPBACK}, or 0.0.0.0 for all of them"
    words = os.strerror(number)  # those of `error` repeat the address
    return f"{words}; {'ports from 1024 on are free' if number == errno.EACCES else '--port 0 takes a free one'}"


def server_of(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """uvicorn, with bounds on connections and heads, which the application never sees."""
    config = uvicorn.Config(
        app,
        http=_PatientProtocol,
        loop="asyncio",
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # what inflates is a way to fill the memory
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        timeout_graceful_shutdown=round(limits.receive_seconds + limits.answer_seconds) + 1,
        lifespan="off",
        access_log=False,
        server_header=False,
        log_level="warning",
    )
    return uvicorn.Server(config)


class _PatientProtocol(H11Protocol):
    """Waits so long for the head of a request, however busy it looks, and has so many connections."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
        else:
            self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # it is there
            self._forget_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
