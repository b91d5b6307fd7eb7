"""Marks the words of a sentence that another one does not have, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import SequenceMatcher

from seqvae_cli.cli import display, tables


def changed(original: str, text: str) -> Iterator[tuple[str, bool]]:
    """The words of a text, and whether each is new against the original; characters where the text has no spaces."""
    words, before = (_parts(one, " " in text or " " in original) for one in (text, original))
    matcher = SequenceMatcher(None, before, words, autojunk=False)
    for kind, _, _, first, last in matcher.get_opcodes():
        yield from ((word, kind != "equal") for word in words[first:last])


def _parts(text: str, spaced: bool) -> list[str]:
    return text.split(" ") if spaced else list(text)


def lines(head: str, original: str, text: str, width: int) -> list[str]:
    """The head and the text below each other in `width` columns, changed words bold and, where allowed, coloured.

    Wrapped at words; lines after the first begin below the text.
    """
    original, text = display.safe(original), display.safe(text)
    start, end = ("\x1b[1;33m" if display.colored(sys.stdout) else "\x1b[1m"), "\x1b[0m"
    gap = " " if " " in text or " " in original else ""
    indent, found = tables.cell_len(head), [head]
    room = width - indent
    for word, new in changed(original, text):
        size = tables.cell_len(word + gap)
        if room < size - len(gap) and room < width - indent:
            found, room = [*found, " " * indent], width - indent
        found[-1] += f"{start}{word}{end}{gap}" if new else word + gap
        room -= size
    return [line.rstrip() for line in found]
