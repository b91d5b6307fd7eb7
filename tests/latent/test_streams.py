"""Streams keep every line in its place and fit into memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from seqvae_cli.data import windows as data_windows
from seqvae_cli.data.tokenizer import SPECIALS, Tokenizer
from seqvae_cli.data.windows import PAUSE, Pause, windows
from seqvae_cli.latent.streams import UNKNOWN_NAMED, Tally, map_lines

WORDS = Tokenizer("whitespace", False, (*SPECIALS, "a", "b"))


def lengths(ids: Sequence[NDArray[np.int64]]) -> Iterator[int]:
    return (len(words) for words in ids)


@pytest.mark.parametrize("window", [1, 2, 100])
@pytest.mark.parametrize(
    "lines",
    [[], [""], ["a", "a b"], ["", "a", "  ", "", "a b", "b", ""], ["", "", "a"], ["a b", "", ""]],
)
def test_every_line_comes_back_in_its_place(lines: list[str], window: int) -> None:
    tally = Tally()
    expected = [(line, len(line.split()) or None) for line in lines]
    assert list(map_lines(lines, WORDS, lengths, window, tally)) == expected
    paused = [item for line in lines for item in (PAUSE, line, PAUSE, PAUSE)]
    assert list(map_lines(paused, WORDS, lengths, window)) == expected
    assert tally.empty == sum(not line.strip() for line in lines)


def test_unknown_words_are_all_counted_and_the_first_are_named() -> None:
    tally = Tally()
    list(map_lines(["a zebra", "", "zebra b <unk>"], WORDS, lengths, 9, tally))
    assert (tally.words, tally.unknown, tally.names) == (5, 2, {"zebra": 2})  # a written <unk> is known
    many = Tally()
    list(map_lines((f"a w{i} w{i}" for i in range(300 * UNKNOWN_NAMED)), WORDS, lengths, 9, many))
    assert (many.words, many.unknown) == (900 * UNKNOWN_NAMED, 600 * UNKNOWN_NAMED)
    assert many.names == {f"w{i}": 2 for i in range(UNKNOWN_NAMED)}


def test_many_empty_lines_do_not_fill_the_memory() -> None:
    def many() -> Iterator[str]:
        yield "a"
        for _ in range(10**5):
            yield ""
        yield "b"

    tally = Tally()
    tracemalloc.start()
    assert sum(1 for _ in map_lines(many(), WORDS, lengths, 1000, tally)) == 10**5 + 2
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6
    assert tally.empty == 10**5


def test_what_came_before_a_pause_is_answered_before_more_is_read() -> None:
    read: list[str | Pause] = []

    def lines() -> Iterator[str | Pause]:
        for line in ("a", "", PAUSE, "a b", PAUSE, "b"):
            read.append(line)
            yield line

    found = map_lines(lines(), WORDS, lengths, 100)
    assert [next(found), next(found)] == [("a", 1), ("", None)]
    assert read[-1] is PAUSE
    assert next(found) == ("a b", 2)
    assert read[-1] is PAUSE
    assert list(found) == [("b", 1)]


def test_a_window_ends_at_its_items_its_tokens_and_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(windows([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(windows([PAUSE, 1, PAUSE, 2, 3, PAUSE], 9)) == [[1], [2, 3]]
    assert list(windows([1, None, PAUSE, None], 9)) == [[1, None], [None]]
    monkeypatch.setattr(data_windows, "WINDOW_TOKENS", 10)
    assert list(windows([3, 3, 3, 3, 50, 1], 9, lambda tokens: tokens)) == [[3, 3, 3, 3], [50], [1]]
