"""The server: an application on a socket, until a signal ends it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from seqvae_cli.errors import MachineError
from seqvae_cli.web.exchange import Application

HOST = "127.0.0.1"
"""The loopback interface."""
PORT = 8421
"""The first port that is tried."""
PORTS_TRIED = 100
"""Ports after the first that may be free instead."""
BACKLOG = 64
"""Connections that wait to be accepted, at most."""


def bind(port: int | None, host: str = HOST) -> socket.socket:
    """A socket on the address `host`: at `port`, or at the first free one from `PORT` where that is None.

    Raises `MachineError` that names the next free port where `port` is in use or forbidden.
    """
    if port is not None:
        try:
            return _bound(port, host)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            reason = "is in use" if in_use else f"cannot be opened: {error.strerror}"
            with _first_free(max(port + 1, 1024), host) as free:
                hint = f"the next free one: --port {free.getsockname()[1]}"
            raise MachineError(f"port {port} {reason}", hint) from error
    return _first_free(PORT, host)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bound(port: int, host: str) -> socket.socket:
    # asyncio turns Nagle's algorithm off for sockets that name their protocol; it would delay each answer by 40 ms.
    made = socket.socket(_family(host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections may still be closing
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _first_free(port: int, host: str) -> socket.socket:
    for candidate in (*range(port, min(port + PORTS_TRIED, 65536)), 0):
        with suppress(OSError):
            return _bound(candidate, host)
    raise MachineError(f"no port of {host} is free", "name an address of this machine, or end another server")


def serve(application: Application, listener: socket.socket, ready: Callable[[], object] = lambda: None) -> None:
    """Answers requests on `listener` until SIGINT or SIGTERM, whose earlier handler is then called.

    `ready` is called once it answers. Raises `KeyboardInterrupt` where that handler returns or there is none, and
    `MachineError` where starlette or uvicorn is missing.
    """
    uvicorn_server(application, ready).run(sockets=[listener])
    raise KeyboardInterrupt


def uvicorn_server(application: Application, ready: Callable[[], object] = lambda: None) -> Any:
    """A `uvicorn.Server` of the application. Raises `MachineError` where uvicorn is missing."""
    check_installed()
    import uvicorn

    from seqvae_cli.web.connection import Connection

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


def check_installed(extra: str = "play") -> None:
    """Raises `MachineError` where starlette or uvicorn is missing; `extra` of seqvae brings them."""
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        message = f"seqvae {extra} needs the packages starlette and uvicorn"
        raise MachineError(message, f'pip install "seqvae[{extra}]"') from error
    assert starlette
    assert uvicorn
