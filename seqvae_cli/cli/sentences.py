"""What the commands share that read sentences, a line each: where they come from, and what becomes of empty ones."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from seqvae_cli.cli import display
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    pass

T = TypeVar("T")


def open_lines(text: list[str], encoding: str) -> Iterable[str]:
    """The sentences that are meant: stdin, the lines of a file, or the arguments themselves; checked, not yet read."""
    from seqvae_cli.data import text as texts

    texts.check_encoding(encoding)
    if text == ["-"]:
        return _told(sys.stdin.buffer, encoding)
    if "-" in text:
        raise UsageError("standard input (-) does not go with other sentences", "give - alone")
    if len(text) == 1 and names_a_file(text[0]):
        return _told(Path(text[0]), encoding)
    check_sentences(text, "give a sentence, FILE or -")
    if len(text) == 1 and " " not in text[0] and ("/" in text[0] or text[0].endswith(".txt")):
        raise UsageError(f"{text[0]!r} is no file", "name a file, or give a sentence of several words")
    return text


def check_sentences(arguments: Iterable[str], hint: str) -> None:
    """Raises `UsageError` for what is no sentence; `hint` says what to give in place of an empty one."""
    for sentence in arguments:
        if not sentence.strip():
            raise UsageError("an empty sentence has no code", hint)
        if any("\ud800" <= character <= "\udfff" for character in sentence):
            raise UsageError("a sentence is not UTF-8", "give text in UTF-8, or a FILE with --encoding")


def _told(source: Path | BinaryIO, encoding: str) -> Iterator[str]:
    """The lines, those over 1 MiB as empty ones; says how many were."""
    from seqvae_cli.data import text as texts

    dropped: Counter[str] = Counter()
    yield from texts.read_lines(source, encoding, keep_blank=True, dropped=dropped)
    if dropped["too_long"]:
        long = dropped["too_long"]
        lines = "1 line of over 1 MiB was" if long == 1 else f"{long} lines of over 1 MiB were"
        display.warn(f"{lines} too long, and taken as empty")


def names_a_file(text: str) -> bool:
    """A file, pipe or device; not a sentence too long for a name."""
    try:
        return Path(text).exists() and not Path(text).is_dir()
    except (OSError, ValueError):
        return False
