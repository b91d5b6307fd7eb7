"""Reading sentences from arguments, files of text or tables, or stdin; shared by the commands."""

from __future__ import annotations

import itertools
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from seqvae_cli.cli import display, shards
from seqvae_cli.cli.pauses import may_pause, standard_input, with_pauses
from seqvae_cli.errors import UsageError, counted
from seqvae_cli.system.processes import of_environment

if TYPE_CHECKING:
    from seqvae_cli.data.readers import Reading
    from seqvae_cli.data.records import Record
    from seqvae_cli.data.windows import Pause

ENDINGS = {
    *(
        ".txt",
        ".text",
        ".md",
        ".log",
        ".csv",
        ".tsv",
        ".tab",
        ".json",
        ".jsonl",
        ".ndjson",
        ".yaml",
        ".yml",
        ".xml",
        ".html",
    ),
    *(
        ".pdf",
        ".doc",
        ".docx",
        ".xls",
        ".xlsx",
        ".npy",
        ".npz",
        ".parquet",
        ".gz",
        ".bz2",
        ".xz",
        ".zst",
        ".zip",
        ".tar",
        ".tgz",
    ),
}
"""Endings of the names of text and data files: an argument with one is never a sentence."""


class Lines:
    """Sentences in order, read while they are iterated, and what their files say beside them."""

    def __init__(
        self, records: Iterable[Record | Pause], reading: Reading, size: int | None, paths: Sequence[Path] = ()
    ) -> None:
        self.records, self.columns, self.encoding, self.size = records, reading.columns, reading.encoding, size
        """`size`: their bytes in all; None where it is unknown: of stdin, pipes, tables and compressed files."""
        self.paths = paths
        """The files that they come from."""
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

    def apart(
        self, names: Sequence[str], advance: Callable[[str], None]
    ) -> tuple[Iterator[str], dict[str, Iterator[str]]]:
        """The sentences, and the values of the labels `names`: all to be read together, or those that lag are kept.

        advance: told each sentence that was read.
        """

        def records() -> Iterator[Record]:
            for record in self.records:
                if isinstance(record, tuple):
                    yield record
                    advance(record.text)

        def values(copy: Iterator[Record], place: int) -> Iterator[str]:
            return (record.labels[place] for record in copy)

        places = map(self.columns.labels.index, names)
        texts, *copies = itertools.tee(records(), len(names) + 1)
        labels = {name: values(copy, place) for name, copy, place in zip(names, copies, places, strict=True)}
        return (record.text for record in texts), labels

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


def open_lines(text: Sequence[str], reading: Reading, shard: str | None = None) -> Lines:
    """The sentences of stdin, of files and folders one after another, or the arguments themselves.

    shard: `I/N`, for every N-th of them.

    Raises `UsageError` for another shard, for files and sentences together, a name that is not a file, an empty
    sentence, and columns that a file lacks; for folders what `folders.files_of` raises.
    """
    from seqvae_cli.data.records import Record

    if shard is not None:
        lines = open_lines(text, reading)
        lines.records, lines.size = shards.of(lines.records, shard), None
        return lines
    if list(text) == ["-"]:
        if reading.format_of("-") == "parquet":
            raise UsageError("a Parquet table cannot be read from standard input", "name a file")
        return Lines(_read([standard_input()], reading), reading, None)
    if "-" in text:
        raise UsageError("standard input (-) cannot be combined with sentences or files", "give - alone")
    named = [names_a_file(one) or is_a_folder(one) for one in text]
    if all(named):
        return _open_files([Path(one) for one in text], reading)
    for one, is_file in zip(text, named, strict=True):
        if not is_file and looks_like_a_file(one):
            hint = f"name a file, or pipe the sentence: echo SENTENCE | {reading.command} -"
            raise UsageError(f"no file {one!r}", hint)
    if any(named):
        file, sentence = text[named.index(True)], text[named.index(False)]
        kind = "file" if names_a_file(file) else "folder"
        raise UsageError(f"{file!r} is a {kind}, {sentence!r} is not a file", "give files alone, or sentences alone")
    if reading.format or reading.columns.named():
        flag = "--format goes" if reading.format else "columns go"
        raise UsageError(f"{flag} with files, {text[0][:40]!r} is not a file", "name a file, or leave it out")
    sentences = [utf8(one) for one in text]
    refuse_empty(sentences, "give a sentence, FILE or -")
    size = sum(len(one.encode()) + 1 for one in sentences)
    return Lines([Record(one) for one in sentences], replace(reading, encoding="utf-8"), size)


