"""Asks a server of the tests over its socket."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def requested(
    port: int, usual: dict[str, str], method: str, path: str, body: bytes | None, headers: dict[str, str] | None
) -> Reply:
    """The reply to a request of JSON with the `usual` headers and `headers`; one with an empty value is left out."""
    given = {**usual, "Content-Type": "application/json", **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {name: value for name, value in given.items() if value})
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
