"""Files as records: plain text, CSV, TSV, JSON Lines and Parquet, each streamed, and compressed or not."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seqvae_cli.data import lookalikes
from seqvae_cli.data.compression import COMPRESSIONS
from seqvae_cli.data.delimited import csv_rows, json_rows
from seqvae_cli.data.parquet import parquet_rows
from seqvae_cli.data.records import Cells, Columns, Record, Rows, cell, split_of
from seqvae_cli.data.text import MAX_LINE, read_lines
from seqvae_cli.errors import DataError, UsageError, nearest

SAMPLE = 100
"""Rows from which the column of the text is guessed."""
_LINE_ENDS = re.compile(r"\s*[\r\n]\s*")


class Format(NamedTuple):
    """A format of files."""

    endings: tuple[str, ...]
    """Of their names."""
    rows: Callable[..., Rows] | None
    """Reads the rows of a table; None where each line is a sentence."""
    unit: str = "line"
    """What the numbers of its rows count."""


FORMATS: dict[str, Format] = {
    "txt": Format((".txt",), None),
    "csv": Format((".csv",), csv_rows),
    "tsv": Format((".tsv", ".tab"), partial(csv_rows, delimiters=("\t",))),
    "jsonl": Format((".jsonl", ".ndjson"), json_rows),
    "parquet": Format((".parquet",), parquet_rows, "row"),
}
"""The formats of files that hold sentences."""


@dataclass(frozen=True)
class Reading:
    """How files are read as records."""

    format: str | None = None
    """One of `FORMATS`; None: by the ending of each file's name, and txt without a known one."""
    columns: Columns = field(default_factory=Columns)
    encoding: str = "utf-8"
    command: str = "seqvae prepare"
    """The command that hints name."""
    text_option: str = "--text"
    """The option of that command that names the column of the text."""

    def format_of(self, name: str) -> str:
        """The format of a file. Raises `UsageError` for an unknown one."""
        return check_format(self.format) if self.format is not None else format_by_ending(name) or "txt"

    def is_table(self, name: str) -> bool:
        return FORMATS[self.format_of(name)].rows is not None


def check_format(form: str) -> str:
    """The name of a format. Raises `UsageError` for an unknown one."""
    if form not in FORMATS:
        raise UsageError(f"unknown format {form[:40]!r}", nearest(form, FORMATS))
    return form


def format_by_ending(name: str) -> str | None:
    """The format that the ending of a file's name tells, below that of a compression; None where it is unknown."""
    plain = without_ending(name.lower(), COMPRESSIONS)
    return next((key for key, one in FORMATS.items() if plain.endswith(one.endings)), None)


def without_ending(name: str, endings: Iterable[str]) -> str:
    """The name without the first of the endings that it has."""
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)


def stem(name: str) -> str:
    """The lower-case name of a file without the endings of format and compression: `reviews` of `Reviews.csv.gz`."""
    plain = without_ending(name.lower(), COMPRESSIONS)
    return without_ending(plain, itertools.chain.from_iterable(one.endings for one in FORMATS.values()))


def choose_columns(named: Iterable[tuple[Path, str]], reading: Reading) -> Reading:
    """The reading with the column of the text, guessed from the first rows of the first table if it is not given.

    named: files, and their names in messages. Raises `UsageError` where that table lacks a column, or several could be
    the text, and for columns of files without any.
    """
    first = None
    for path, label in named:
        if reading.is_table(label):
            rows = _rows(path, reading, label, Counter(), None)
            sample = [row for _, row in itertools.islice(rows, SAMPLE)]
            rows.close()  # and with it the file
            return replace(reading, columns=_chosen(path, reading, label, sample))
        first = first or label
    if reading.columns.named() and first is not None:
        raise no_columns(first)
    return reading


def _chosen(
    source: Path | BinaryIO, reading: Reading, label: str, rows: Sequence[Cells], one_row: bool = False
) -> Columns:
    """The columns of a file, chosen by its first rows. Those that only later rows of JSON have are looked for in all.

    Raises `UsageError` as `Columns.chosen` does.
    """
    columns, later = reading.columns, set[str]()
    again = isinstance(source, Path) and source.is_file()
    if again and len(rows) >= SAMPLE and _is_json(reading, label) and (missing := columns.missing(rows)):
        others = _rows(source, reading, label, Counter(), None)
        later = missing - columns.missing(row for _, row in others)
        others.close()
    return columns.chosen(rows, label, reading.text_option, later=later, one_row=one_row)


