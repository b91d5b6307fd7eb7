"""A local server that misbehaves as real servers do, and the small corpus that it serves."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from seqvae_cli.data.catalog import KnownCorpus, Mirror

DATA = {f"c.{split}.txt": f"{split} sentence\n".encode() * 5_000 for split in ("train", "valid", "test")}
PREFIX = "./c/data/"


class Server(ThreadingHTTPServer):
    """Serves /MODE/…/NAME; `requests` keeps each path with its Range header."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.archives: dict[str, bytes] = {}
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Range"]))
        _, mode, *_, name = self.path.split("/")
        data = self.server.archives[name] if mode == "archive" else DATA[name]
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"answer_{mode.replace('-', '_')}")(data)

    def send(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in ({"Content_Type": "text/plain"} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_good(self, data: bytes) -> None:
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        if start >= len(data) and start:
            self.send(b"", 416)
        elif start:
            self.send(data[start:], 206, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send(data)

    answer_archive = answer_good

    def answer_no_ranges(self, data: bytes) -> None:
        self.send(data)

    def answer_wrong(self, data: bytes) -> None:
        self.send(data[:-1] + b"!")

    def answer_short(self, data: bytes) -> None:
        self.send(data[: len(data) // 3], length=len(data))

    def answer_missing(self, _data: bytes) -> None:
        self.send_error(404)

    def answer_html(self, _data: bytes) -> None:
        self.send(b"<p>Sign in", Content_Type="text/html; charset=utf-8")

    def answer_plain_html(self, _data: bytes) -> None:
        self.send(b"\n<!DOCTYPE html><p>Sign in")

    def answer_boastful(self, data: bytes) -> None:
        """Its length is a number that Python does not read: over 4,300 digits."""
        self.send_response(200)
        self.send_header("Content-Length", "9" * 5000)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def answer_large(self, data: bytes) -> None:
        self.send(data * 10)

    def answer_endless(self, data: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.ended.is_set():
            self.wfile.write(data)

    def answer_stalled(self, data: bytes) -> None:
        self.send(data[:1000], length=len(data))
        self.server.ended.wait(20)

    def answer_trickle(self, data: bytes) -> None:
        self.send(b"", length=len(data))
        while not self.server.ended.wait(0.1):
            self.wfile.write(b"x")


@contextmanager
def serving() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=lambda: made.serve_forever(0.02))
    thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        made.shutdown()
        thread.join()
        made.server_close()


def known(*mirrors: Mirror) -> KnownCorpus:
    digests = {name.split(".")[1]: (name, hashlib.sha256(data).hexdigest()) for name, data in DATA.items()}
    return KnownCorpus("c", "a corpus", digests, mirrors, "nobody", "the notice")


def mirrors(server: Server, *modes: str) -> KnownCorpus:
    return known(*(Mirror(f"{server.address}/{mode}/") for mode in modes))


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


Entry = tuple[str, bytes | None, Callable[[tarfile.TarInfo], None] | None]


def archive(*entries: Entry, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:  # type: ignore[call-overload]
        for name, data, change in entries:
            member = tarfile.TarInfo(name)
            member.size = len(data or b"")
            if change:
                change(member)
            made.addfile(member, io.BytesIO(data) if data is not None else None)
    return buffer.getvalue()


def kind(value: bytes, target: str = "") -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = value, target

    return change


GOOD: list[Entry] = [(PREFIX + name, data, None) for name, data in DATA.items()]
