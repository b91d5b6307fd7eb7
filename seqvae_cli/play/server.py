"""The server: the application on a socket of the loopback interface, until a signal ends it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from seqvae_cli.errors import MachineError
from seqvae_cli.play.application import Application

HOST = "127.0.0.1"
PORT = 8421
"""The first port that is tried."""
PORTS_TRIED = 100
"""Ports after the first that may be free instead."""
BACKLOG = 64
"""Connections that wait to be accepted, at most."""


def bind(port: int | None) -> socket.socket:
    """A socket on the loopback interface: at `port`, or at the first free one from `PORT` where that is None.

    Raises `MachineError` that names the next free port where `port` is in use or forbidden.
    """
    if port is not None:
        try:
            return _bound(port)
        except OSError as error:
            reason = "is in use" if _in_use(port) else f"cannot be opened: {error.strerror}"
            with _first_free(max(port + 1, 1024)) as free:
                hint = f"the next free one: --port {free.getsockname()[1]}"
            raise MachineError(f"port {port} {reason}", hint) from error
    return _first_free(PORT)


def _bound(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off for sockets that name their protocol; it would delay each answer by 40 ms.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections may still be closing
        made.bind((HOST, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _in_use(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _first_free(port: int) -> socket.socket:
    for candidate in (*range(port, min(port + PORTS_TRIED, 65536)), 0):
        with suppress(OSError):
            return _bound(candidate)
    raise MachineError(f"no port of {HOST} is free", "end another server")


def serve(application: Application, listener: socket.socket, ready: Callable[[], object] = lambda: None) -> None:
    """Answers requests on `listener` until SIGINT or SIGTERM, whose earlier handler is then called.

    `ready` is called once it answers. Raises `KeyboardInterrupt` where that handler returns or there is none, and
    `MachineError` where the extra `play` is missing.
    """
    uvicorn_server(application, ready).run(sockets=[listener])
    raise KeyboardInterrupt


def uvicorn_server(application: Application, ready: Callable[[], object] = lambda: None) -> Any:
    """A `uvicorn.Server` of the application. Raises `MachineError` where the extra `play` is missing."""
    check_installed()
    import uvicorn

    from seqvae_cli.play.connection import Connection

    class Server(uvicorn.Server):
        async def startup(self, *arguments: Any, **options: Any) -> None:
            await super().startup(*arguments, **options)
            ready()

    config = uvicorn.Config(
        application,
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=0,  # Ctrl-C ends it at once, and whatever is being answered with it
        http=Connection,
        loop="asyncio",
    )
    return Server(config)


def check_installed() -> None:
    """Raises `MachineError` where the extra `play` is missing."""
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        message = "the playground needs the packages starlette and uvicorn"
        raise MachineError(message, 'pip install "seqvae[play]"') from error
    assert starlette
    assert uvicorn
