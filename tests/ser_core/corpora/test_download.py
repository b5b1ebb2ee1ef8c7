"""`--data ravdess` against a server on this machine: resuming, breaking, wrong content, no network."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_core.clips import CorpusError
from ser_core.corpora import _download, load_corpus, ravdess
from ser_core.corpora._download import DownloadError, download


def archive_bytes() -> bytes:
    """A small speech archive: four actors, two emotions, about 100 kB of noise, which does not compress."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for actor in range(1, 5):
            for emotion in (3, 4):
                clip = io.BytesIO()
                noise = np.random.default_rng([actor, emotion]).normal(0, 0.1, 6_000)
                soundfile.write(clip, noise, 16_000, subtype="PCM_16", format="WAV")
                file.writestr(f"Actor_{actor:02d}/03-01-0{emotion}-01-01-01-{actor:02d}.wav", clip.getvalue())
    return archive.getvalue()


CONTENT = archive_bytes()
MD5 = hashlib.md5(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, and which first bytes it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    break_after: int | None = None
    status: int = 200
    starts: list[int] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted and state.ranges else 0
            state.starts.append(start)
            if state.status != 200:
                self.send_error(state.status)
                return
            if start >= len(state.content):
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if state.break_after is None else body[: state.break_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}/speech.zip"
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture
def zenodo(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server in the place of Zenodo."""
    monkeypatch.setattr(ravdess, "ARCHIVE_URL", server.url)
    monkeypatch.setattr(ravdess, "ARCHIVE_MD5", MD5)
    return server


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_download_unpacks_and_is_kept(zenodo: Server, tmp_path: Path) -> None:
    seen = []
    manifest = load_corpus(
        "ravdess", skip_bad=False, classes=None, cache_dir=tmp_path, progress=lambda *report: seen.append(report)
    )
    assert len(manifest.clips) == 8
    assert manifest.corpus == "ravdess"
    assert ("Downloading speech.zip (bytes)", len(CONTENT), len(CONTENT)) in seen
    assert ("Unpacking", 7, 8) in seen
    assert not (tmp_path / "ravdess" / "speech.zip").exists()
    assert load_corpus("ravdess", skip_bad=False, classes=None, cache_dir=tmp_path) == manifest
    assert zenodo.starts == [0]


def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_download, "_BLOCK_BYTES", 1000)
    server.break_after = len(CONTENT) // 3
    target = download(server.url, tmp_path / "speech.zip", md5=MD5, progress=quiet)
    assert target.read_bytes() == CONTENT
    assert server.starts[0] == 0
    assert len(server.starts) >= 4
    assert server.starts == sorted(set(server.starts))


def test_an_earlier_call_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "speech.zip.part").write_bytes(CONTENT[:1000])
    assert download(server.url, tmp_path / "speech.zip", md5=MD5, progress=quiet).read_bytes() == CONTENT
    assert server.starts == [1000]


def test_a_part_that_was_whole_already(server: Server, tmp_path: Path) -> None:
    (tmp_path / "speech.zip.part").write_bytes(CONTENT)
    assert download(server.url, tmp_path / "speech.zip", md5=MD5, progress=quiet).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "speech.zip.part").write_bytes(b"x" * 1000)
    assert download(server.url, tmp_path / "speech.zip", md5=MD5, progress=quiet).read_bytes() == CONTENT


def test_wrong_content_is_deleted(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match=rf"has MD5 [0-9a-f]{{32}}, expected {MD5}; the file was deleted"):
        download(server.url, tmp_path / "speech.zip", md5=MD5, progress=quiet)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".zip", ".part")]


def test_a_connection_that_always_breaks_ends(server: Server, tmp_path: Path) -> None:
    (tmp_path / "speech.zip.part").write_bytes(CONTENT[:1000])
    server.break_after = 0
    with pytest.raises(DownloadError, match=r"0.0 MB are kept for the next attempt"):
        download(server.url, tmp_path / "speech.zip", md5=MD5, progress=quiet)
    assert len(server.starts) == _download.ATTEMPTS
    assert (tmp_path / "speech.zip.part").read_bytes() == CONTENT[:1000]


def test_an_error_of_the_server_is_told(zenodo: Server, load) -> None:
    zenodo.status = 503
    with pytest.raises(CorpusError, match="503 Server Error"):
        load("ravdess")
    assert len(zenodo.starts) == 1


def test_offline_names_the_other_ways(load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ravdess, "ARCHIVE_URL", "http://127.0.0.1:9/speech.zip")
    with pytest.raises(
        CorpusError,
        match=r"no connection .*offline.*--data FOLDER .*--data ARCHIVE.zip .*--data MANIFEST .*--data demo",
    ):
        load("ravdess")
