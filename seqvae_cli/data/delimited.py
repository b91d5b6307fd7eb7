"""Tables as text: CSV and TSV with their delimiters and quotes, JSON Lines. Rows come with their line numbers."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from seqvae_cli.data.records import MAX_COLUMNS, TEXT_NAMES, Rows, is_number, word_count
from seqvae_cli.data.text import MAX_LINE, decoded_blocks, line_feeds
from seqvae_cli.errors import DataError, counted

MAX_ROW = 16 * MAX_LINE
"""Characters of a row of a table, at most, and of its lines."""
SAMPLE = 1 << 16
"""Characters at the beginning of a table that tell its dialect."""
LONG = 1 << 16
"""Characters of a line of JSON from which on what no record can hold is not kept: many rows are in memory at once."""
MAX_HEADER = 200
"""Characters of the name of a column, at most."""
SENTENCE = 5
"""Words from which on what should be the name of a column is a sentence."""
DELIMITERS = (",", ";", "\t", "|")
QUOTES: tuple[dict[str, Any], ...] = (
    {"doublequote": True},
    {"doublequote": False, "escapechar": "\\"},
    {"quoting": csv.QUOTE_NONE},
)
"""How a table quotes: a quote within quotes is doubled (RFC 4180), or has a backslash (MySQL); or quotes are text."""
_SEPARATOR = re.compile(r'"?sep=([^\w\s"\\]|\t)"?\r?\n', re.IGNORECASE)
"""A first line that tells Excel the delimiter."""


class Dialect(csv.Dialect):
    """A delimiter and one of `QUOTES`, read strictly: what does not follow them is an error, not a guess.

    Only where quotes have a backslash, `csv` takes text after a quoted field as its end.
    """

    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL
    quotechar = '"'
    strict = True

    def __init__(self, delimiter: str, quotes: dict[str, Any]) -> None:
        self.delimiter = delimiter
        self.doublequote = quotes.get("doublequote", True)
        self.escapechar = quotes.get("escapechar")
        self.quoting = quotes.get("quoting", csv.QUOTE_MINIMAL)
        self.quotes_are_text = "quoting" in quotes
        super().__init__()


def dialect_of(start: str, delimiters: tuple[str, ...] = DELIMITERS) -> Dialect:
    """The dialect of a table that begins with `start`: the one in which its rows have as many fields as its header.

    Of several delimiters the one that gives most fields; its quoting is that of `_quoting`. Where none fits, the
    delimiter that the first line has most of, so that the error names the first row that differs.
    """
    start = start[:SAMPLE]
    first = start.partition("\n")[0]
    fitting = [found for delimiter in delimiters if (found := _quoting(start, first.rstrip("\r"), delimiter))]
    frequent = max(delimiters, key=first.count)
    if not fitting:
        return Dialect(frequent, QUOTES[0])
    fields, dialect = max(fitting, key=lambda found: found[0])
    return dialect if fields > 1 or frequent not in first else Dialect(frequent, QUOTES[0])


def _quoting(start: str, first: str, delimiter: str) -> tuple[int, Dialect] | None:
    """Fields a row, and the dialect of a delimiter in which all rows have as many; None where there is none.

    Quotes that enclose fields are quotes, not text. But one that is opened and never closed swallows rows: where no
    quoted field ends, the quoting that gives most rows. Tables separated by tabs rarely have quotes, and sentences that
    begin with one often: there it is always the one that gives most rows, unless there is one column.
    """
    names = first.split(delimiter)
    quoted = all(len(name) > 1 and name[0] == name[-1] == '"' for name in names)
    ways = [quotes for quotes in QUOTES if not (quoted and "quoting" in quotes)]
    dialects = [Dialect(delimiter, quotes) for quotes in ways if "escapechar" not in quotes or '\\"' in start]
    shapes = [(shape, dialect) for dialect in dialects if (shape := _shape(start, dialect))]
    if not shapes:
        return None
    tabs = delimiter == "\t"
    best = max(shapes, key=lambda found: found[0].rows)
    closed = [(shape, dialect) for shape, dialect in shapes if shape.quoted]
    if closed and not (tabs and best[0].fields > 1):
        best = max(closed, key=lambda found: found[0].rows)
    elif tabs and not closed and shapes[-1][1].quotes_are_text:
        best = shapes[-1]
    return best[0].fields, best[1]


class _Shape(NamedTuple):
    """What the rows that a text holds whole look like in a dialect."""

    fields: int
    """Of each row."""
    rows: int
    quoted: bool
    """Whether some field is enclosed in quotes."""


def _shape(start: str, dialect: Dialect) -> _Shape | None:
    """The shape of a table; None where its rows differ in the number of their fields, or break the dialect."""
    rows, text = _whole_rows(start, dialect)
    fields = {len(row) for row in rows}
    if len(fields) != 1:
        return None
    if dialect.escapechar and not _is_escaped(text, dialect.delimiter):
        return None
    enclosed = re.compile(f'(?:^|{re.escape(dialect.delimiter)})"', re.MULTILINE)
    quoted = not dialect.quotes_are_text and enclosed.search(text) is not None
    return _Shape(fields.pop(), len(rows), quoted)


def _is_escaped(text: str, delimiter: str) -> bool:
    """Whether each quoted field of these rows ends at a delimiter or a line: with backslashes, `csv` also reads on."""
    end = re.escape(delimiter)
    field = rf'(?:"(?:[^"\\]|\\.)*+"|(?!")(?:[^{end}\n\\]|\\.)*+)'
    return re.fullmatch(rf"(?:{field}(?:{end}|\n))*+{field}", text, re.DOTALL) is not None


def without_separator(start: str) -> str:
    """The beginning of a table without a first line that tells Excel the delimiter."""
    found = _SEPARATOR.match(start)
    return start[found.end() :] if found else start


def table_of(start: str, delimiter: str) -> list[list[str]]:
    """The rows that a text begins with, if they have as many fields each, at least two; else none."""
    start = start[:SAMPLE]
    if delimiter not in start.partition("\n")[0]:
        return []
    rows, _ = _whole_rows(start, dialect_of(start, (delimiter,)))
    return rows if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 else []


def _whole_rows(start: str, dialect: csv.Dialect) -> tuple[list[list[str]], str]:
    """The rows that `start` holds whole, without blank lines, and their text; none where they break the dialect."""
    lines = list(_lines(iter([start]), "the text"))
    reader = csv.reader(iter(lines), dialect)
    found: list[tuple[list[str], int]] = []
    try:
        found.extend((row, reader.line_num) for row in _bounded(reader) if row)
        found = found if start.endswith("\n") else found[:-1]
    except csv.Error:
        found = found if reader.line_num >= len(lines) else []  # the last row is cut
    return [row for row, _ in found], "".join(lines[: found[-1][1]]) if found else ""


def _bounded(reader: Any) -> Iterator[list[str]]:
    """The rows of a `csv.reader`, with fields as long as rows may be: a limit that the process has once."""
    while True:
        before = csv.field_size_limit(MAX_ROW)
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
    known: Collection[str] = (),
    text_option: str = "--text",
) -> Rows:
    """The rows of a CSV file with a header, whose dialect follows from its first block. Blank lines are dropped.

    A first line such as `sep=;`, which is for Excel, tells the delimiter.

    known: columns that were asked for: a first row with one of them is a header. text_option: the option of the command
    line that asks for one.

    Raises `DataError` with the line for a missing header, a row with another number of fields than the header, a
    quotation mark out of place, and a row of over 16 MiB; else what `text.read_lines` raises.
    """
    blocks, start, told = line_feeds(decoded_blocks(source, encoding, label, advance)), "", 0
    for block in blocks:
        start += block
        if not told and (separator := _SEPARATOR.match(start)):
            delimiters, start, told = (separator[1],), start[separator.end() :], 1
        if start.count("\n") > 1 or len(start) > MAX_ROW:  # no row is answered before it has come
            break
    dialect, held = dialect_of(start, delimiters), 0

    def lines() -> Iterator[str]:
        nonlocal held
        for text in _lines(itertools.chain([start], blocks), label):
            held += len(text)
            if held > MAX_ROW:
                raise csv.Error("row limit")
            yield text

    reader = csv.reader(lines(), dialect)
    header: list[str] = []
    line = 1 + told
    try:
        for row in _bounded(reader):
            if len(row) <= 1 and not "".join(row).strip() and len(header) != 1:
                dropped["empty"] += 1
            elif not header:
                header = _header(row, f"{label}, line {line}")
                if not (_asked_for(header, known) or _may_be_header(header, _whole_rows(start[:SAMPLE], dialect)[0])):
                    raise _no_header(header, f"{label}, line {line}", text_option)
            elif len(row or [""]) != len(header):
                raise DataError(
                    f"{label}, line {line} has {counted(len(row), 'field')}, the header has {len(header)}",
                    "put quotation marks around a field that has the delimiter in it",
                )
            else:
                yield line, dict(zip(header, row or [""], strict=True))
            line, held = reader.line_num + 1 + told, 0
    except csv.Error as error:
        reason = next((told for part, told in REASONS.items() if part in str(error)), str(error))
        raise DataError(
            f"{label}, line {line}: {reason}", "quotation marks within a quoted field are doubled"
        ) from error


REASONS = {
    "row limit": "a row of over 16 MiB begins here: is a quotation mark missing?",
    "unexpected end": "a quotation mark opens here, and is never closed",
    "expected after": "a quotation mark stands within a quoted field",
}
"""What `csv` calls an error -> what it is."""


def _header(row: list[str], where: str) -> list[str]:
    """The names of the columns. Raises `DataError` for too many, and a name twice."""
    names = [name.strip() for name in row]
    if len(names) > MAX_COLUMNS:
        raise DataError(f"{where} has {len(names):,} columns, {MAX_COLUMNS:,} are the most", "is it a table?")
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns have the name {twice!r}", "give each column a name of its own")
    return names


def _asked_for(names: Sequence[str], known: Collection[str]) -> bool:
    """Whether one of the names was asked for, or is a usual one of a column of text."""
    return any(name in known or name.lower() in TEXT_NAMES for name in names)


def _may_be_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first row of unknown names is a header, not one like the `rows`.

    A row begins with a number, or has as many numbers as other fields, a sentence, or a value that stands in the same
    column twice again, such as a label.
    """
    numbers = [is_number(name) for name in names]
    if numbers[0] or 2 * sum(numbers) >= len(names) or any(_is_sentence(name) for name in names):
        return False
    others = [row for row in ([value.strip() for value in row] for row in rows) if row != names]
    columns = zip(names, *others, strict=False)
    return not any(name and values.count(name) >= 2 for name, *values in columns)


def _is_sentence(name: str) -> bool:
    words = word_count(name)
    ends = name.endswith(("!", "。", "！", "？", "…")) or (name.endswith((".", "?")) and words >= 3)
    return ends or words >= SENTENCE or len(name) > MAX_HEADER


def _no_header(names: Sequence[str], where: str, text_option: str) -> DataError:
    shown = ", ".join(names)
    return DataError(
        f"{where} should be a header, the names of the columns, and is: {shown[:60]}{'…' * (len(shown) > 60)}",
        f"put a header before it; or, if it is one, name its column of the text with {text_option}",
    )


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
            value = json_value(line)
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


def json_value(line: str) -> Any:
    """The value of a line of JSON, with its numbers as text, as they are written.

    Raises `ValueError` or `RecursionError` for what is not JSON.
    """
    return _JSON.decode(line)


_JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda name: None if name == "NaN" else name)
