"""Tables as text: CSV and TSV with their delimiters and quotes, JSON Lines. Rows come with their line numbers."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from seqvae_cli.data.records import MAX_COLUMNS, Rows, is_number
from seqvae_cli.data.text import MAX_LINE, decoded_blocks, line_feeds
from seqvae_cli.errors import DataError, counted

MAX_ROW = 16 * MAX_LINE
"""Characters of a line of a table, at most."""
SAMPLE = 1 << 16
"""Characters at the beginning of a table that tell its dialect."""
LONG = 1 << 16
"""Characters of a line of JSON from which on what no record can hold is not kept: many rows are in memory at once."""
MAX_HEADER = 200
"""Characters of the name of a column, at most."""
DELIMITERS = (",", ";", "\t", "|")
QUOTES: tuple[dict[str, Any], ...] = (
    {"doublequote": True},
    {"doublequote": False, "escapechar": "\\"},
    {"quoting": csv.QUOTE_NONE},
)
"""How a table quotes: a quote within quotes is doubled (RFC 4180), or has a backslash (MySQL); or quotes are text."""


class Dialect(csv.Dialect):
    """A delimiter and one of `QUOTES`, read strictly: what does not follow them is an error, not a guess."""

    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL
    quotechar = '"'
    strict = True

    def __init__(self, delimiter: str, quotes: dict[str, Any]) -> None:
        self.delimiter = delimiter
        self.doublequote = quotes.get("doublequote", True)
        self.escapechar = quotes.get("escapechar")
        self.quoting = quotes.get("quoting", csv.QUOTE_MINIMAL)
        super().__init__()


def dialect_of(start: str, delimiters: tuple[str, ...] = DELIMITERS) -> Dialect:
    """The dialect of a table that begins with `start`: the one in which its rows have as many fields as its header.

    Of several quotings the one that gives most rows, since a quote that is never closed swallows rows. Where quotes
    enclose every name of the header, they are read as quotes, not as text. Of several delimiters the one that gives
    most fields. Where none fits, the delimiter that the first line has most of, so that the error names the first row
    that differs.
    """
    start = start[:SAMPLE]
    first = start.partition("\n")[0]
    fitting: list[tuple[int, Dialect]] = []
    for delimiter in delimiters:
        names = first.rstrip("\r").split(delimiter)
        quoted = all(len(name) > 1 and name[0] == name[-1] == '"' for name in names)
        ways = [quotes for quotes in QUOTES if not (quoted and "quoting" in quotes)]
        dialects = [Dialect(delimiter, quotes) for quotes in ways if quotes.get("escapechar", "") in start]
        shapes = [(shape, dialect) for dialect in dialects if (shape := _shape(start, dialect))]
        if shapes:
            (fields, _), dialect = max(shapes, key=lambda found: found[0][1])
            fitting.append((fields, dialect))
    frequent = max(delimiters, key=first.count)
    if not fitting:
        return Dialect(frequent, QUOTES[0])
    fields, dialect = max(fitting, key=lambda found: found[0])
    return dialect if fields > 1 or frequent not in first else Dialect(frequent, QUOTES[0])


def _shape(start: str, dialect: csv.Dialect) -> tuple[int, int] | None:
    """Fields a row and number of the rows that `start` holds whole; None where they differ or break the dialect."""
    rows = _whole_rows(start, dialect)
    fields = {len(row) for row in rows}
    return (fields.pop(), len(rows)) if len(fields) == 1 else None


def table_of(start: str, delimiter: str) -> list[list[str]]:
    """The rows that a text begins with, if they have as many fields each, at least two; else none."""
    start = start[:SAMPLE]
    rows = _whole_rows(start, dialect_of(start, (delimiter,))) if delimiter in start.partition("\n")[0] else []
    return rows if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 else []


def _whole_rows(start: str, dialect: csv.Dialect) -> list[list[str]]:
    """The rows that `start` holds whole, without blank lines; none where they break the dialect."""
    lines = list(_lines(iter([start]), "the text"))
    reader = csv.reader(iter(lines), dialect)
    found: list[list[str]] = []
    with suppress(csv.Error):
        found.extend(row for row in _bounded(reader) if row)
        return found if start.endswith("\n") else found[:-1]
    return found if reader.line_num >= len(lines) else []  # the last row is cut


def _bounded(reader: Any) -> Iterator[list[str]]:
    """The rows of a `csv.reader`, with fields of at most `MAX_LINE` characters: a limit that the process has once."""
    while True:
        before = csv.field_size_limit(MAX_LINE)
        try:
            row = next(reader, None)
        finally:
            csv.field_size_limit(before)
        if row is None:
            return
        yield row


def _lines(blocks: Iterator[str], label: str) -> Iterator[str]:
    """The lines of a text in blocks, each with an LF; a lone CR becomes a space. Raises `DataError` for a longer one
    than `MAX_ROW`."""
    rest = ""
    for block in blocks:
        *whole, last = (rest + block).split("\n") if "\n" in block else [rest + block]
        for line in whole:
            yield (line.removesuffix("\r").replace("\r", " ") if "\r" in line else line) + "\n"
        rest = last
        if len(rest) > MAX_ROW:
            raise DataError(f"{label} has a line of over {MAX_ROW >> 20} MiB", "is it a table, a row a line?")
    if rest:
        yield rest.replace("\r", " ")


def csv_rows(
    source: Path | BinaryIO,
    encoding: str,
    label: str,
    dropped: Counter[str],
    advance: Callable[[int], None] | None = None,
    *,
    delimiters: tuple[str, ...] = DELIMITERS,
) -> Rows:
    """The rows of a CSV file with a header, whose dialect follows from its first block. Blank lines are dropped.

    Raises `DataError` with the line for a missing header, a row with another number of fields than the header, a
    quotation mark out of place, and a field of over 1 MiB; else what `text.read_lines` raises.
    """
    blocks, start = line_feeds(decoded_blocks(source, encoding, label, advance)), ""
    for block in blocks:
        start += block
        if "\n" in start or len(start) > MAX_ROW:
            break
    reader = csv.reader(_lines(itertools.chain([start], blocks), label), dialect_of(start, delimiters))
    header: list[str] = []
    line = 1
    try:
        for row in _bounded(reader):
            if len(row) <= 1 and not "".join(row).strip() and len(header) != 1:
                dropped["empty"] += 1
            elif not header:
                header = _header(row, f"{label}, line {line}")
            elif len(row or [""]) != len(header):
                raise DataError(
                    f"{label}, line {line} has {counted(len(row), 'field')}, the header has {len(header)}",
                    "put quotation marks around a field that has the delimiter in it",
                )
            else:
                yield line, dict(zip(header, row or [""], strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        reason = next((told for part, told in REASONS.items() if part in str(error)), str(error))
        raise DataError(
            f"{label}, line {line}: {reason}", "quotation marks within a quoted field are doubled"
        ) from error


REASONS = {
    "field limit": "a field of over 1 MiB begins here: is a quotation mark missing?",
    "unexpected end": "a quotation mark opens here, and is never closed",
    "expected after": "a quotation mark stands within a quoted field",
}
"""What `csv` calls an error -> what it is."""


def _header(row: list[str], where: str) -> list[str]:
    """The names of the columns. Raises `DataError` for what cannot be a header: sentences, numbers, a name twice."""
    names = [name.strip() for name in row]
    if any(is_number(name) for name in names) or any(len(name) > MAX_HEADER for name in names):
        shown = ", ".join(names)
        raise DataError(
            f"{where} should be a header, the names of the columns, and is: {shown[:60]}{'…' * (len(shown) > 60)}",
            "put a line with their names before the first row",
        )
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{where} has {len(names):,} columns, {MAX_COLUMNS:,} are the most", "is it a table?")
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns have the name {twice!r}", "give each column a name of its own")
    return names


def json_rows(
    source: Path | BinaryIO,
    encoding: str,
    label: str,
    dropped: Counter[str],
    advance: Callable[[int], None] | None = None,
) -> Rows:
    """The objects of JSON Lines. Blank lines are dropped.

    Of values that no record can hold, a list or an object is given empty, and a text over 1 MiB without its end.

    Raises `DataError` with the line for anything but an object, and for a line over 16 MiB; else what
    `text.read_lines` raises.
    """
    lines = _lines(line_feeds(decoded_blocks(source, encoding, label, advance)), label)
    for number, line in enumerate(lines, 1):
        if line.isspace():
            dropped["empty"] += 1
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            hint = "an object a line; an array is turned into that by: jq -c '.[]' FILE"
            raise DataError(f"{label}, line {number} is not a JSON object", hint)
        if len(value) > MAX_COLUMNS:
            raise DataError(f"{label}, line {number} has {len(value):,} keys, {MAX_COLUMNS:,} are the most")
        yield number, value if len(line) < LONG else {name: _cut(one) for name, one in value.items()}


def _cut(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return type(value)()
    if isinstance(value, str) and len(value) > MAX_LINE:
        return value[:100] + "." * (MAX_LINE + 1)  # too long still, whatever becomes of the spaces in it
    return value
