"""Who may ask the server: a browser on this machine that knows the token, from the server's own page.

    Host      a page elsewhere whose name was made to point to 127.0.0.1 (DNS rebinding) sends its own name
    Origin    a page elsewhere that posts to the server sends its own origin
    token     other users and programs of the machine do not know it; in the address once, then in a cookie

The cookie is HttpOnly and SameSite=Lax: a link on another page opens the playground, and what that page posts comes
without the cookie. Its name has the port: browsers share cookies between ports.
"""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

LONGEST = 4096
"""Characters of a query that may hold a token, at most."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every answer."""


@dataclass(frozen=True)
class Refusal:
    status: int
    reason: str
    hint: str


@dataclass(frozen=True)
class Entry:
    """The token came in the address: what sets the cookie, and the address without the token."""

    cookie: str
    location: str


@dataclass(frozen=True)
class Guard:
    """`port`: that of the server. `token`: the secret of this server."""

    port: int
    token: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may give as Host: browsers leave out the port of HTTP."""
        names = ("127.0.0.1", "localhost")
        return *(f"{name}:{self.port}" for name in names), *(names if self.port == http.client.HTTP_PORT else ())

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"seqvae_play_{self.port}"

    @property
    def address(self) -> str:
        """The address of the page, token included."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def judge(self, path: str, query: str, headers: Mapping[str, str]) -> Refusal | Entry | None:
        """None lets a request pass. `headers` have lower-case names."""
        if headers.get("host", "") not in self.hosts:
            return Refusal(403, "the Host of the request is not this server", f"open http://{self.hosts[0]}/")
        origin = headers.get("origin")
        if origin is not None and origin not in tuple(f"http://{host}" for host in self.hosts):
            return Refusal(403, "the request comes from another page", "use the page of this server")
        given = parse_qs(query).get("token", []) if len(query) < LONGEST else []
        if path == "/" and given:
            if not self._is_token(given[0]):
                return Refusal(401, "the token in the address is wrong", "open the address that seqvae play printed")
            value = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Lax"
            return Entry(value, "/")
        if not self._is_token(self._from_cookie(headers.get("cookie", ""))):
            return Refusal(401, "this browser has no valid token", "open the address that seqvae play printed")
        return None

    def _from_cookie(self, header: str) -> str:
        """The token; other servers of this machine share the header, whatever they write into it."""
        pairs = (pair.strip().partition("=") for pair in header.split(";"))
        return next((value for name, _, value in pairs if name == self.cookie), "")

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(errors="replace"), self.token.encode())
