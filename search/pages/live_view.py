"""The live view: serves the page of a run, or those of a batch, while it grows, and takes the request to stop it.

The standard library's server does all of it. Dash would bring Flask and a second front end beside the page's own, whose
scripts the page's content security policy would have to let in; the figures, the tables and the policy of the file
serve here as they are, and a refresh is the same page again, of which the browser takes over what differs.

It only reads files of the folder, so it works on another machine with the same storage. What keeps others out:

- by default it listens on the loopback address alone;
- the requests that write, POST to `stop` beside a page, need a token that is drawn at every start and shown in the
  address alone;
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
from collections.abc import Callable
from pathlib import Path

from search.pages.live_batch import BatchFacts, LiveBatch
from search.pages.live_run import LivePage
from search.pages.live_server import LiveServer, is_loopback
from search.run_folder.paths import JOURNAL_FILE
from search.run_folder.run_view import read_run
from ser_core.errors import UserError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8050


class LiveError(UserError):
    """The live view cannot be served; the message says why and what to do."""


class LiveView:
    """The server of one run, or of those of a batch."""

    def __init__(
        self,
        folder: Path,
        host: str = LOOPBACK,
        port: int = 0,
        *,
        optuna_dashboard: bool = False,
        batch: BatchFacts | None = None,
    ) -> None:
        """Listen, but answer nobody before `serve`; with `optuna_dashboard` that is started as well.

        Args:
            batch: what the folder holds, where that is a batch.

        Raises:
            RunFolderError, ConfigError: the folder is no readable run.
            LiveError: an address that cannot be had, or no optuna-dashboard.
        """
        if batch is not None and optuna_dashboard:
            raise LiveError(
                f"--optuna-dashboard serves one study, and each run of {folder} has its own: --live "
                f"{folder / next(iter(batch.runs))}"
            )
        storage = "" if batch is not None else read_run(folder).plan.storage or str(folder / JOURNAL_FILE)
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
        if batch is not None:
            self._server.pages = LiveBatch(folder, batch).at
            return
        optuna_address = self._start_optuna(storage) if optuna_dashboard else ""
        page = LivePage(folder, shlex.join(["optuna-dashboard", storage]), optuna_address)
        self._server.pages = {"/": page}.get

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
