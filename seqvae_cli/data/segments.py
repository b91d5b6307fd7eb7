"""Running text -> its sentences: paragraphs, wrapped lines, and the shape of a text that tells them.

A document is one line, or, in a text that is wrapped, the lines up to a blank one. sentencex splits it into sentences.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from seqvae_cli.data import languages, rows
from seqvae_cli.data.records import Record
from seqvae_cli.data.text import MAX_LINE
from seqvae_cli.errors import MachineError, UsageError

MODES = ("line", "document", "auto")
"""What a text is: a sentence a line; documents; what its beginning looks like."""
LOOK = 4_096
"""Characters of a line that are looked at."""
LOOK_LINES, LOOK_TEXT = 1_000, 1 << 20
"""Lines and characters at the beginning of a text that tell its layout."""
SEVERAL = 4
"""Sentences from which on a line is a paragraph."""
PARAGRAPHS, WRAPPED = 0.1, 0.4
"""Shares of the lines that are paragraphs, or go on in the next line, from which on a text is documents."""
WRAPPED_WIDTH = 40, 120
"""Characters of the longer lines of a text that is wrapped."""
BLANK = 0.05
"""Share of blank lines from which on they separate the paragraphs of a text whose lines are narrow."""
MOST_WIDTH = 1_000
"""Characters of a line that are counted, at most."""

UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of Chinese and Japanese, as a class of regular expressions."""

_OPENING, _CLOSING = r"[\"'“‘«(\[¿¡]", r"[\"'”’»)\]」』）]"
_END = re.compile(
    rf"""
    [.!?…。！？](?:  # a set at the beginning is looked for quickly
      (?<=\w\w\w[.!?…])[.!?…]*{_CLOSING}*\s+(?={_OPENING}*[^\W\d_])  # of raw text; not after initials, "Mr" or "Dr"
    | (?<=\s[.!?])\s+(?=\w)                                          # of text that is tokenized already
    | (?<=[。！？]){_CLOSING}*(?=\s*[^\s。！？])
    )
    """,
    re.VERBOSE,
)
_NO_SPACE = re.compile(f"[{UNSPACED}\u3000-\u303f\uff00-\uffef]")


def check(mode: str | int, language: str | None) -> None:
    """Raises `UsageError` for an unknown mode, for a malformed language code, and for a language with mode "line"."""
    if mode not in MODES:
        raise UsageError(f"sentences of text cannot be {str(mode)[:40]!r}", f"choose {', '.join(MODES)}")
    if language is not None and mode == "line":
        raise UsageError("language goes with sentences that are split", "--sentences document, or auto")
    if language is not None and not languages.is_code(language):
        raise UsageError(f"{language[:40]!r} is not the code of a language", "for example en, de, zh, pt-br")


def ends_inside(text: str) -> int:
    """How many sentences end inside a line, as far as its first `LOOK` characters show: an estimate on the low side."""
    return len(_END.findall(text, 0, LOOK))


@dataclass
class Shape:
    """What the lines of a text look like, counted."""

    lines: int = 0
    """Lines that are not blank."""
    paragraphs: int = 0
    """Lines of `SEVERAL` sentences or more."""
    unfinished: int = 0
    """Lines that end with a letter or a comma."""
    _inside: int = 0
    _widths: Counter[int] = field(default_factory=Counter)

    def add(self, text: str) -> tuple[bool, bool]:
        """Counts a line without the space at its ends; returns whether it is a paragraph, and whether unfinished."""
        ends = ends_inside(text)
        paragraph, unfinished = ends + 1 >= SEVERAL, text[-1:].isalnum() or text[-1:] in ",;-–—"
        self.lines += 1
        self._widths[min(len(text), MOST_WIDTH)] += 1
        self.paragraphs += paragraph
        self.unfinished += unfinished
        self._inside += ends > 0
        return paragraph, unfinished

    def extend(self, other: Shape) -> None:
        """Adds the counts of other lines."""
        self.lines += other.lines
        self.paragraphs += other.paragraphs
        self.unfinished += other.unfinished
        self._inside += other._inside
        self._widths.update(other._widths)

    @property
    def width(self) -> int:
        """The 95th percentile of the characters of a line."""
        rank = 0
        for width in sorted(self._widths):
            rank += self._widths[width]
            if rank >= 0.95 * self.lines:
                return width
        return 0

    @property
    def is_wrapped(self) -> bool:
        """Whether lines end where the page does: most about as wide as the widest, unfinished, with ends inside."""
        wide = self.width
        full = sum(count for width, count in self._widths.items() if 0.75 * wide <= width <= wide)
        return (
            WRAPPED_WIDTH[0] <= wide <= WRAPPED_WIDTH[1]
            and full >= 0.6 * self.lines
            and self._inside >= 0.1 * self.lines
            and self.unfinished >= WRAPPED * self.lines
        )


