"""Tables as lines of text that fit a width: no number and no name is broken.

A table that is too wide first wraps its headings and the columns of prose (values of three words and more), then leaves
out the columns that are named as optional, and at last shows every row as a block of its own, a value a line. Lines are
wider than asked for only where a single name is.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?[%kMG]?$")
GAP = "  "
LEAST_SHOWN = 8
"""Columns that the beginning of a text needs."""

Cells = Sequence[Sequence[str]]


def plain(columns: Sequence[str], cells: Cells) -> list[str]:
    """The heading and the rows, aligned, as wide as they are."""
    return _lines([[name] for name in columns], cells, _widths([columns, *cells]), _numeric(columns, cells))


def fitted(columns: Sequence[str], cells: Cells, width: int, optional: Sequence[str] = ()) -> tuple[list[str], int]:
    """The lines of a table of at most `width` columns of the terminal, and how many of them are the heading.

    `optional`: names of columns in the order in which they are left out; what is left out is told below the table.
    """
    kept, dropped = list(range(len(columns))), []
    for name in (*("",), *optional):
        if name:
            kept.remove(columns.index(name))
            dropped.append(name)
        names = [columns[i] for i in kept]
        rows = [[row[i] for i in kept] for row in cells]
        if widths := fitting_widths(names, rows, width):
            heads = [_wrapped(name, size) for name, size in zip(names, widths, strict=True)]
            note = textwrap.wrap(f"not shown, for want of room: {', '.join(dropped)}", width) if dropped else []
            return [*_lines(heads, rows, widths, _numeric(names, rows)), *note], max(map(len, heads))
    return blocks(columns, cells, width), 0


def blocks(columns: Sequence[str], cells: Cells, width: int) -> list[str]:
    """A block for each row: its first value, and below it the others, each beside the name of its column.

    With two columns there is a line for each row instead.
    """
    lines = []
    first = max((cell_len(row[0]) for row in cells), default=0) if len(columns) == 2 else 0
    for row in cells:
        if len(columns) == 2:
            lines += _labelled(row[0], row[1], first, width, "")
            continue
        heading = f"{columns[0]} {row[0]}".strip()
        lines += ["", heading] if lines else [heading]
        size = max(map(cell_len, columns[1:]), default=0)
        for name, value in zip(columns[1:], row[1:], strict=True):
            lines += _labelled(name, value, size, width, GAP)
    return lines


def _labelled(name: str, value: str, size: int, width: int, indent: str) -> list[str]:
    head = f"{indent}{_padded(name, size, False)}{GAP}"
    room = max(width - cell_len(head), 20)
    first, *more = _wrapped(value, room) if _is_prose(value) else [value]
    return [(head + first).rstrip(), *(" " * cell_len(head) + line for line in more)]


def fitting_widths(columns: Sequence[str], cells: Cells, width: int) -> list[int]:
    """A width for each column so that all fit; empty where that would break a number, a name or a word."""
    least = [
        max([_longest_word(columns[i]), *(_longest_word(v) if _is_prose(v) else cell_len(v) for v in values)])
        for i, values in enumerate(zip(*cells, strict=True) if cells else [()] * len(columns))
    ]
    widths = [min(have, max(need, width)) for have, need in zip(_widths([columns, *cells]), least, strict=True)]
    room = width - len(GAP) * (len(columns) - 1)
    while sum(widths) > room:
        spare = [have - need for have, need in zip(widths, least, strict=True)]
        widest = max(range(len(widths)), key=lambda i: (spare[i] > 0, widths[i]), default=0)
        if not spare or spare[widest] <= 0:
            return []
        widths[widest] -= 1
    return widths


def _lines(heads: Sequence[Sequence[str]], cells: Cells, widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """The lines of the heading, whose last lines are level, and of the rows, whose first lines are."""
    height = max(map(len, heads), default=0)
    level = [[*([""] * (height - len(head))), *head] for head in heads]
    found = [_line([head[i] for head in level], widths, right) for i in range(height)]
    for row in cells:
        parts = [_wrapped(value, size) for value, size in zip(row, widths, strict=True)]
        height = max(map(len, parts), default=0)
        level = [[*part, *([""] * (height - len(part)))] for part in parts]
        found += [_line([part[i] for part in level], widths, right) for i in range(height)]
    return found


def _line(values: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return GAP.join(_padded(*each) for each in zip(values, widths, right, strict=True)).rstrip()


def _padded(value: str, width: int, right: bool) -> str:
    gap = " " * (width - cell_len(value))
    return gap + value if right else value + gap


def _wrapped(value: str, width: int) -> list[str]:
    """The lines of a value, broken at spaces alone and each indented like the first."""
    if cell_len(value) <= width:
        return [value]
    indent = _indent(value)
    lines: list[str] = []
    for word in value.split():
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return lines or [""]


def _indent(value: str) -> str:
    return " " * (len(value) - len(value.lstrip()))


def _is_prose(value: str) -> bool:
    return value.count(" ") >= 2


def _longest_word(text: str) -> int:
    return max((cell_len(_indent(text) + word) for word in text.split()), default=0)


def cell_len(text: str) -> int:
    """The columns of the terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len as measured

    return measured(text)


def _widths(lines: Cells) -> list[int]:
    return [max(map(cell_len, values)) for values in zip(*lines, strict=True)]


def _numeric(columns: Sequence[str], cells: Cells) -> list[bool]:
    """Whether each column holds numbers alone, which are aligned at the right."""

    def numbers(values: Iterable[str]) -> bool:
        shown = [value for value in values if value != "-"]
        return bool(shown) and all(NUMBER.match(value) for value in shown)

    return [numbers(row[i] for row in cells) for i in range(len(columns))]


def shortened(text: str, width: int) -> str:
    """The beginning of a text in at most `width` columns of the terminal, with an ellipsis where it goes on.

    Empty where so few columns show nothing of it.
    """
    text = " ".join(text.split())
    if cell_len(text) <= width:
        return text
    if width < LEAST_SHOWN:
        return ""
    start = text[: width - 1]
    while cell_len(start) > width - 1:
        start = start[:-1]
    return start.rstrip() + "…"
