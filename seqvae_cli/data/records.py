"""Records: a sentence with its labels, its id and its split, and the columns of a table that they come from."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from seqvae_cli.errors import MOST_LISTED, DataError, UsageError, meant

SPLIT_VALUES = {
    **{"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid"},
    "test": "test",
}
"""What a column of splits, or the name of a file or folder, says -> the split."""

TEXT_NAMES = (
    *("text", "sentence", "sentences", "review", "content", "body", "comment", "message", "tweet", "utterance"),
    *("headline", "title", "document", "paragraph", "description", "smiles"),
)
"""Names of columns that hold the text; an earlier one is preferred."""

MAX_COLUMNS = 10_000
"""Columns of a table, at most."""
EXAMPLE = 24
"""Characters of a value that an error shows."""
PROSE_WORDS = 3
"""Words of a value of a column of prose, at least, in the median."""
DIFFERENT = 0.2
"""Share of the values of a column of prose that are different, at least; a label has fewer."""

Cells = Mapping[str, Any]
"""A row of a table: the value of each column."""
Rows = Generator[tuple[int, dict[str, Any]], None, None]
"""The rows of a table, each with its number in the file, or that of its first line, from 1."""


class Record(NamedTuple):
    """A sentence and what its source says of it."""

    text: str
    labels: tuple[str, ...] = ()
    """A value for each label, in the order of `Columns.label_names`; empty where the source has none."""
    id: str = ""
    split: str = ""
    """train, valid or test; empty where the source does not say."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a record is made of."""

    text: str | None = None
    """None: it is guessed."""
    labels: tuple[str, ...] = ()
    split: str | None = None
    id: str | None = None

    def named(self) -> list[str]:
        """The columns that are given, each once, the text first."""
        return list(dict.fromkeys([*([] if self.text is None else [self.text]), *self.beside()]))

    def beside(self) -> list[str]:
        """The columns that are given beside the text."""
        return [name for name in (*self.labels, self.split, self.id) if name is not None]

    def missing(self, rows: Iterable[Cells]) -> set[str]:
        """The columns that are given and that no row has; rows are read until none is left."""
        left = set(self.named())
        for row in rows:
            left.difference_update(row)
            if not left:
                break
        return left

    def chosen(
        self,
        rows: Sequence[Cells],
        label: str,
        text_option: str = "--text",
        *,
        later: Collection[str] = (),
        one_row: bool = False,
    ) -> Columns:
        """These columns with that of the text, which is guessed from the first rows of the table named `label`.

        A table without rows leaves them as they are. Raises `UsageError` for a column that the table lacks, for one of
        splits that says something else, with its values, and where several could be the text, with an example of each.

        text_option: the option of the command line that names it.
        later: columns that only later rows have.
        one_row: the first row alone is known. The text is then its only column or one of a usual name: what more rows
            could not change.
        """
        if not rows:
            return self
        names = list(dict.fromkeys(name for row in rows for name in row))
        for name in self.named():
            if name not in names and name not in later:
                found = meant(name, names)
                raise UsageError(
                    f"{label} has no column {name!r}{' in its first row' if one_row else ''}",
                    f"did you mean {found!r}?" if found else _listed(names, rows),
                )
        if self.split is not None:
            seen = list(dict.fromkeys(str(row.get(self.split)) for row in rows))
            if not all(value.strip().lower() in SPLIT_VALUES for value in seen):
                shown = ", ".join(value[:EXAMPLE] for value in seen[:MOST_LISTED])
                raise UsageError(
                    f"{label}: the column {self.split!r} says {shown}",
                    f"--split takes a column whose values are {', '.join(SPLIT_VALUES)}",
                )
        if self.text is not None:
            return self
        rest = [name for name in names if name not in self.named() and name.strip()]
        guessed = _certain_column(rest, rows[0]) if one_row else _text_column(rest, rows)
        if guessed is None:
            where = f"the first row of {label}" if one_row else label
            raise UsageError(f"{where} does not tell which column is the text", f"{text_option} {_listed(names, rows)}")
        return replace(self, text=guessed)


