"""Reading sentences, one a line, from arguments, files or stdin; shared by the commands."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seqvae_cli.cli import display
from seqvae_cli.cli.pauses import may_pause, standard_input, with_pauses
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.data.windows import Pause

ENDINGS = {
    *(".txt", ".text", ".md", ".log", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".xml", ".html"),
    *(".pdf", ".doc", ".docx", ".npy", ".npz", ".parquet", ".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz"),
}
"""Endings of the names of text and data files: an argument with one is never a sentence."""


@dataclass(frozen=True)
class Lines:
    """Sentences in order, read while they are iterated."""

    lines: Iterable[str | Pause]
    """A `PAUSE` stands where stdin or a pipe gives no more for now."""
    encoding: str
    size: int | None
    """Their bytes in all; None where it is unknown: stdin, pipes."""

    def __iter__(self) -> Iterator[str | Pause]:
        return iter(self.lines)

    def bytes_of(self, line: str) -> int:
        """The bytes of a line and its line end."""
        return len(f"{line}\n".encode(self.encoding, "replace")) - len(
            "".encode(self.encoding)
        )  # without byte order mark


def open_lines(text: Sequence[str], encoding: str) -> Lines:
    """The sentences of stdin, of files one after another, or the arguments themselves.

    Raises `UsageError` for files and sentences together, a name that is not a file, and an empty sentence.
    """
    from seqvae_cli.data.text import check_encoding

    encoding = check_encoding(encoding)
    if list(text) == ["-"]:
        return Lines(_read_lines([standard_input()], encoding), encoding, None)
    if "-" in text:
        raise UsageError("standard input (-) cannot be combined with sentences or files", "give - alone")
    named = [names_a_file(one) for one in text]
    if all(named):
        paths = [Path(one) for one in text]
        size = sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None
        return Lines(_read_lines(paths, encoding), encoding, size)
    for one, is_file in zip(text, named, strict=True):
        if not is_file and looks_like_a_file(one):
            raise _no_file(one)
    if any(named):
        file, sentence = text[named.index(True)], text[named.index(False)]
        raise UsageError(f"{file!r} is a file, {sentence!r} is none", "give files alone, or sentences alone")
    sentences = [utf8(one) for one in text]
    refuse_empty(sentences, "give a sentence, FILE or -")
    return Lines(sentences, "utf-8", sum(len(one.encode()) + 1 for one in sentences))


def sentence_arguments(arguments: Iterable[str], hint: str) -> list[str]:
    """The sentences that a command takes only as arguments. Raises `UsageError` for a name of a file, too."""
    sentences = [utf8(one) for one in arguments]
    for one in sentences:
        if looks_like_a_file(one):
            raise UsageError(f"{one!r} looks like a file, not a sentence", hint)
    refuse_empty(sentences, hint)
    return sentences


def refuse_empty(sentences: Iterable[str], hint: str) -> None:
    """Raises `UsageError` for an empty sentence, with `hint`, and for one that is not UTF-8."""
    for sentence in sentences:
        if not sentence.strip():
            raise UsageError("an empty sentence has no code", hint)
        if any("\ud800" <= character <= "\udfff" for character in sentence):
            raise UsageError("a sentence is not UTF-8", "give text in UTF-8, or a FILE with --encoding")


def utf8(argument: str) -> str:
    """The text of an argument whose bytes are UTF-8, in whatever encoding the locale made Python read it.

    Only for text: the system finds a file by the name as Python has it.
    """
    with suppress(UnicodeError):
        return os.fsencode(argument).decode("utf-8")
    return argument


def _read_lines(sources: Sequence[Path | BinaryIO], encoding: str) -> Iterator[str | Pause]:
    lines = _lines(sources, encoding)
    return with_pauses(lines) if any(map(may_pause, sources)) else lines


def _lines(sources: Sequence[Path | BinaryIO], encoding: str) -> Iterator[str]:
    """The lines of `sources`. Lines over 1 MiB become empty, with a warning that counts them."""
    from seqvae_cli.data.text import read_lines

    dropped: Counter[str] = Counter()
    for source in sources:
        yield from read_lines(source, encoding, keep_blank=True, dropped=dropped)
    if dropped["too_long"]:
        long = dropped["too_long"]
        lines = "1 line of over 1 MiB was" if long == 1 else f"{long} lines of over 1 MiB were"
        display.warn(f"{lines} too long, and taken as empty")


def names_a_file(text: str) -> bool:
    """Whether `text` is the path of a file, pipe or device; False for a sentence too long for a path."""
    try:
        return Path(text).exists() and not Path(text).is_dir()
    except (OSError, ValueError):
        return False


def looks_like_a_file(text: str) -> bool:
    """Whether `text`, without spaces, names a folder, or has a path separator, a `*` or the ending of a data file."""
    if not text or any(character.isspace() for character in text):
        return False
    with suppress(OSError, ValueError):
        if Path(text).is_dir():
            return True
    signs = [sign for sign in (os.sep, os.altsep, "*") if sign]
    return any(sign in text for sign in signs) or Path(text).suffix.lower() in ENDINGS


def _no_file(name: str) -> UsageError:
    with suppress(OSError, ValueError):
        if Path(name).is_dir():
            return UsageError(f"{name!r} is a folder", "name the files in it")
    return UsageError(f"no file {name!r}", "name a file, or give a sentence of several words")
