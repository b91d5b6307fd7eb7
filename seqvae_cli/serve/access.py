"""Who may ask: whoever sends the token, or without one whoever is on this machine.

Without a token the Host of a request must name this machine: a page whose name was made to point to the loopback
interface (DNS rebinding) sends its own name. Other pages cannot post JSON here, since no answer allows their origin.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seqvae_cli.errors import MachineError, UsageError

TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")
"""What a token may be: as RFC 6750 has it, and long enough not to be guessed."""
LONGEST = 1024
"""Bytes of a file with a token, at most."""
LOCAL = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""What a Host on the loopback interface may be."""


def check_token(token: str, where: str) -> str:
    """Raises `UsageError` for an invalid token; the message does not contain it."""
    if not TOKEN.fullmatch(token):
        raise UsageError(f"{where} holds no token", "16 to 512 letters, digits or any of . _ ~ + / -")
    return token


def read_token(path: Path) -> str:
    """The token in a file, but for white space around it. Raises `UsageError`, `MachineError`."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise MachineError(f"{path}: {error.strerror}", "name a file with the token") from error
    return check_token(content.decode(errors="replace").strip(), str(path))


@dataclass(frozen=True)
class Access:
    token: str | None
    """None: nobody has to send one."""

    @staticmethod
    def new() -> Access:
        """With a random token."""
        return Access(secrets.token_urlsafe(24))

    def knows_host(self, headers: Mapping[str, str]) -> bool:
        """Whether a request came to this server by a name of its own. `headers` have lower-case names."""
        return self.token is not None or LOCAL.fullmatch(headers.get("host", "")) is not None

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Whether the header `Authorization: Bearer TOKEN` is there, with the right token."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(given.strip().encode(errors="replace"), self.token.encode())
        return right and scheme.lower() == "bearer"
