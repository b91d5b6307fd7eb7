"""Reading sentences from arguments, files of text or tables, or stdin; shared by the commands."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from seqvae_cli.cli import display
from seqvae_cli.cli.pauses import may_pause, standard_input, with_pauses
from seqvae_cli.errors import UsageError

if TYPE_CHECKING:
    from seqvae_cli.data.readers import Reading
    from seqvae_cli.data.records import Record
    from seqvae_cli.data.windows import Pause

ENDINGS = {
    *(".txt", ".text", ".md", ".log", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".xml", ".html"),
    *(".pdf", ".doc", ".docx", ".npy", ".npz", ".parquet", ".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz"),
}
"""Endings of the names of text and data files: an argument with one is never a sentence."""


class Lines:
    """Sentences in order, read while they are iterated, and what their files say beside them."""

    def __init__(self, records: Iterable[Record | Pause], reading: Reading, size: int | None) -> None:
        self.records, self.columns, self.encoding, self.size = records, reading.columns, reading.encoding, size
        """`size`: their bytes in all; None where it is unknown: of stdin, pipes, tables and compressed files."""
        self._unanswered: deque[Record] = deque()

    def __iter__(self) -> Iterator[str | Pause]:
        """The sentences. A `PAUSE` stands where stdin or a pipe gives no more for now."""
        for item in self.records:
            if isinstance(item, tuple):
                self._unanswered.append(item)
                yield item.text
            else:
                yield item

    def answered(self) -> Record:
        """The record of the next answer: answers come in the order of the sentences, one for each."""
        return self._unanswered.popleft()

    def bytes_of(self, line: str) -> int:
        """The bytes of a line and its line end."""
        return len(f"{line}\n".encode(self.encoding, "replace")) - len(
            "".encode(self.encoding)
        )  # without byte order mark

    def names(self) -> list[str]:
        """The columns that are passed through: the id, then the labels."""
        return [*([] if self.columns.id is None else [self.columns.id]), *self.columns.labels]

    def values(self, record: Record) -> list[str]:
        """The values of `names` in a record."""
        return [*([] if self.columns.id is None else [record.id]), *record.labels]

    def keys(self, record: Record) -> dict[str, Any]:
        """The same for JSON: `id`, and `labels` by name, each only where it was asked for."""
        found: dict[str, Any] = {} if self.columns.id is None else {"id": record.id}
        if self.columns.labels:
            found["labels"] = dict(zip(self.columns.labels, record.labels, strict=True))
        return found


def reading_of(
    command: str, form: str | None, text: str | None, labels: Sequence[str] | None, ids: str | None, encoding: str
) -> Reading:
    """How a command reads its files, by its options."""
    from seqvae_cli.data.readers import Reading
    from seqvae_cli.data.records import Columns
    from seqvae_cli.data.text import check_encoding

    columns = Columns(text, tuple(dict.fromkeys(labels or ())), None, ids)
    return Reading(form, columns, check_encoding(encoding), f"seqvae {command}")


def open_lines(text: Sequence[str], reading: Reading) -> Lines:
    """The sentences of stdin, of files one after another, or the arguments themselves.

    Raises `UsageError` for files and sentences together, a name that is not a file, an empty sentence, and columns that
    the files lack.
    """
    from seqvae_cli.data.records import Record

    if list(text) == ["-"]:
        if reading.format_of("-") == "parquet":
            raise UsageError("a Parquet table cannot be read from standard input", "name a file")
        return Lines(_read([standard_input()], reading), reading, None)
    if "-" in text:
        raise UsageError("standard input (-) cannot be combined with sentences or files", "give - alone")
    named = [names_a_file(one) for one in text]
    if all(named):
        return _open_files([Path(one) for one in text], reading)
    for one, is_file in zip(text, named, strict=True):
        if not is_file and looks_like_a_file(one):
            raise _no_file(one)
    if any(named):
        file, sentence = text[named.index(True)], text[named.index(False)]
        raise UsageError(f"{file!r} is a file, {sentence!r} is none", "give files alone, or sentences alone")
    if reading.format or reading.columns.named():
        flag = "--format goes" if reading.format else "columns go"
        raise UsageError(f"{flag} with files, {text[0][:40]!r} is none", "name a file, or leave it out")
    sentences = [utf8(one) for one in text]
    refuse_empty(sentences, "give a sentence, FILE or -")
    size = sum(len(one.encode()) + 1 for one in sentences)
    return Lines([Record(one) for one in sentences], replace(reading, encoding="utf-8"), size)


def _open_files(paths: list[Path], reading: Reading) -> Lines:
    from seqvae_cli.data import compression, readers

    regular, given = all(path.is_file() for path in paths), reading
    if regular:
        reading = readers.choose_columns([(path, str(path)) for path in paths], reading)
    lines = not any(reading.is_table(str(path)) or path.suffix in compression.COMPRESSIONS for path in paths)
    size = sum(path.stat().st_size for path in paths) if regular and lines else None
    guessed = reading.columns.text if given.columns.text is None else None
    return Lines(_read(paths, reading, guessed), reading, size)


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


def _read(sources: Sequence[Path | BinaryIO], reading: Reading, guessed: str | None = None) -> Iterator[Record | Pause]:
    pausing = any(map(may_pause, sources))
    records = _records(sources, reading, pausing, guessed)
    return with_pauses(records) if pausing else records


def _records(
    sources: Sequence[Path | BinaryIO], reading: Reading, pausing: bool, guessed: str | None
) -> Iterator[Record]:
    """The records of `sources`. Those over 1 MiB become empty, with a warning that counts them.

    pausing: the first record alone tells the columns, since the next may be long in coming.
    guessed: the column of the text where it was not given and is known already. It is said, and so is one that is
        guessed here.
    """
    from seqvae_cli.data.readers import SAMPLE, read_records

    dropped: Counter[str] = Counter()
    said = set[str]() if guessed or reading.columns.text is None else {str(reading.columns.text)}

    def say(column: str) -> None:
        if column not in said:
            display.say(f"text: {column} ({reading.text_option} says otherwise)")
            said.add(column)

    for source in sources:
        sample = 1 if pausing else SAMPLE
        yield from read_records(source, reading, keep_blank=True, sample=sample, told=say, dropped=dropped)
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
