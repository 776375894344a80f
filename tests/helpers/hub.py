"""A model hub on loopback: as much of one as `huggingface_hub` needs to make a repository and fill
it in one commit.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Hub:
    """What it has been given. files: path -> content, as of the last commit. token: the one that
    may write. fails: a status that every commit is answered with.
    """

    token: str
    address: str = ""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fails: int | None = None


@contextmanager
def hub(token: str) -> Iterator[Hub]:
    """Serve a hub as long as the block runs."""
    state = Hub(token)
    handler = type("Handler", (_Handler,), {"hub": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer by path."""
        path = self.path.partition("?")[0]
        self.hub.asked.append(path)
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._send({"error": "Invalid credentials"}, 401)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for pattern, answer in _ANSWERS.items():
            if match := re.fullmatch(pattern, path):
                answer(self, body, *match.groups())
                return
        self._send({"error": f"no {path} here"}, 404)

    def do_PUT(self) -> None:
        """A large file's content, under its digest."""
        digest = self.path.rpartition("/")[2]
        self.hub.large[digest] = self.rfile.read(int(self.headers["Content-Length"]))
        self._send({})

    def create(self, body: bytes) -> None:
        """Make a repository."""
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        self.hub.repositories[name] = asked
        self._send({"url": f"{self.hub.address}/{name}"})

    def check_card(self, body: bytes) -> None:
        """The hub reads a card's metadata before it takes the card."""
        import yaml

        content = json.loads(body)["content"]
        yaml.safe_load(content.split("---\n")[1])
        self._send({"errors": [], "warnings": []})

    def preupload(self, body: bytes, _: str) -> None:
        """Weights go to large storage, all else into the commit."""
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self._send({"files": files})

    def batch(self, body: bytes, _: str) -> None:
        """Where large files go."""
        objects = [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.hub.address}/large/{each['oid']}"}},
            }
            for each in json.loads(body)["objects"]
        ]
        self._send({"transfer": "basic", "objects": objects})

    def commit(self, body: bytes, name: str) -> None:
        """Take the files."""
        if self.hub.fails:
            self._send({"error": "the disk of the hub is full"}, self.hub.fails)
            return
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.hub.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.hub.files[value["path"]] = self.hub.large[value["oid"]]
        self._send({"commitUrl": f"{self.hub.address}/{name}/commit/1", "commitOid": "1" * 40})

    def _send(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


_ANSWERS: dict[str, Any] = {
    r"/api/repos/create": _Handler.create,
    r"/api/validate-yaml": _Handler.check_card,
    r"/api/models/(.+)/preupload/main": _Handler.preupload,
    r"/(.+)\.git/info/lfs/objects/batch": _Handler.batch,
    r"/api/models/(.+)/commit/main": _Handler.commit,
}
