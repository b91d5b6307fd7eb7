"""Compressed files, recognized by their first bytes and read as streams: gzip, and Zstandard (the extra `zst`)."""

from __future__ import annotations

import gzip
import itertools
import sys
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

from seqvae_cli.errors import DataError, MachineError

Read = Callable[[int], bytes]
"""Takes a number of bytes; returns what has come, at most so many of them, and nothing at the end alone."""

START = 1 << 18
"""Bytes at the beginning that are read at once."""
ZSTD_PIECE = 2048
"""Packed bytes that are unpacked at once: 64 MiB at most, since 4 bytes hold 128 KiB at most."""


class Stream:
    """A stream from its beginning, whose first bytes `start` were read to recognize it."""

    def __init__(self, start: bytes, rest: Read) -> None:
        self.start, self.rest = start, rest

    def read1(self, size: int = START) -> bytes:
        if self.start:
            head, self.start = self.start[:size], self.start[size:]
            return head
        return self.rest(size)

    read = read1


class Unpacked(NamedTuple):
    """The reader of a compressed stream, and what it raises where the stream is damaged or cut."""

    read: Read
    damage: tuple[type[Exception], ...]


def unpacked(read: Read, label: str) -> Read:
    """Reads the bytes of a stream, and unpacks them where they are those of a compressed file.

    The function that it returns raises `DataError` for a damaged or cut file, named `label`. Raises `MachineError`
    where the package that unpacks it is missing.
    """
    start = read(START)
    while start and any(magic.startswith(start) and start != magic for magic in MAGIC):
        more = read(START)
        if not more:
            break
        start += more
    stream = Stream(start, read)
    kind = kind_of(start)
    if kind is None:
        return stream.read1
    unpacking = UNPACK[kind](stream)

    def reading(size: int) -> bytes:
        try:
            return unpacking.read(size)
        except unpacking.damage as error:
            raise _damaged(label, str(error)) from error

    return reading


def kind_of(start: bytes) -> str | None:
    """The ending that names the compression of a file with these first bytes; None where it is not compressed."""
    return next((kind for kind, magic in COMPRESSIONS.items() if start.startswith(magic)), None)


def _damaged(label: str, reason: str) -> DataError:
    """The error for a file that cannot be unpacked. zstd, too, asks before it takes over 128 MiB for a window."""
    if "too much memory" in reason:
        return DataError(
            f"{label} was packed with a window of over 128 MiB (zstd --long)",
            "unpack it into a command that reads from -: zstd --long=31 -dc FILE | seqvae COMMAND -",
        )
    return DataError(f"{label} is damaged or cut short: {reason}", "copy it again")


def _gzip(stream: Stream) -> Unpacked:
    file = gzip.GzipFile(fileobj=cast(BinaryIO, stream), mode="rb")
    return Unpacked(file.read1, (EOFError, gzip.BadGzipFile, zlib.error))


def _zstd(stream: Stream) -> Unpacked:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return Unpacked(zstd.ZstdFile(cast(BinaryIO, stream)).read1, (EOFError, zstd.ZstdError))
    try:
        import zstandard
    except ImportError as error:
        raise MachineError("a .zst file needs the package zstandard", 'pip install "seqvae[zst]"') from error
    return Unpacked(_ZstdFrames(stream, zstandard).read1, (EOFError, zstandard.ZstdError))


class _ZstdFrames:
    """A Zstandard file of one frame or several. The file objects of `zstandard` do not notice a missing end."""

    def __init__(self, stream: Stream, zstandard: Any) -> None:
        self.stream, self.decompressor = stream, zstandard.ZstdDecompressor()
        self.frame = self.decompressor.decompressobj()
        self.packed, self.held, self.whole = b"", memoryview(b""), True

    def read1(self, size: int) -> bytes:
        while not self.held:
            packed = self.packed or self.stream.read1(ZSTD_PIECE)
            if not packed and not self.whole:
                raise EOFError("its last frame has no end")
            if not packed:
                return b""
            self.held = memoryview(self.frame.decompress(packed))
            self.whole, self.packed = self.frame.eof, self.frame.unused_data
            if self.whole:
                self.frame = self.decompressor.decompressobj()
        piece, self.held = self.held[:size], self.held[size:]
        return bytes(piece)


COMPRESSIONS = {
    ".gz": (b"\x1f\x8b",),
    ".zst": (b"\x28\xb5\x2f\xfd", *(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))),
}
"""Endings of the names of compressed files, and what these files begin with.

Zstandard: a frame, or one to be skipped, with which pzstd begins (RFC 8878, section 3.1).
"""
MAGIC = tuple(itertools.chain.from_iterable(COMPRESSIONS.values()))
UNPACK: dict[str, Callable[[Stream], Unpacked]] = {".gz": _gzip, ".zst": _zstd}
