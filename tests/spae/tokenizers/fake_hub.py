"""A Hugging Face hub on localhost, as far as huggingface_hub asks it to hold models: what the hub's own client sends to
the true one, it sends here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest


@dataclass
class FakeHub:
    """Models by name, each a list of commits, oldest first.

    Attributes:
        sizes: what it says of a file's size, where it lies.
        asked: methods and paths of all requests.
        closed: names whose models ask for consent.
        down: answers 503 to everything.
    """

    models: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    down: bool = False
    url: str = ""

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Another commit that adds or replaces files; its hash."""
        before = self.models.setdefault(name, [])
        whole = (before[-1][1] if before else {}) | files
        number = f"{name} {len(before)}"
        sha = hashlib.sha1(number.encode()).hexdigest()
        before.append((sha, whole))
        return sha

    def find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.models[name]
        if revision in ("main", ""):
            return commits[-1] if commits else None
        return next((one for one in commits if one[0] == revision or revision == f"v{commits.index(one)}"), None)

    def use(self, monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
        """Sends huggingface_hub here, with an empty cache and no token."""
        import huggingface_hub.constants as constants

        # A --cache-only run of an earlier test in this process may have taken the client offline before its import.
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        monkeypatch.setenv("HF_TOKEN", "hf_of_a_test")


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _give(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any) -> None:
        self._give(200, json.dumps(value).encode(), Content_Type="application/json")

    def _answer(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.asked.append(f"{self.command} {path}")
        if hub.down:
            return self._give(503)
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            hub.models.setdefault(name, [])
            return self._json({"url": f"{hub.url}/{name}", "name": name})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/(.+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        name = (api or file)[1] if api or file else ""
        if name not in hub.models:
            return self._give(404, X_Error_Code="RepoNotFound")
        if name in hub.closed:
            return self._give(403, X_Error_Code="GatedRepo", X_Error_Message="ask first")
        return self._model(name, api[2] or "revision", api[3] or "main", body) if api else self._file(name, file)

    def _model(self, name: str, what: str, revision: str, body: bytes) -> None:
        hub = self.hub
        if what == "preupload":
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        if what == "commit":
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                one["value"]["path"]: base64.b64decode(one["value"]["content"]) for one in lines if one["key"] == "file"
            }
            sha = hub.commit(name, files)
            return self._json({"commitUrl": f"{hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True})
        found = hub.find(name, revision)
        if found is None:
            return self._give(404, X_Error_Code="RevisionNotFound")
        sizes = {path: hub.sizes.get(path, len(content)) for path, content in found[1].items()}
        oid = {path: hashlib.sha1(content).hexdigest() for path, content in found[1].items()}
        if what == "tree":
            return self._json([{"type": "file", "path": one, "size": sizes[one], "oid": oid[one]} for one in sizes])
        siblings = [{"rfilename": one, "size": sizes[one], "blobId": oid[one]} for one in sizes]
        return self._json(
            {"id": name, "modelId": name, "sha": found[0], "siblings": siblings, "private": False, "tags": []}
        )

    def _file(self, name: str, file: Any) -> None:
        found = self.hub.find(name, file[2])
        if found is None or file[3] not in found[1]:
            return self._give(404, X_Error_Code="EntryNotFound" if found else "RevisionNotFound")
        content = found[1][file[3]]
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._give(200, content, ETag=etag, X_Repo_Commit=found[0], Content_Type="application/octet-stream")

    do_GET = do_POST = do_HEAD = _answer


def start_hub() -> tuple[FakeHub, ThreadingHTTPServer]:
    """A hub that answers until its server is shut down."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return hub, server