def _open_files(names: list[Path], reading: Reading) -> Lines:
    from seqvae_cli.data import compression, folders, headers

    paths: list[Path] = []
    labels: dict[Path, str] = {}
    for name in names:
        if not name.is_dir():
            paths.append(name)
            continue
        warn_of_skipped(name)
        for _, path, label in folders.files_of(name, reading.format):
            paths.append(path)
            if label is not None:
                labels[path] = label
    if labels:
        headers.refuse_folder_label(reading.columns)
    regular = [path for path in paths if path.is_file()]
    checked = headers.choose_columns([(path, str(path)) for path in regular], reading)
    size, guessed = None, None
    if len(regular) == len(paths):
        if reading.columns.text is None:
            guessed = checked.columns.text
        reading = checked
        if not any(reading.is_table(str(path)) or path.suffix.lower() in compression.COMPRESSIONS for path in paths):
            size = sum(path.stat().st_size for path in paths)
    told = reading
    if labels:
        columns = replace(reading.columns, labels=(*reading.columns.labels, folders.FOLDER))
        told = replace(reading, columns=columns)
    return Lines(_read(paths, reading, labels, guessed), told, size, paths)


def warn_of_skipped(folder: Path) -> None:
    """Warns of the files of a folder that are not read, since their endings are not those of text."""
    from seqvae_cli.data import folders

    if names := folders.skipped(folder):
        said = f"{folder}: {counted(len(names), 'file')} skipped, of no known format: {folders.listed(names)}"
        display.warn(said, "a file that is named is read as text")


def sentence_arguments(arguments: Iterable[str], hint: str) -> list[str]:
    """The sentences that a command takes only as arguments. Raises `UsageError` for a name of a file, too."""
    sentences = [utf8(one) for one in arguments]
    for one in sentences:
        if one == "-":
            raise UsageError("standard input (-) is not read here", hint)
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


def _read(
    sources: Sequence[Path | BinaryIO],
    reading: Reading,
    folders: Mapping[Path, str] | None = None,
    guessed: str | None = None,
) -> Iterator[Record | Pause]:
    pausing = any(map(may_pause, sources))
    if of_environment().several and (pausing or not all(isinstance(source, Path) for source in sources)):
        raise UsageError("several processes cannot read from one pipe", "name a file")
    records = _records(sources, reading, folders or {}, pausing, guessed)
    return with_pauses(records) if pausing else records


def _records(
    sources: Sequence[Path | BinaryIO],
    reading: Reading,
    folders: Mapping[Path, str],
    pausing: bool,
    guessed: str | None,
) -> Iterator[Record]:
    """The records of `sources`. Those over 1 MiB become empty, with a warning that counts them.

    folders: the last label of the records of each file; empty where the files have no such label.
    pausing: the first record alone tells the columns, since the next may be long in coming.
    guessed: the column of the text where it was not given and is known already. It is said, and so is one that is
        guessed here.
    """
    from seqvae_cli.data.readers import SAMPLE, read_records

    dropped: Counter[str] = Counter()
    sample = 1 if pausing else SAMPLE
    said = set[str]() if guessed or reading.columns.text is None else {str(reading.columns.text)}

    def say(column: str) -> None:
        if column not in said:
            display.say(f"text: {column} ({reading.text_option} says otherwise)")
            said.add(column)

    for source in sources:
        folder = (folders.get(source, "") if isinstance(source, Path) else "") if folders else None
        options: dict[str, Any] = {"folder": folder, "keep_blank": True, "sample": sample, "dropped": dropped}
        yield from read_records(source, reading, told=say, **options)
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


def is_a_folder(text: str) -> bool:
    """Whether `text` is the path of a folder."""
    with suppress(OSError, ValueError):
        return bool(text) and Path(text).is_dir()  # Path("") is the working folder
    return False


def looks_like_a_file(text: str) -> bool:
    """Whether `text`, without spaces, has the ending of a data file, or begins as a path: with / or ./, or a folder.

    Other text with a / or a * is a sentence, such as and/or, and the molecule C/C=C/C.
    """
    if not text or any(character.isspace() for character in text):
        return False
    path = Path(text)
    if path.anchor or text.startswith(("./", "../", "~/")) or path.suffix.lower() in ENDINGS:
        return True
    return bool(path.parts) and is_a_folder(path.parts[0])
