"""The socket of a server, and its end."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from seqvae_cli.errors import MachineError
from seqvae_cli.web import exchange, server


def test_answers_are_not_held_back() -> None:
    """asyncio sets TCP_NODELAY on the connections of sockets with this protocol alone."""
    with server.bind(None) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert listener.getsockname()[0] == "127.0.0.1"


def test_it_ends_as_by_ctrl_c_where_the_signal_was_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell without job control starts what is in the background with SIGINT ignored; uvicorn ends all the same."""
    monkeypatch.setattr(server, "uvicorn_server", lambda *_: SimpleNamespace(run=lambda **_: None))
    with socket.socket() as listener, pytest.raises(KeyboardInterrupt):
        server.serve(exchange.crowded, listener)


def has_ipv6() -> bool:
    try:
        server.bind(None, "::1").close()
    except MachineError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_a_port_of_the_other_family_is_said_to_be_in_use() -> None:
    """:: takes the port of IPv4, too, and nobody answers under :: itself."""
    with server.bind(None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"port {port} is in use"):
            server.bind(port, "::")
