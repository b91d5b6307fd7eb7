"""The files of the page: all of them, read once, so that nothing else can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Media type by the ending of a file's name."""


@dataclass(frozen=True)
class File:
    content: bytes
    media_type: str


def files() -> dict[str, File]:
    """Path below the root of the server -> file; `/` is index.html."""
    found = {}
    for entry in resources.files("seqvae_cli.play").joinpath("page").iterdir():
        ending = f".{entry.name.rpartition('.')[2]}"
        if entry.is_file() and ending in TYPES:
            found[f"/{entry.name}"] = File(entry.read_bytes(), TYPES[ending])
    found["/"] = found.pop("/index.html")
    return found
