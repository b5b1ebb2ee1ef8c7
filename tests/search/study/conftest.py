"""A PostgreSQL server for the tests of storages."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of its own on this machine, as the URL of its empty database: with a password it lets in."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: float(path.parent.name))
    if programs is None or not (programs / "initdb").exists():
        pytest.skip("needs the programs of a PostgreSQL server below /usr/lib/postgresql; Debian's package: postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # short, since the path of a socket may have 107 characters
    try:
        with _server(programs, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(programs: Path, folder: Path) -> Iterator[str]:
    """Starts the server, which ends with this process, and yields its URL. The server refuses to run as root."""
    as_user = ["setpriv", "--pdeathsig=QUIT"]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    (folder / "password").write_text("s3cret@word")
    (folder / "password").chmod(0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    make = [programs / "initdb", "-D", folder / "data", "-U", "ser", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8"]
    subprocess.run([*as_user, *make, f"--pwfile={folder / 'password'}"], check=True, capture_output=True, cwd=folder)
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off", "-c", "max_connections=200"]
    with (folder / "log").open("wb") as log:
        run = [*as_user, programs / "postgres", "-D", folder / "data", *options]
        server = subprocess.Popen(run, stderr=log, cwd=folder)
    try:
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        limit = time.monotonic() + 60
        while subprocess.run(ready).returncode != 0:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < limit, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"postgresql://ser:s3cret%40word@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nobody wants its data
        server.wait(timeout=60)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of a database that no other test has."""
    name = f"test_{random.SystemRandom().getrandbits(64):x}"
    engine = create_engine(make_url(postgres_server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
