"""A model hub on loopback: the part of its protocol by which the real client makes repositories, commits and fetches.

Small files travel in the commit, large ones by Git LFS, as on the real one. It keeps repositories in memory, and knows
one user by the token `secret`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "secret"
LFS_BYTES = 10_000
"""Files of at least so many bytes, and all weights, go by LFS."""


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return hashlib.sha1(json.dumps([self.commits, sorted(self.files)]).encode()).hexdigest()


REPOSITORIES: dict[str, Repository] = {}
OBJECTS: dict[str, bytes] = {}
"""LFS: digest -> content."""


class Hub(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if not self._chunked else self._chunks()
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/preupload/\w+", self.path):
            return self._preupload(found[1], json.loads(body))
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", self.path):
            return self._batch(json.loads(body))
        if found := re.match(r"/api/models/([\w.-]+/[\w.-]+)/commit/\w+", self.path):
            return self._commit(found[1], body)
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        return self._json({"error": f"unknown POST {self.path}"}, 404)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        OBJECTS[self.path.rpartition("/")[2]] = content
        self._json({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/api/whoami"):
            return self._json({"type": "user", "name": "user"}) if self._known else self._json({"error": "who?"}, 401)
        if found := re.match(r"/api/models/([\w.-]+/[\w.-]+)/(?:revision|tree)/([\w.-]+)", self.path):
            return self._info(found[1], found[2])
        if found := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)", self.path):
            return self._file(found[1], found[2], found[3])
        return self._json({"error": f"unknown GET {self.path}"}, 404)

    @property
    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    @property
    def _chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding") == "chunked"

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, asked: dict[str, Any]) -> None:
        if not self._known:
            return self._json({"error": "Invalid user token."}, 401)
        name = f"{asked.get('organization') or 'user'}/{asked['name']}"
        if name in REPOSITORIES:
            return self._json({"error": "You already created this model repo", "url": self._address(name)}, 409)
        private = asked.get("visibility") == "private"
        REPOSITORIES[name] = Repository(private=private)
        return self._json({"url": self._address(name), "name": name})

    def _preupload(self, name: str, asked: dict[str, Any]) -> None:
        if not self._known or name not in REPOSITORIES:
            return self._json({"error": "Repository not found"}, 401)
        return self._json({"files": [self._mode(file) for file in asked["files"]]})

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        large = file["size"] >= LFS_BYTES or file["path"].endswith((".safetensors", ".onnx"))
        return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def _batch(self, asked: dict[str, Any]) -> None:
        def action(one: dict[str, Any]) -> dict[str, Any]:
            upload = {"upload": {"href": f"{self._address('')}lfs/{one['oid']}"}}
            return {"oid": one["oid"], "size": one["size"], **({} if one["oid"] in OBJECTS else {"actions": upload})}

        self._json({"transfer": "basic", "objects": [action(one) for one in asked["objects"]]})

    def _commit(self, name: str, body: bytes) -> None:
        repository = REPOSITORIES[name]
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                repository.commits.append(value["summary"])
            elif item["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                content = OBJECTS[value["oid"]]
                assert (hashlib.sha256(content).hexdigest(), len(content)) == (value["oid"], value["size"])
                repository.files[value["path"]] = content
        self._json({"commitUrl": f"{self._address(name)}/commit/{repository.head}", "commitOid": repository.head})

    def _visible(self, name: str) -> Repository | None:
        repository = REPOSITORIES.get(name)
        return None if repository is None or (repository.private and not self._known) else repository

    def _info(self, name: str, revision: str) -> None:
        repository = self._visible(name)
        if repository is None:
            return self._json({"error": "Repository not found"}, 401, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", repository.head):
            return self._json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if "/tree/" in self.path:
            return self._json([self._entry(path, content) for path, content in repository.files.items()])
        siblings = [{"rfilename": path} for path in repository.files]
        return self._json({"id": name, "sha": repository.head, "private": repository.private, "siblings": siblings})

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        """A file of a tree, by the digest that git gives it."""
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return {"type": "file", "path": path, "size": len(content), "oid": oid}

    def _file(self, name: str, revision: str, path: str) -> None:
        repository = self._visible(name)
        if repository is None or path not in repository.files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = repository.files[path]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": repository.head}
        return self._send(200, content, "application/octet-stream", headers)

    def _address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{name}"

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        message = {"X-Error-Message": value["error"]} if status >= 400 else {}
        self._send(status, json.dumps(value).encode(), "application/json", {**message, **(headers or {})})

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served() -> Iterator[str]:
    """The hub's address while the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
