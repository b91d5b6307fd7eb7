"""Lines that are data, not sentences: rows of a table, and JSON."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable

ROWS = 0.8
"""Share of lines with the same number of columns from which on a text is a table."""
MOST_COLUMNS = 100
"""Columns of a row that are counted, at most."""

_JSON = re.compile(
    r"""
      \{\s*(?:"[^"]*"\s*:.*)?$
    | \[\s*(?:["{\[].*|-?\d[\d.eE+-]*\s*[,\]].*)?$
    | [{}\[\]]+,?$
    | "[^"]{0,80}"\s*:
    | "[^"]*",?$(?<=,)
    """,
    re.VERBOSE | re.DOTALL,
)

_QUOTED = re.compile(r'"[^"]*"')
_DELIMITERS = {
    "\t": re.compile(r"\t"),
    "|": re.compile(r"\|"),
    "  ": re.compile(r" {2,}"),
    ",": re.compile(r",(?=\S)"),  # with a space behind it, it is one of a sentence
    ";": re.compile(r";(?=\S)"),
}


def columns(text: str) -> list[tuple[str, int]]:
    """How often each delimiter of tables occurs in a line, outside of quotes; those that do not are left out."""
    found = [delimiter for delimiter in _DELIMITERS if delimiter in text]
    if found and '"' in text:
        text = _QUOTED.sub('""', text)
    counts = [(delimiter, len(_DELIMITERS[delimiter].findall(text))) for delimiter in found]
    return [(delimiter, min(count, MOST_COLUMNS)) for delimiter, count in counts if count]


def is_json(text: str) -> bool:
    """Whether a line, without the space at its ends, is JSON or a line of it."""
    return text[:1] in ("{", "}", "[", "]", '"') and _JSON.match(text) is not None


def is_table(lines: Iterable[str]) -> bool:
    """Whether most lines have the same number of columns."""
    found = [columns(line) for line in lines]
    counts = Counter(itertools.chain.from_iterable(found))
    return bool(counts) and counts.most_common(1)[0][1] >= ROWS * len(found)
