"""A connection ends where its client neither sends, nor reads, nor waits for an answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from seqvae_cli.web import exchange, server

LARGE = 8 << 20
"""Bytes of the answer to /large: more than the buffers of the system hold."""
PATIENCE = 0.4


async def application(scope: Any, receive: Any, send: Any) -> None:
    await exchange.answer(b" " * LARGE if scope["path"] == "/large" else b"answer")(scope, receive, send)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, int]]:
    """A server, with its port."""
    monkeypatch.setattr(exchange, "PATIENCE", PATIENCE)
    listener = server.bind(None)
    found = server.uvicorn_server(application)
    thread = threading.Thread(target=found.run, args=([listener],), daemon=True)
    thread.start()
    yield found, listener.getsockname()[1]
    found.should_exit = found.force_exit = True
    thread.join(10)
    listener.close()


def closes(found: Any) -> bool:
    """Whether the server has no connection any more, soon."""
    end = time.monotonic() + 10 * PATIENCE
    while found.server_state.connections and time.monotonic() < end:
        time.sleep(0.02)
    return not found.server_state.connections


def read_answer(client: socket.socket) -> None:
    found = b""
    while not found.endswith(b"answer"):
        part = client.recv(1 << 16)
        assert part, found
        found += part


def test_the_rest_of_an_answered_request_is_not_waited_for(running: tuple[Any, int]) -> None:
    found, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        read_answer(client)
        client.sendall(b" ")  # uvicorn forgets its own time limit
        assert closes(found)


def test_what_is_sent_in_time_after_an_answer_ends_no_connection(running: tuple[Any, int]) -> None:
    _, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
            read_answer(client)
            time.sleep(PATIENCE / 2)
            client.sendall(b" " * 1000)


def test_a_client_that_never_reads_is_let_go(running: tuple[Any, int]) -> None:
    found, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        time.sleep(PATIENCE / 4)
        assert found.server_state.connections
        assert closes(found)


def test_a_client_that_reads_slowly_gets_it_all(running: tuple[Any, int]) -> None:
    _, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        read, begun = 0, time.monotonic()
        while part := client.recv(1 << 19, socket.MSG_WAITALL):
            read += len(part)
            time.sleep(PATIENCE / 4)
        assert read > LARGE
        assert time.monotonic() - begun > 3 * PATIENCE
