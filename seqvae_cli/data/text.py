"""Text as lines: decoding, line ends, and errors for files that are not text."""

from __future__ import annotations

import codecs
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from seqvae_cli.data.compression import Read, unpacked
from seqvae_cli.data.formats import recognize
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.system.files import machine_errors

MAX_LINE = 1 << 20
"""Bytes; a longer line is dropped without being kept in memory."""
_BLOCK = 1 << 18
_NON_TEXT_CODECS = {"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"}
"""Python codecs for string literals and host names."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_encoding(encoding: str) -> str:
    """The canonical name of a text encoding. Raises `UsageError` for one that Python does not know."""
    try:
        with suppress(UnicodeError):
            b"    ".decode(encoding)
        codecs.getincrementaldecoder(encoding)
        name = codecs.lookup(encoding).name.removesuffix("-sig")
        if name in _NON_TEXT_CODECS:
            raise LookupError(name)
        return name
    except (LookupError, ValueError) as error:
        hint = "for example utf-8, latin-1, cp1252, utf-16, gb18030"
        raise UsageError(f"unknown encoding {encoding[:40]!r}", hint) from error


def read_lines(
    source: Path | BinaryIO,
    encoding: str = "utf-8",
    *,
    keep_blank: bool = False,
    label: str = "",
    dropped: Counter[str] | None = None,
    advance: Callable[[int], None] | None = None,
    inspect: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Yields the lines of a file or stream without their line ends; blank and over-long lines are dropped.

    A compressed file is unpacked (see `compression`).

    Lines end at LF or CRLF only; a lone CR becomes a space, or ends the text; a byte order mark is dropped. Text whose
    first MiB has CRs and no LF ends its lines at CR, as on old Macs.

    keep_blank: yields an empty line for each one dropped, so that line numbers stay.
    label: the name of the text in messages; its path by default.
    dropped: counts the dropped lines, under "empty" and "too_long".
    advance: called with the bytes of each block read, as they lie on disk.
    inspect: called with the first block of the text; it may raise.

    Raises `DataError` with line and byte (counted from 0) for a NUL or a byte invalid in the encoding, after the lines
    before it.
    """
    dropped = Counter() if dropped is None else dropped
    rest, skipping = "", False
    label = label or (str(source) if isinstance(source, Path) else "standard input")
    for block in line_feeds(decoded_blocks(source, encoding, label, advance, inspect)):
        if skipping:
            _, newline, block = block.partition("\n")
            skipping = not newline
        whole, newline, after = block.rpartition("\n")
        if newline:
            yield from _split_lines(rest + whole + newline, dropped, keep_blank)
            rest = ""
        rest += after
        if len(rest) > MAX_LINE:
            rest, skipping = "", True
            dropped["too_long"] += 1
            if keep_blank:
                yield ""
    if rest:
        yield from _split_lines(rest + "\n", dropped, keep_blank)


def line_feeds(blocks: Iterator[str]) -> Iterator[str]:
    """The blocks of a text whose lines end at LF; of a text with bare CRs instead, with LFs in their place."""
    start = ""
    for block in blocks:
        start += block
        if "\n" in block or len(start) > MAX_LINE:
            break
    bare = "\n" not in start and "\r" in start
    for block in itertools.chain([start], blocks):
        yield block.replace("\r", "\n") if bare else block


def _split_lines(text: str, dropped: Counter[str], keep_blank: bool) -> Iterator[str]:
    """The lines of `text`, whose last character is a newline."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", " ")
    for line in text[:-1].split("\n"):
        if not line or line.isspace():
            dropped["empty"] += 1
        elif len(line) * 4 > MAX_LINE and len(line.encode()) > MAX_LINE:
            dropped["too_long"] += 1
        else:
            yield line
            continue
        if keep_blank:
            yield ""


@contextmanager
def _open_reader(source: Path | BinaryIO, label: str, advance: Callable[[int], None] | None) -> Iterator[Read]:
    """A function that reads the next bytes of a file or stream, unpacked, as soon as some arrive."""
    with ExitStack() as stack:
        stack.enter_context(machine_errors(source if isinstance(source, Path) else Path(label)))
        file = stack.enter_context(open(source, "rb")) if isinstance(source, Path) else source
        read: Read = getattr(file, "read1", file.read)

        def told(size: int) -> bytes:
            block = read(size)
            if advance:
                advance(len(block))
            return block

        yield unpacked(told, label)


def decoded_blocks(
    source: Path | BinaryIO,
    encoding: str,
    label: str,
    advance: Callable[[int], None] | None = None,
    inspect: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Yields the text of a file in blocks, as they arrive. Raises what `read_lines` raises."""
    encoding = check_encoding(encoding)
    utf8 = encoding == "utf-8"
    decoder = codecs.getincrementaldecoder(encoding)()
    line, byte = 1, 0  # where the next block starts
    with _open_reader(source, label, advance) as read:
        block = read(_BLOCK)
        if other := recognize(block):
            raise DataError(f"{label} is {other.name}, not text", other.advice)
        if utf8:
            _reject_other_encodings(block, label)
            byte = len(codecs.BOM_UTF8) if block.startswith(codecs.BOM_UTF8) else 0
        at_start = True
        while True:
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block[byte:] if at_start else block, final=not block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                value = error.object[error.start]
                hint = "name the encoding of the text with --encoding, for example latin-1 or cp1252"
                binary = "it has NUL bytes, too: give a file of text, or --encoding utf-16 where it is that"
                with suppress(UnicodeError):  # of an encoding with shifts
                    yield _whole_lines(error.object[: error.start].decode(encoding))
                raise DataError(
                    f"{label}, line {line}: byte {byte - pending + error.start} (0x{value:02x}) is not {encoding}",
                    binary if b"\0" in block else hint,
                ) from error
            except UnicodeError as error:
                raise DataError(f"{label}: {error}", "name the encoding of the text with --encoding") from error
            if not utf8:
                text = text.removeprefix("\ufeff") if at_start else text
                if _SURROGATE.search(text):
                    raise DataError(f"{label}: unpaired surrogate", "name the encoding with --encoding")
            if "\0" in text:
                before = text[: text.index("\0")]
                mark = 0 if at_start else len("".encode(encoding))
                byte += len(before.encode(encoding)) - mark - pending
                yield _whole_lines(before)
                raise DataError(
                    f"{label}, line {line + before.count(chr(10))}: byte {byte} is NUL, so this is not text",
                    "remove it, or name the encoding of the text with --encoding",
                )
            if inspect and at_start:
                inspect(text)
            yield text
            if not block:
                return
            line += text.count("\n")
            byte += len(block) - (byte if at_start else 0)
            at_start = False
            block = read(_BLOCK)


def _whole_lines(text: str) -> str:
    """The lines of `text` that have ended: those before an error are good."""
    return text[: text.rfind("\n") + 1]


def _reject_other_encodings(start: bytes, label: str) -> None:
    """Raises `DataError` for UTF-16 and UTF-32 with a byte order mark."""
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if start.startswith(mark):
            raise DataError(f"{label}, line 1: byte 0 starts {name.upper()} text, not UTF-8", f"--encoding {name}")
