"""The live view: serves the page of a run while it grows, and takes the request to stop it.

The standard library's server does all of it. Dash would bring Flask and a second front end beside the page's own, whose
scripts the page's content security policy would have to let in; the figures, the tables and the policy of the file
serve here as they are, and a refresh is the same page again, of which the browser takes over what differs.

It only reads files of the run folder, so it works on another machine with the same storage. What keeps others out:

- by default it listens on the loopback address alone;
- the one request that writes, POST /stop, needs a token that is drawn at every start and shown in the address alone;
- a request must name this machine, so that no web site can read it through a name of its own (DNS rebinding), and one
  that writes must come from this page (Origin);
- there are no files to ask for: the paths that exist are listed here.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from search.interruption import request_stop, stop_requested
from search.pages.html import LiveState, build_live_page
from search.pages.live_server import LiveServer, is_loopback
from search.run_folder.paths import INSIGHT_FILE, JOURNAL_FILE, PLAN_FILE, RECORDS_FILE, RESULT_FILE, STOP_FILE
from search.run_folder.records_reader import RecordsReader
from search.run_folder.run_view import read_run
from ser_core.errors import UserError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8050
BUILD_SECONDS = 2.0
BUILD_SHARE = 0.1
"""A page is built at most this often, and for at most this share of one core's time: the search wants the rest."""


class LiveError(UserError):
    """The live view cannot be served; the message says why and what to do."""


class LivePage:
    """The newest page of a run folder, built when its files have changed."""

    def __init__(self, folder: Path, optuna_command: str, optuna_address: str) -> None:
        self._folder = folder
        self._optuna_command, self._optuna_address = optuna_command, optuna_address
        self._reader = RecordsReader(folder / RECORDS_FILE)
        self._lock = threading.Lock()
        self._page, self._version, self._due = b"", "", 0.0

    def newest(self) -> tuple[bytes, str]:
        """The page and its version, which changes with it.

        Raises:
            RunFolderError, ConfigError: the folder is no readable run (any more).
        """
        with self._lock:
            version = self._files_version()
            if version != self._version and time.monotonic() >= self._due:
                began, worked = time.monotonic(), time.thread_time()
                self._page, self._version = self._build(), version
                self._due = began + max(BUILD_SECONDS, (time.thread_time() - worked) / BUILD_SHARE)
            return self._page, self._version

    def ask_to_stop(self) -> None:
        """Leave the request in the run folder, and show it with the next page.

        Raises:
            OSError: a folder that cannot be written.
        """
        request_stop(self._folder)
        with self._lock:
            self._due = 0.0

    @property
    def finished(self) -> bool:
        return (self._folder / RESULT_FILE).exists()

    def _build(self) -> bytes:
        self._reader.update()
        records = self._reader.records
        state = LiveState(
            last=records.sessions[-1].last if records.sessions else None,
            stopping=stop_requested(self._folder),
            optuna_command=self._optuna_command,
            optuna_address=self._optuna_address,
        )
        return build_live_page(read_run(self._folder, records), state).encode()

    def _files_version(self) -> str:
        """Sizes and times of all that the page shows, as an ETag."""
        known = []
        for name in (PLAN_FILE, RECORDS_FILE, RESULT_FILE, INSIGHT_FILE, STOP_FILE):
            try:
                status = (self._folder / name).stat()
                known.append(f"{status.st_size:x}.{status.st_mtime_ns:x}")
            except FileNotFoundError:
                known.append("")
        return f'"{"-".join(known)}"'


class LiveView:
    """The server of one run."""

    def __init__(self, folder: Path, host: str = LOOPBACK, port: int = 0, *, optuna_dashboard: bool = False) -> None:
        """Listen, but answer nobody before `serve`; with `optuna_dashboard` that is started as well.

        Raises:
            RunFolderError, ConfigError: the folder is no readable run.
            LiveError: an address that cannot be had, or no optuna-dashboard.
        """
        storage = read_run(folder).plan.storage or str(folder / JOURNAL_FILE)
        self.token = secrets.token_urlsafe(24)
        try:
            self._server = LiveServer(host, port, self.token)
        except OSError as error:
            raise LiveError(
                f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes a free one"
            ) from error
        self.port = int(self._server.server_address[1])
        self._host = host
        self._optuna: subprocess.Popen[bytes] | None = None
        optuna_address = self._start_optuna(storage) if optuna_dashboard else ""
        self._server.run = LivePage(folder, shlex.join(["optuna-dashboard", storage]), optuna_address)

    @property
    def address(self) -> str:
        """Where a browser finds the page, with the token that allows to stop the search."""
        host = socket.gethostname() if self._host in ("0.0.0.0", "::") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/#token={self.token}"

    def serve(self, log: Callable[[str], object]) -> None:
        """Answer until Ctrl-C or `close`; `log` gets the address."""
        log(f"Live view: {self.address}\nCtrl-C ends the view; the search goes on.")
        if not is_loopback(self._host):
            log(f"It listens on {self._host}: whoever reaches it there can read the run, and nothing is encrypted.")
        old = _on_sigterm(_raise_interrupt)
        try:
            self._server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            pass
        finally:
            _on_sigterm(old)
            self._server.server_close()
            self._end_optuna()

    def close(self) -> None:
        """End `serve` from another thread."""
        self._server.shutdown()

    def _start_optuna(self, storage: str) -> str:
        """Start optuna-dashboard on a free port of the loopback address, whatever ours is: it lets everybody write."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        program = shutil.which("optuna-dashboard", path=path)
        if program is None:
            self._server.server_close()
            raise LiveError("--optuna-dashboard: it is not installed; pip install optuna-dashboard")
        with socket.socket() as free:
            free.bind((LOOPBACK, 0))
            port = free.getsockname()[1]
        self._optuna = subprocess.Popen(
            [program, storage, "--host", LOOPBACK, "--port", str(port), "--quiet"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return f"http://{LOOPBACK}:{port}/"

    def _end_optuna(self) -> None:
        if self._optuna is not None:
            self._optuna.terminate()
            self._optuna.wait()


def _raise_interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _on_sigterm(handler: object) -> object:
    """Exchange what SIGTERM does; only the main thread may, and elsewhere nothing needs it."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, handler)  # type: ignore[arg-type]