@dataclass(frozen=True)
class Layout:
    """What the beginning of a text looks like."""

    documents: bool
    """Whether it is paragraphs or documents, not a sentence a line."""
    wrapped: bool
    """Whether a paragraph goes over several lines."""
    language: str
    """The ISO 639 code of its language, guessed."""


def look(lines: Iterable[str], table: bool = False) -> Layout:
    """The layout of a text, from its first `LOOK_LINES` lines, the blank ones among them.

    table: the lines are the texts of its rows, and none goes on in the next.
    """
    shape, blank, sample, size = Shape(), 0, list[str](), 0
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            shape.add(text)
            sample.append(text[:LOOK])
        else:
            blank += 1
        size += len(line)
        if number == LOOK_LINES or size >= LOOK_TEXT:
            break
    narrow = blank >= BLANK * (shape.lines + blank) > 0 and shape.width <= WRAPPED_WIDTH[1]
    wrapped = shape.is_wrapped and not table
    documents = wrapped or 0 < PARAGRAPHS * shape.lines <= shape.paragraphs
    documents = documents and not rows.is_table(sample)
    return Layout(documents, wrapped or (narrow and not table), languages.guess(" ".join(sample)))


def sentences(lines: Iterable[str], language: str, wrapped: bool = False) -> Iterator[str]:
    """The sentences of documents, each with every run of whitespace as one space.

    lines: a document each; where they are `wrapped`, the lines of documents, with blank ones between these.
    language: ISO 639 code; one that sentencex does not know is split by the rules of a similar one, or of English.

    Raises `MachineError` where sentencex is missing.
    """
    segment = _segmenter()
    for paragraph in _joined(lines) if wrapped else lines:
        for sentence in segment(language, " ".join(paragraph.split())):
            if text := sentence.strip():
                yield text


def of_records(records: Iterator[Record], table: bool, language: str, wrapped: bool = False) -> Iterator[Record]:
    """The sentences of the records of a file, each with the labels, the id and the split of its document.

    table: each record is a document of its own, since it is a row; else `wrapped` says whether documents go over lines.
    """
    if table or not wrapped:
        for record in records:
            for sentence in sentences([record.text], language):
                yield record._replace(text=sentence)
    elif first := next(records, None):
        texts = (record.text for record in itertools.chain([first], records))
        for sentence in sentences(texts, language, wrapped):
            yield first._replace(text=sentence)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """The paragraphs of wrapped lines: up to a blank line, one that is indented more, or a megabyte."""
    paragraph, size, indent = list[str](), 0, 0
    for line in lines:
        text = line.strip()
        above, indent = indent, len(line) - len(line.lstrip())
        if paragraph and (not text or indent > above or size > MAX_LINE):
            yield "".join(paragraph)
            paragraph, size = [], 0
        if text:
            if paragraph and not (_NO_SPACE.match(paragraph[-1][-1]) and _NO_SPACE.match(text)):
                paragraph.append(" ")
            paragraph.append(text)
            size += len(text)
    if paragraph:
        yield "".join(paragraph)


def _segmenter() -> Callable[[str, str], list[str]]:
    try:
        from sentencex import segment
    except ImportError as error:
        raise MachineError(
            "sentencex is not installed: it splits documents into sentences", 'pip install "seqvae[sentences]"'
        ) from error
    split: Callable[[str, str], list[str]] = segment
    return split
