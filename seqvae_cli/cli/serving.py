"""Serves until a signal ends it, for the commands that are servers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from seqvae_cli.cli import display

if TYPE_CHECKING:
    import socket

    from seqvae_cli.web.exchange import Application


def serve(application: Application, listener: socket.socket, ready: Callable[[], object] = lambda: None) -> None:
    """Answers requests on `listener`; Ctrl-C ends the process. `ready` is called once it answers."""
    from seqvae_cli.web import server

    try:
        server.serve(application, listener, ready)
    except KeyboardInterrupt as stop:
        _end(stop)


def _end(stop: KeyboardInterrupt) -> None:
    """Ends the process at once: the interpreter's own end takes seconds, and aborts while a thread is inside torch."""
    from seqvae_cli.cli.boundary import Terminated

    number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
    display.notice("error", "stopped by SIGTERM" if number == signal.SIGTERM else "interrupted", "red")
    sys.stdout.flush()
    os._exit(128 + number)
