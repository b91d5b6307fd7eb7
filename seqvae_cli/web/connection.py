"""A connection of uvicorn that ends where its client does not go on, and whose own refusals are JSON.

uvicorn waits without end for the head of a request, for the rest of a body that was answered before it came, and for
a client to read; it answers what is not HTTP as plain text.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from seqvae_cli.web import exchange

CONNECTIONS = 256
"""Connections at once, at most."""


class Connection(H11Protocol):
    """Closes where the client does nothing for `exchange.PATIENCE` seconds, unless it waits for an answer."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self.app = exchange.crowded
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"error": msg.rstrip("."), "hint": ""}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Bytes that come renew nothing: the whole head, or the rest of an answered request, has to come in time."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and not self.flow.write_paused:
            self._forget()
        elif self._late is None:
            unread = self.transport.get_write_buffer_size()
            self._late = self.loop.call_later(exchange.PATIENCE, self._give_up, unread)

    def _give_up(self, unread: int) -> None:
        self._forget()
        if 0 < self.transport.get_write_buffer_size() < unread:  # slow, but it reads
            self._watch()
        else:
            self.transport.abort()  # `close` would wait until the client has read what there is for it

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
