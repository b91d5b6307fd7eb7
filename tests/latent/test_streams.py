"""Streams keep every line in its place and fit into memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from seqvae_cli.data.tokenizer import SPECIALS, Tokenizer
from seqvae_cli.latent.streams import UNKNOWN_NAMED, Tally, map_lines

WORDS = Tokenizer("whitespace", False, (*SPECIALS, "a", "b"))


def lengths(ids: Iterator[NDArray[np.int64]]) -> Iterator[int]:
    """Reads two sentences ahead, as a batch does."""
    held = []
    for words in ids:
        held.append(len(words))
        if len(held) == 2:
            yield from held
            held.clear()
    yield from held


@pytest.mark.parametrize(
    "lines",
    [[], [""], ["a", "a b"], ["", "a", "  ", "", "a b", "b", ""], ["", "", "a"], ["a b", "", ""]],
)
def test_every_line_comes_back_in_its_place(lines: list[str]) -> None:
    tally = Tally()
    expected = [(line, len(line.split()) or None) for line in lines]
    assert list(map_lines(lines, WORDS, lengths, tally)) == expected
    assert tally.empty == sum(not line.strip() for line in lines)


def test_unknown_words_are_all_counted_and_the_first_are_named() -> None:
    tally = Tally()
    list(map_lines(["a zebra", "", "zebra b <unk>"], WORDS, lengths, tally))
    assert (tally.words, tally.unknown, tally.names) == (5, 2, {"zebra": 2})  # a written <unk> is known
    many = Tally()
    list(map_lines((f"a w{i} w{i}" for i in range(300 * UNKNOWN_NAMED)), WORDS, lengths, many))
    assert (many.words, many.unknown) == (900 * UNKNOWN_NAMED, 600 * UNKNOWN_NAMED)
    assert many.names == {f"w{i}": 2 for i in range(UNKNOWN_NAMED)}


def test_many_empty_lines_are_counted_not_kept() -> None:
    def endless() -> Iterator[str]:
        yield "a"
        for _ in range(10**5):
            yield ""
        yield "b"

    tally = Tally()
    found = map_lines(endless(), WORDS, lengths, tally)
    tracemalloc.start()
    assert next(found) == ("a", 1)  # the pair that `lengths` reads has its other end behind the empty lines
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6
    assert sum(1 for _ in found) == 10**5 + 1
    assert tally.empty == 10**5
