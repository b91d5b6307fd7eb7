"""Tokens by a regular expression: the matches of a pattern, and single characters between them.

A pattern may come with the run of a stranger: its size is bounded, and so is the time that it takes for a sentence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from seqvae_cli.data.tokenizers.characters import clusters
from seqvae_cli.data.tokenizers.rules import ASCII_SPACE, Rule, around_unknown
from seqvae_cli.errors import DataError

PATTERNS = {"smiles": r"\[[^\[\]\s]{1,64}\]|Br|Cl|@@|%\d\d|%\(\d{1,5}\)|>>"}
"""Patterns that ship, by name. smiles: the atoms and bonds of molecules, after Schwaller et al. 2018, "Found in
Translation"; the atoms and bonds of one letter are what stands between the matches."""

SECONDS = 2.0
"""Time that a pattern may take for one sentence."""
MOST_CHARACTERS = 2_000
"""Length of a pattern."""
MOST_REPEATS = 10_000
"""Product of all counts in braces: nested ones make copies of what they repeat."""

_COUNT = re.compile(r"\{(\d*),?(\d*)\}")
_RECURSION = re.compile(r"(?<!\\)(?:\\\\)*\(\?(?:R|&|P>|[+-]?\d)")
"""A call of a group: the memory that it takes has no bound."""


@lru_cache(maxsize=16)
def compiled(pattern: str) -> Any:
    """The `regex` pattern. Raises `DataError` for one that is not valid, or could take too much memory."""
    import regex

    shown = f"{pattern[:40]}…" if len(pattern) > 40 else pattern
    counts = [max(int(number[:9]) for number in pair if number) for pair in _COUNT.findall(pattern) if any(pair)]
    if len(pattern) > MOST_CHARACTERS or math.prod(max(1, count) for count in counts) > MOST_REPEATS:
        raise DataError(
            f"the pattern {shown!r} is too large",
            f"at most {MOST_CHARACTERS:,} characters, and {MOST_REPEATS:,} repeats by numbers in braces",
        )
    if _RECURSION.search(pattern):
        raise DataError(f"the pattern {shown!r} calls one of its groups", "write the group out")
    try:
        return regex.compile(pattern)
    except (regex.error, RecursionError, MemoryError, OverflowError, ValueError, KeyError, TypeError) as error:
        message = f"the pattern {shown!r} is not a regular expression: {error or type(error).__name__}"
        raise DataError(message, "its syntax is that of the Python package regex") from error


def matches(pattern: str) -> Callable[[str], tuple[list[str], bool]]:
    """A function that splits a text: its pieces, and whether they cover all of its spaces."""
    finder = compiled(pattern).finditer

    def split(text: str) -> tuple[list[str], bool]:
        pieces: list[str] = []
        end, covered = 0, True
        try:
            for match in finder(text, timeout=SECONDS):
                start = match.start()
                if start > end:
                    between = [one for one in clusters(text[end:start]) if not one.isspace()]
                    covered = covered and len("".join(between)) == start - end
                    pieces += between
                if found := match[0]:
                    pieces.append(found)
                end = max(end, match.end())
        except (TimeoutError, MemoryError) as error:
            raise DataError(
                f"the pattern takes more than {SECONDS:.0f} s for one sentence of {len(text):,} characters",
                "choose a pattern without nested repeats, such as (a+)+",
            ) from error
        between = [one for one in clusters(text[end:]) if not one.isspace()]
        covered = covered and len("".join(between)) == len(text) - end
        return pieces + between, covered

    return split


def rule(details: Mapping[str, Any], _: tuple[str, ...]) -> Rule:
    pattern, spaces = details["pattern"], details["spaces"]
    if not isinstance(pattern, str) or not isinstance(spaces, bool):
        raise DataError("a tokenizer's pattern is text, spaces true or false")
    split = matches(pattern)
    join = " ".join if spaces else "".join
    return Rule(lambda text: around_unknown(text.strip(ASCII_SPACE), lambda part: split(part)[0]), join)
