"""A stand-in on loopback for the parts of Hugging Face's hub that the lab uses."""

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
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "5c3b" * 10
TOKEN = "hf_stub"


@dataclass
class Repository:
    files: dict[str, bytes] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    tags: tuple[str, ...] = ()


@dataclass
class Hub:
    """What the hub has; `requests` are all that came, `refuse` is a status for all of them."""

    url: str
    datasets: dict[str, Repository] = field(default_factory=dict)
    models: dict[str, Repository] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    refuse: int = 0
    refuse_uploads: bool = False


@contextmanager
def serve_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the lab asks instead of the real one; nobody is logged in."""

    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere")
    # Large files go by its older protocol, Git LFS: the newer one is a binary with a server of its
    # own.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.refuse:
            return self._json({"error": "no"}, status=self.hub.refuse)
        if match := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._info(*match.groups())
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, _, file = match.groups()
            return self._file((self.hub.datasets if kind else self.hub.models)[name].files[file])
        if path == "/api/repos/create":
            values = json.loads(body)
            # Releases of huggingface_hub before 2 say "private".
            private = values.get("private") or values.get("visibility") == "private"
            name = f"{values['organization']}/{values['name']}"
            self.hub.created.append({"name": name, "private": private})
            self.hub.models[name] = Repository(private=private)
            return self._json({"url": f"{self.hub.url}/{name}"})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path):
            return (
                self._preupload(body) if match[2] == "preupload" else self._commit(match[1], body)
            )
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if path.startswith("/lfs/") and self.hub.refuse_uploads:
            return self._json({"error": "no room"}, status=507)
        if path.startswith("/lfs/"):
            self.hub.blobs[path.removeprefix("/lfs/")] = body
            return self._json({})
        return self._json({"error": "There is no such page."}, status=404)

    def _info(self, kind: str, name: str, revision: str | None) -> None:
        repository = getattr(self.hub, kind).get(name)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.private and not known):
            return self._json({"error": "Repository not found"}, 401, "RepoNotFound")
        if repository.gated:
            return self._json({"error": "Access is restricted"}, 403, "GatedRepo")
        if revision not in (None, "main", COMMIT):
            return self._json({"error": "Invalid rev id"}, 404, "RevisionNotFound")
        files = [{"rfilename": n, "size": len(b)} for n, b in repository.files.items()]
        values = {"id": name, "sha": COMMIT, "siblings": files, "tags": list(repository.tags)}
        return self._json({**values, "private": repository.private})

    def _file(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _preupload(self, body: bytes) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def _commit(self, name: str, body: bytes) -> None:
        repository = self.hub.models[name]
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.blobs[value["oid"]]
        url = f"{self.hub.url}/{name}/commit/{COMMIT}"
        self._json({"success": True, "commitOid": COMMIT, "commitUrl": url})

    def _json(self, values: Any, status: int = 200, code: str = "") -> None:
        content = json.dumps(values).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
