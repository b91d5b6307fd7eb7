"""A playground over the tiny run, and its server in a thread; made once for all tests, which change nothing in it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli import api
from seqvae_cli.play import endpoints
from seqvae_cli.play.application import application
from seqvae_cli.play.guard import Guard
from seqvae_cli.play.layout import Background
from seqvae_cli.play.playground import Playground
from seqvae_cli.web import server
from tests.web.asking import Reply, requested

TOKEN = "the-token-of-the-tests"

Answer = dict[str, Any]
Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def play_home(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `tiny_home`: the playground keeps maps in the folders of its runs."""
    path = tmp_path_factory.mktemp("play") / "home"
    shutil.copytree(tiny_home, path)
    return path


@pytest.fixture
def in_home(play_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert not home.exists()
    monkeypatch.setenv("SEQVAE_HOME", str(play_home))
    return play_home


@pytest.fixture(scope="session")
def playground(play_home: Path) -> Playground:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQVAE_HOME", str(play_home))
        # In place of t-SNE, which takes seconds to import and to compute.
        return Playground(api.load("tiny-run"), Background(lambda codes: codes[:, 2:].astype(float)))


@pytest.fixture
def ask(playground: Playground, in_home: Path) -> Ask:
    """Calls an endpoint as a function."""
    assert in_home.is_dir()

    def call(name: str, **values: Any) -> Answer:
        return endpoints.answer(playground, name, values, lambda: None)

    return call


@dataclass
class Client:
    """Asks a server over its socket, with the cookie of its page unless told otherwise."""

    guard: Guard

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        return requested(
            self.guard.port, {"Cookie": f"{self.guard.cookie}={self.guard.token}"}, method, path, body, headers
        )

    def post(self, name: str, values: Any, headers: dict[str, str] | None = None) -> Reply:
        return self("POST", f"/api/{name}", json.dumps(values).encode(), headers)


@dataclass
class Served:
    """A server in a thread."""

    client: Client
    stop: Callable[[], None]


def serve(playground: Playground) -> Served:
    listener = server.bind(None)
    guard = Guard(listener.getsockname()[1], TOKEN)
    running = server.uvicorn_server(application(playground, guard))
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()

    def stop() -> None:
        running.should_exit = running.force_exit = True
        thread.join(10)
        listener.close()

    return Served(Client(guard), stop)


@pytest.fixture(scope="session")
def served(playground: Playground) -> Iterator[Client]:
    found = serve(playground)
    yield found.client
    found.stop()


@pytest.fixture
def client(served: Client, in_home: Path) -> Client:
    assert in_home.is_dir()
    return served


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from tests.play.browsing import CHROMIUM

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, client: Client) -> Iterator[Any]:
    """A page of the server, `browsing.Page`, light."""
    from tests.play.browsing import Page

    found = Page(browser, client, color_scheme="light")
    yield found
    found.context.close()