def _is_json(reading: Reading, label: str) -> bool:
    return FORMATS[reading.format_of(label)].rows is json_rows


def no_columns(label: str) -> UsageError:
    return UsageError(f"{label} is text, without columns", "--format csv, tsv, jsonl or parquet, if it is a table")


def read_records(
    source: Path | BinaryIO,
    reading: Reading,
    *,
    label: str = "",
    folder: str | None = None,
    split: str = "",
    keep_blank: bool = False,
    sample: int = SAMPLE,
    told: Callable[[str], None] | None = None,
    dropped: Counter[str] | None = None,
    advance: Callable[[int], None] | None = None,
) -> Iterator[Record]:
    """The records of a file or stream, in order; those with an empty or over-long text are dropped.

    An embedded line end becomes a space: a record is one sentence.

    label: the name of the file in messages, whose ending tells the format; its path by default.
    folder: the value of one more label, behind those of the columns.
    split: that of the records, if no column tells it.
    keep_blank: keeps records without text, or with one of over 1 MiB, with an empty text.
    sample: rows from which a column that is not given is guessed; they are read before the first record is given. From
        one, only what more rows could not change.
    told: called with the name of the column of the text.
    dropped: counts the dropped records, under "empty" and "too_long", and texts with line ends, under "joined".
    advance: called with the bytes of each block read, as they lie on disk.

    Raises `DataError` with file and line, `UsageError` for a column that the file lacks, or that is not told.
    """
    dropped = Counter() if dropped is None else dropped
    label = label or (str(source) if isinstance(source, Path) else "standard input")
    extra = () if folder is None else (folder,)
    if not reading.is_table(label):
        if reading.columns.beside():
            raise no_columns(label)
        inspect = None
        if reading.format is None:
            inspect = partial(lookalikes.refuse, label=label, command=reading.command, text_option=reading.text_option)
        for line in read_lines(
            source,
            reading.encoding,
            label=label,
            keep_blank=keep_blank,
            dropped=dropped,
            advance=advance,
            inspect=inspect,
        ):
            yield Record(line, extra, "", split)
        return
    rows = _rows(source, reading, label, dropped, advance)
    first = list(itertools.islice(rows, sample))
    columns = _chosen(source, reading, label, [row for _, row in first], one_row=sample == 1)
    if told and columns.text is not None:
        told(columns.text)
    unit = FORMATS[reading.format_of(label)].unit
    seen: set[str] = set()
    for number, row in itertools.chain(first, rows):
        try:
            record = _record(row, columns, seen, dropped)
        except DataError as error:
            raise DataError(f"{label}, {unit} {number}: {error.message}", error.hint) from None
        if record.text or keep_blank:
            yield Record(record.text, record.labels + extra, record.id, record.split or split)


def _record(row: Cells, columns: Columns, seen: set[str], dropped: Counter[str]) -> Record:
    """The record of a row; with an empty text where it has none, or one over 1 MiB, which `dropped` counts."""
    assert columns.text is not None
    if columns.text not in row:
        raise DataError(f"no {columns.text!r}", "give every row a text, if an empty one")
    text = cell(row[columns.text], columns.text)
    if "\n" in text or "\r" in text:
        text = _LINE_ENDS.sub(" ", text.strip())
        dropped["joined"] += 1
    if not text or text.isspace():
        text = ""
        dropped["empty"] += 1
    elif len(text) * 4 > MAX_LINE and len(text.encode()) > MAX_LINE:
        text = ""
        dropped["too_long"] += 1
    split = ""
    if columns.split is not None:
        split = split_of(cell(row.get(columns.split), columns.split), seen)
        seen.add(split)
    labels = tuple([cell(row.get(name), name).strip() for name in columns.labels])
    return Record(text, labels, "" if columns.id is None else cell(row.get(columns.id), columns.id), split)


def _rows(
    source: Path | BinaryIO,
    reading: Reading,
    label: str,
    dropped: Counter[str],
    advance: Callable[[int], None] | None,
) -> Rows:
    rows = FORMATS[reading.format_of(label)].rows
    assert rows is not None
    named = reading.columns.named()
    if rows is parquet_rows and reading.columns.text is not None:
        rows = partial(rows, only=named)
    elif rows is not parquet_rows and not _is_json(reading, label):
        rows = partial(rows, known=named, text_option=reading.text_option)
    return rows(source, reading.encoding, label, dropped, advance)
