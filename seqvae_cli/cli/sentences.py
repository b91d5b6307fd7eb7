"""Reading sentences, one a line, from arguments, a file or stdin; shared by the commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from seqvae_cli.cli import display
from seqvae_cli.cli.pauses import may_pause, standard_input, with_pauses
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.latent.streams import Pause

T = TypeVar("T")


def open_lines(text: list[str], encoding: str) -> Iterable[str | Pause]:
    """The sentences of stdin, of a file, or the arguments themselves; lazily. Raises `UsageError`.

    Stdin and other pipes have a `PAUSE` where no more comes for now.
    """
    from seqvae_cli.data.text import check_encoding

    check_encoding(encoding)
    if text == ["-"]:
        return _read_lines(standard_input(), encoding)
    if "-" in text:
        raise UsageError("standard input (-) cannot be combined with sentences", "give - alone")
    if len(text) == 1 and names_a_file(text[0]):
        return _read_lines(Path(text[0]), encoding)
    check_sentences(text, "give a sentence, FILE or -")
    if len(text) == 1 and " " not in text[0] and ("/" in text[0] or text[0].endswith(".txt")):
        raise UsageError(f"no file {text[0]!r}", "name a file, or give a sentence of several words")
    return text


def check_sentences(arguments: Iterable[str], hint: str) -> None:
    """Raises `UsageError` for an empty sentence, with `hint`, and for one that is not UTF-8."""
    for sentence in arguments:
        if not sentence.strip():
            raise UsageError("an empty sentence has no code", hint)
        if any("\ud800" <= character <= "\udfff" for character in sentence):
            raise UsageError("a sentence is not UTF-8", "give text in UTF-8, or a FILE with --encoding")


def _read_lines(source: Path | BinaryIO, encoding: str) -> Iterator[str | Pause]:
    lines = _lines(source, encoding)
    return with_pauses(lines) if may_pause(source) else lines


def _lines(source: Path | BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of `source`. Lines over 1 MiB become empty, with a warning that counts them."""
    from seqvae_cli.data.text import read_lines

    dropped: Counter[str] = Counter()
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
