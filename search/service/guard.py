"""What holds for every answer: headers that forbid a browser what the page does not need, and a count of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.service.limits import Refusal
from search.service.metrics import Metrics

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}
OTHER = "other"
"""In the metrics, every path that does not exist: names of paths are a client's to invent."""


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception:  # of any part: the answer has no traceback, the log has
            log.exception("A request to %s failed.", scope["path"])
            if not status:  # nothing of the answer has left
                failed = problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed; the reason is in its log")
                await failed(scope, receive, guarded)
        finally:
            path = scope["path"] if scope["path"] in self._paths else OTHER
            self._metrics.request(path, status, time.monotonic() - began)


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a page of another site has a browser send.

    Raises:
        Refusal: an origin that is not the address asked.
    """
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "requests of a browser must come from this service's own page: a proxy in front of it must pass the "
            "header Host on",
        )


def problem(status: int, message: str, headers: Any = None) -> JSONResponse:
    """An answer that says what is wrong."""
    return JSONResponse({"error": message}, status_code=status, headers=headers)