def _text_column(names: Sequence[str], rows: Sequence[Cells]) -> str | None:
    """The column of the text: the only one, the first of words with a usual name, the only one of prose, or of words.

    Where no column has words, the first with a usual name.
    """
    words = [name for name in names if any(_is_word(row.get(name)) for row in rows)]
    usual = _usual(names)
    if found := [name for name in usual if name in words]:
        return found[0]
    prose = [name for name in words if _is_prose([row.get(name) for row in rows])]
    for found in (list(names), prose, words, [] if words else usual[:1]):
        if len(found) == 1:
            return found[0]
    return None


def _certain_column(names: Sequence[str], row: Cells) -> str | None:
    """The column of the text that `_text_column` finds in any rows that begin with this one; None where they matter."""
    usual = _usual(names)
    if usual and _is_word(row.get(usual[0])):
        return usual[0]
    return names[0] if len(names) == 1 else None


def _usual(names: Sequence[str]) -> list[str]:
    """Those of the names that columns of text have, the most likely first."""
    lower = {name.strip().lower(): name for name in reversed(names)}
    return [lower[name] for name in TEXT_NAMES if name in lower]


def _is_word(value: object) -> bool:
    """Whether a value has letters and is neither a number, a date, a link nor one of JSON's lists and objects."""
    if not isinstance(value, str) or ("://" in value and len(value.split()) == 1):
        return False
    return not is_number(value) and any(character.isalpha() for character in value)


def is_number(value: str) -> bool:
    try:
        float(value.strip().replace(",", "."))
    except ValueError:
        return False
    return True


def _is_prose(values: Sequence[object]) -> bool:
    """Whether most values are several words, or as many letters of a script without spaces, and enough differ."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    lengths = sorted(map(word_count, texts))
    differ = len(texts) == 1 or len(set(texts)) >= max(2, DIFFERENT * len(texts))
    return bool(texts) and lengths[len(lengths) // 2] >= PROSE_WORDS and differ


def word_count(text: str) -> float:
    """The words of a text, each two letters of a script without spaces taken as one."""
    return len(text.split()) + len(_NO_SPACES.findall(text)) / 2


_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that do not write spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


def _listed(names: Sequence[str], rows: Sequence[Cells]) -> str:
    shown = [f"{name!r} ({_example(name, rows)})" for name in names[:MOST_LISTED]]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{'one of ' if len(names) > 1 else ''}{', '.join(shown)}{more}"


def _example(name: str, rows: Sequence[Cells]) -> str:
    value = next((str(row[name]) for row in rows if row.get(name) not in (None, "")), "empty")
    value = " ".join(value[: 4 * EXAMPLE].split())
    return value if len(value) <= EXAMPLE else f"{value[:EXAMPLE].rstrip()}…"


def cell(value: object, name: str) -> str:
    """The text of a value: numbers, dates, true and false as they are written; empty where it is missing.

    Raises `DataError` for a list, an object or bytes, and for text that cannot be written in UTF-8.
    """
    if isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            raise DataError(f"{name!r} has half a character (an unpaired surrogate)", "repair that line")
        if "\0" in value:
            raise DataError(f"{name!r} has a NUL, so it is not text", "remove it")
        return value
    if value is None or value != value:  # NaN: a missing number
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Mapping, bytes)) or (isinstance(value, Iterable) and not isinstance(value, str)):
        kind = {dict: "an object", list: "a list", bytes: "bytes"}.get(type(value), f"a {type(value).__name__}")
        raise DataError(f"{name!r} is {kind}, not text", "name a column of text or numbers")
    return str(value)


_SURROGATE = re.compile("[\ud800-\udfff]")


def split_of(value: str, seen: Collection[str]) -> str:
    """The split that a value of the column of splits names. Raises `DataError` with the values `seen` before."""
    found = SPLIT_VALUES.get(value.strip().lower())
    if found is None:
        before = f"; seen before: {', '.join(sorted(seen))}" if seen else ""
        known = ", ".join(SPLIT_VALUES)
        raise DataError(
            f"{value[:EXAMPLE]!r} is not a split{before}", f"--split takes a column whose values are {known}"
        )
    return found
