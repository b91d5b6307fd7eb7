"""The API of the tiny run, served in a thread; made once for all tests, which change nothing in it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli import api
from seqvae_cli.serve.access import Access
from seqvae_cli.serve.application import application
from seqvae_cli.serve.endpoints import Service
from seqvae_cli.web import server
from tests.web.asking import Reply, requested

TOKEN = "the-token-of-the-tests"


@dataclass
class Client:
    """Asks a server over its socket, with the token unless told otherwise."""

    port: int

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        return requested(self.port, {"Authorization": f"Bearer {TOKEN}"}, method, path, body, headers)

    def post(self, name: str, **values: Any) -> Reply:
        return self("POST", f"/{name}", json.dumps(values).encode())

    def metrics(self) -> dict[str, float]:
        """The counts, by their names with labels."""
        lines = self("GET", "/metrics").body.decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@pytest.fixture(scope="session")
def service(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """In a copy of `tiny_home`: codes of the candidates are kept in the folder of the run."""
    path = tmp_path_factory.mktemp("serve") / "home"
    shutil.copytree(tiny_home, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(path))
        model = api.load("tiny-run")
        return Service(model, model.candidates("train"))


def served(service: Service, access: Access) -> Iterator[Client]:
    listener = server.bind(None)
    running = server.uvicorn_server(application(service, access))
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()
    yield Client(listener.getsockname()[1])
    running.should_exit = running.force_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[Client]:
    yield from served(service, Access(TOKEN))


@pytest.fixture(scope="session")
def open_client(service: Service) -> Iterator[Client]:
    """Of a server without a token."""
    yield from served(service, Access(None))
