"""No network: what asks for it is refused, and noted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest


def refuse_network(patch: pytest.MonkeyPatch, allowed: tuple[str, int] | None = None) -> list[object]:
    """From now on every address but `allowed` is refused, the loopback's others too; returns the list of those that
    were asked for, which grows."""
    asked: list[object] = []

    def guard(owner: Any, name: str, address_of: Callable[[tuple[Any, ...]], object]) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            address = address_of(arguments)
            if allowed is not None and address == allowed:
                return real(*arguments, **options)
            asked.append(address)
            raise OSError(errno.ENETUNREACH, "no network here")

        patch.setattr(owner, name, call)

    for name in ("connect", "connect_ex", "sendto"):
        guard(socket.socket, name, lambda arguments: arguments[-1])
    for name in ("create_connection", "gethostbyname"):
        guard(socket, name, lambda arguments: arguments[0])
    guard(socket, "getaddrinfo", lambda arguments: arguments[:2])
    return asked
