"""The requests that a live view answers, and those that it refuses."""

from __future__ import annotations

import hmac
import io
import ipaddress
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from search.pages.html import LIVE_SCRIPTS, SERVED_POLICY, script_text
from search.run_folder.run_view import RunFolderError
from ser_core.config import ConfigError

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


MOST_CONNECTIONS = 32
"""At a time, each of which has a thread; further ones are closed."""
REQUEST_SECONDS = 10.0
"""For a whole request to arrive, however many pieces it comes in."""
ANSWER_SECONDS = 120.0
"""For a whole answer to be taken: a page has a few megabytes."""


class ServedPage(Protocol):
    """What the server asks of a page; errors as `LivePage` has them.

    Attributes:
        policy: its content security policy.
    """

    policy: str

    def newest(self) -> tuple[bytes, str]:
        """The page and its version."""

    def ask_to_stop(self) -> None:
        """Have the driver of what it shows stop."""

    @property
    def finished(self) -> bool:
        """True when there is nothing to stop."""


class LiveServer(ThreadingHTTPServer):
    """Listens for requests about `pages`, which are given before the first is answered.

    Attributes:
        pages: the page at a path, None where there is none. A POST to `stop` beside it asks to stop what it shows.
    """

    daemon_threads = True
    pages: Callable[[str], ServedPage | None]

    def __init__(self, host: str, port: int, token: str) -> None:
        """Listen. Raises OSError for an address that cannot be had."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.token, self.names = token, _own_names(host)

    def server_bind(self) -> None:
        """Without the look-up of the machine's full name, for which a bad name server takes many seconds."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, or its end where there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away in the middle of an answer is no error to print; others are."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: LiveServer
    server_version, sys_version = "ser-search", ""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Arriving(self.connection, time.monotonic() + REQUEST_SECONDS))

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._host_is_ours():
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This is not the name of the machine that serves the page.")
        elif path[1:] in LIVE_SCRIPTS:
            self._answer(HTTPStatus.OK, _script(path[1:]), kind="text/javascript")
        elif page := self.server.pages(path):
            self._page(page)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        origin, token = self.headers.get("Origin"), self.headers.get("X-Token", "")
        path = urlsplit(self.path).path
        page = self.server.pages(path.removesuffix("stop")) if path.endswith("/stop") else None
        if not self._host_is_ours():
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This is not the name of the machine that serves the page.")
        elif page is None:
            self._answer(HTTPStatus.NOT_FOUND, "There is no such action.")
        elif origin is not None and origin != f"http://{self.headers['Host']}":
            self._answer(HTTPStatus.FORBIDDEN, "A request to stop must come from the page itself.")
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.FORBIDDEN, "This takes the token in the address that was printed at the start.")
        else:
            self._stop(page)

    def _page(self, served: ServedPage) -> None:
        try:
            page, version = served.newest()
        except (RunFolderError, ConfigError, OSError) as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, f"The page cannot be made: {error}")
            return
        if self.headers.get("If-None-Match") == version:
            self._answer(HTTPStatus.NOT_MODIFIED, b"", version=version)
        else:
            self._answer(HTTPStatus.OK, page, kind="text/html", version=version, policy=served.policy)

    def _stop(self, page: ServedPage) -> None:
        if page.finished:
            self._answer(HTTPStatus.CONFLICT, "The run has finished; there is nothing to stop.")
            return
        try:
            page.ask_to_stop()
        except OSError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"The request could not be left in the run folder: {error}")
            return
        self._answer(HTTPStatus.ACCEPTED, "The search has been asked to stop.")

    def _host_is_ours(self) -> bool:
        """True for an address in digits, which no web site can have point elsewhere, and for this machine's names."""
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        except ValueError:  # no address at all
            return False
        return name in self.server.names or _address(name) is not None

    def _answer(
        self,
        status: HTTPStatus,
        body: bytes | str,
        *,
        kind: str = "text/plain",
        version: str = "",
        policy: str = SERVED_POLICY,
    ) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.connection.settimeout(ANSWER_SECONDS)  # of all that a call sends
        self.send_response(status)
        self.send_header("Content-Security-Policy", f"{policy}; frame-ancestors 'none'")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if version:
            self.send_header("ETag", version)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal may be the search's own."""


class _Arriving(io.RawIOBase):
    """What a socket receives until a moment, of the monotonic clock; a time-out of its own begins anew with each byte.

    Raises TimeoutError then.
    """

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long to arrive")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def is_loopback(host: str) -> bool:
    """True when nobody beyond this machine reaches `host`."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _own_names(host: str) -> frozenset[str]:
    """Names by which a browser may call this machine; that of the machine itself only where others reach it."""
    names = {"localhost", host.lower()}
    return frozenset(names if is_loopback(host) else names | {socket.gethostname().lower(), socket.getfqdn().lower()})


@cache
def _script(name: str) -> bytes:
    return script_text(name).encode()
