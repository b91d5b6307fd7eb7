"""A local hub: as much of the API of huggingface.co as huggingface_hub uses to push and pull models.

Small files come in the commit itself, weights by git LFS, as there. huggingface_hub finds it by `HF_ENDPOINT`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


@dataclass
class Repository:
    private: bool = False
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b""}])

    def sha(self, number: int = -1) -> str:
        return f"{number % len(self.commits):040x}"

    def find(self, revision: str) -> dict[str, bytes] | None:
        shas = {self.sha(number): files for number, files in enumerate(self.commits)}
        return (shas | {"main": self.commits[-1]}).get(revision)


class Hub(ThreadingHTTPServer):
    """`repositories` by OWNER/NAME; `requests` has each method and path; `answers` overrides a status by path."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clear()

    def clear(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.agents: set[str] = set()
        self.answers: dict[str, int] = {}
        self.blobs: dict[str, bytes] = {}
        self.lfs = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which huggingface_hub finds it, with a token of `me`."""
        return {"HF_ENDPOINT": self.address, "HF_TOKEN": TOKEN}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: a second one would wait for the first to be acknowledged
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.route()

    def do_HEAD(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route()

    def do_PUT(self) -> None:
        self.route()

    def route(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append((self.command, path))
        self.server.agents.add(self.headers.get("User-Agent", ""))
        status = next((status for part, status in self.server.answers.items() if part in path), 0)
        if status:
            self.send(status, {"error": "so it is told"})
            return
        parts = path.split("/")
        match parts:
            case ["api", "validate-yaml"]:
                bad = "license: none-such" in json.loads(body)["content"]
                self.send(400 if bad else 200, {"errors": [{"message": '"license" must be one of'}] if bad else []})
            case ["api", "repos", "create"]:
                self.create(json.loads(body))
            case ["api", "models", owner, name, *rest]:
                self.model(f"{owner}/{name}", rest, body)
            case [owner, name, "info", "lfs", "objects", "batch"]:
                self.batch(f"{owner}/{name.removesuffix('.git')}", json.loads(body))
            case ["lfs", digest]:
                assert hashlib.sha256(body).hexdigest() == digest
                self.server.blobs[digest] = body
                self.send(200, {})
            case [owner, name, "resolve", revision, *file]:
                self.resolve(f"{owner}/{name}", revision, "/".join(file))
            case _:
                self.send(404, {"error": f"no such page: {path}"})

    @property
    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if not self.known:
            self.send(401, {"error": "Invalid username or password."})
        elif asked["organization"] != "me":
            self.send(403, {"error": f"You don't have the rights to create a model under {asked['organization']}"})
        elif name in self.server.repositories:
            self.send(409, {"error": "You already created this model repo", "url": f"{self.server.address}/{name}"})
        else:
            self.server.repositories[name] = Repository(
                asked.get("visibility") == "private" or bool(asked.get("private"))
            )
            self.send(200, {"url": f"{self.server.address}/{name}"})

    def found(self, name: str, revision: str = "main") -> dict[str, bytes] | None:
        """The files of a revision; None, and the answer, where there is none to see."""
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self.known):
            self.send(404 if self.known else 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        files = repository.find(revision)
        if files is None:
            self.send(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        return files

    def model(self, name: str, rest: list[str], body: bytes) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        files = self.found(name, revision)
        if files is None:
            return
        repository = self.server.repositories[name]
        match rest[:1]:
            case ["preupload"]:
                modes = [
                    {"path": path, "uploadMode": self.mode(path), "shouldIgnore": False, "oid": self.oid(path, files)}
                    for path in (file["path"] for file in json.loads(body)["files"])
                ]
                self.send(200, {"files": modes})
            case ["commit"]:
                repository.commits.append(self.committed(files, body))
                sha = repository.sha()
                self.send(200, {"commitUrl": f"{self.server.address}/{name}/commit/{sha}", "commitOid": sha})
            case _:
                number = next(i for i, commit in enumerate(repository.commits) if commit is files)
                siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
                card = files.get("README.md", b"").decode()
                licences = [
                    line.removeprefix("license: ") for line in card.splitlines() if line.startswith("license: ")
                ]
                self.send(
                    200,
                    {
                        "id": name,
                        "sha": repository.sha(number),
                        "private": repository.private,
                        "siblings": siblings,
                        "cardData": {"license": licences[0]} if licences else {},
                    },
                )

    def mode(self, path: str) -> str:
        return "lfs" if self.server.lfs and path.endswith(".safetensors") else "regular"

    def oid(self, path: str, files: dict[str, bytes]) -> str | None:
        """The digest of the file that is there: that of git, or of git LFS."""
        if path not in files:
            return None
        data = files[path]
        if self.mode(path) == "lfs":
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def committed(self, files: dict[str, bytes], body: bytes) -> dict[str, bytes]:
        files = dict(files)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.server.blobs[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        return files

    def batch(self, name: str, asked: dict[str, Any]) -> None:
        assert name in self.server.repositories
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.server.address}/lfs/{item['oid']}"}}}
            for item in asked["objects"]
        ]
        self.send(200, {"transfer": "basic", "objects": objects})

    def resolve(self, name: str, revision: str, path: str) -> None:
        files = self.found(name, revision)
        if files is None:
            return
        if path not in files:
            self.send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        data = files[path]
        etag = hashlib.sha256(data).hexdigest()
        self.send(200, data, {"X-Repo-Commit": revision, "ETag": f'"{etag}"'})

    def send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if status >= 400:
            self.send_header("X-Error-Message", answer.get("error", "")) if "error" in answer else None
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
