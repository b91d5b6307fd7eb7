"""Text that is a table or JSON: told from sentences by its first lines, and refused with the command that is meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress

from seqvae_cli.data.delimited import json_value, table_of, without_separator
from seqvae_cli.data.records import TEXT_NAMES, Cells, Columns
from seqvae_cli.errors import DataError, UsageError

MANY = 10
"""Rows, the header counted, from which on lines with as many delimiters each are a table."""
OBJECTS = 20
"""Lines that are tried as JSON."""
TIGHT = 0.9
"""Share of the rows of a table that have a delimiter without a space behind it; prose has one."""
LABEL_NAMES = {
    *("id", "index", "label", "labels", "class", "category", "sentiment", "target", "score", "stars", "rating"),
    *("name", "lang", "language", "topic", "split", "author", "date", "source"),
}
"""Names of columns beside a text: a header of such names tells a table of two columns from prose."""

_NAME = re.compile(r"[^\W\d][\w .:/()\[\]-]{0,39}")
_JSON_DOCUMENT = re.compile(r'\s*(?:\[\s*\{\s*"|\{[ \t]*\n\s*"[^"\n]*"\s*:)')


def refuse(start: str, label: str, command: str, text_option: str = "--text") -> None:
    """Raises `DataError` where the text that begins with `start` is a table or JSON.

    label: its name in the message. command: what the hint calls, such as `seqvae prepare`. text_option: its option that
    names the column of the text.
    """
    start = without_separator(start)
    name = "-" if label == "standard input" else shlex.quote(label)
    anyway = "; or --format txt, if its lines are sentences"
    if objects := _json_objects(start):
        _refuse("JSON Lines, an object a line", "jsonl", objects, label, f"{command} {name}", text_option, anyway)
    if _JSON_DOCUMENT.match(start):
        hint = f"jq -c '.[]' {name} | {command} - --format jsonl"
        raise DataError(f"{label} looks like a JSON document, not a sentence a line", hint + anyway)
    for delimiter, form, noun in (("\t", "tsv", "tabs"), (",", "csv", "commas"), (";", "csv", "semicolons")):
        rows = table_of(start, delimiter)
        if len(rows) >= MANY and _is_table(rows, start, delimiter):
            header, *rest = rows
            cells = [dict(zip(header, row, strict=True)) for row in rest] if _is_header(header) else []
            what = f"a table of {len(header)} columns, separated by {noun}"
            _refuse(what, form, cells, label, f"{command} {name}", text_option, anyway)


def _refuse(what: str, form: str, rows: Sequence[Cells], label: str, call: str, text_option: str, anyway: str) -> None:
    text = "COLUMN"
    with suppress(UsageError):
        text = shlex.quote(Columns().chosen(rows, label).text or text)
    hint = f"{call} --format {form} {text_option} {text}"
    if not rows:
        hint = f"put a line with the names of its columns before it, then: {hint}"
    raise DataError(f"{label} looks like {what}, not a sentence a line", hint + anyway)


def _json_objects(start: str) -> list[Cells]:
    """The first lines, where each is a JSON object with something in it; else none."""
    whole = start[: start.rfind("\n") + 1] or start
    lines = [line for line in whole.split("\n") if line.strip()][:OBJECTS]
    found: list[Cells] = []
    for line in lines:
        if not line.lstrip().startswith("{"):
            return []
        try:
            value = json_value(line)
        except (ValueError, RecursionError):
            return []
        if not isinstance(value, dict) or not value:
            return []
        found.append(value)
    return found


def _is_table(rows: Sequence[Sequence[str]], start: str, delimiter: str) -> bool:
    """Whether rows with the same number of fields, two or more, are those of a table, not prose."""
    if delimiter == "\t":
        return True
    header = [name.strip().lower() for name in rows[0]]
    if not _is_header(rows[0]) or any(name != name.strip() for name in rows[0]):
        return False
    lines = [line for line in start.split("\n")[: len(rows)] if line.strip()]
    tight = sum(bool(re.search(rf"{delimiter}(?! )", line)) for line in lines) >= TIGHT * len(lines)
    return tight and (len(header) > 2 or {*header} <= {*TEXT_NAMES, *LABEL_NAMES})


def _is_header(names: Sequence[str]) -> bool:
    """Whether the fields of a row may be names of columns; the first may be empty, as that of a data frame's index."""
    rest = names[1:] if not names[0] else names
    return len(set(names)) == len(names) and all(_NAME.fullmatch(name.strip()) for name in rest)
