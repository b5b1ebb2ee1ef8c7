"""`ser serve` as a command: what it refuses at once, and that its end loses nothing that it accepted."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from search.serve import app
from search.service import asked
from tests.search.service.running import FINISHED, speech
from tests.search.service.test_app import audio

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 180.0


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 2
    return " ".join(done.stderr.split())


def test_what_cannot_be_served_is_refused_in_words(tmp_path: Path) -> None:
    assert f"{tmp_path} is no model folder" in refused(tmp_path, "--port", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; --port 0 takes" in refused(
            FINISHED, "--port", port
        )
    nowhere = "no address of this machine; --host takes one, such as 127.0.0.1, or 0.0.0.0 for all of them"
    for host in ("no-such-host.invalid", "192.0.2.77"):
        assert f"cannot listen on {host} port 0: {nowhere}" in refused(FINISHED, "--port", 0, "--host", host)
    assert "--max-batch" in refused(FINISHED, "--max-batch", 0)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "NEEDED", ("fastapi", "no_such_package"))
    assert "the service needs no_such_package: pip install 'ser-search[serve]'" in refused(FINISHED)


@contextmanager
def started(*options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address at which it answers."""
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "search" / "serve.py"), str(FINISHED), "--port", "0", *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, (line, process.communicate())
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_what_was_accepted_before_the_signal_is_answered_and_the_end_is_clean(number: signal.Signals) -> None:
    """Seven files wait for an eighth, of which one half has arrived when the signal comes."""
    statuses: list[int] = []
    options = ["--max-batch", 8, "--batch-window-ms", 1e9, "--answer-seconds", PATIENCE, "--receive-seconds", PATIENCE]
    with started(*options) as (process, address):
        body = audio(speech(seed=8))
        with socket.create_connection(host_of(address), timeout=PATIENCE) as eighth:
            form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="8.wav"\r\n\r\n' + body
            form += b"\r\n--x--\r\n"
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(form)}\r\n"
            eighth.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode() + form[:1000])

            def client(seed: int) -> None:
                sent = [("files", (f"{seed}.wav", audio(speech(seed=seed))))]
                statuses.append(httpx.post(f"{address}/predict", files=sent, timeout=PATIENCE).status_code)

            clients = [threading.Thread(target=client, args=(seed,)) for seed in range(7)]
            for each in clients:
                each.start()
            waiting = ""
            while "ser_queue_crops 7.0" not in waiting or "ser_queue_files 8.0" not in waiting:
                waiting = httpx.get(f"{address}/metrics", timeout=PATIENCE).text
            process.send_signal(number)
            while listens(address):
                pass
            eighth.sendall(form[1000:])
            assert eighth.recv(15) == b"HTTP/1.1 200 OK"
        for each in clients:
            each.join()
        _, errors = process.communicate(timeout=PATIENCE)
    assert statuses == [200] * 7
    assert process.returncode == 0
    assert errors == ""


def host_of(address: str) -> tuple[str, int]:
    host, port = address.removeprefix("http://").split(":")
    return host, int(port)


def listens(address: str) -> bool:
    try:
        socket.create_connection(host_of(address), timeout=PATIENCE).close()
    except ConnectionError:
        return False
    return True
