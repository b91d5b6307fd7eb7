"""Sentences on their way through a model, in order and in bounded memory; those without words keep their place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.tokenizer import UNK, Tokenizer

T = TypeVar("T")

UNKNOWN_NAMED = 10
"""Different unknown words whose names a tally keeps, so that memory stays bounded."""


@dataclass
class Tally:
    """Unknown words and empty sentences of a stream; complete when the stream has ended."""

    words: int = 0
    """Words read, known or not; characters for a tokenizer of characters."""
    unknown: int = 0
    """How many of them were read as `<unk>`."""
    names: dict[str, int] = field(default_factory=dict)
    """How often each of the first `UNKNOWN_NAMED` different unknown words occurred."""
    empty: int = 0
    """Sentences without words."""
    noun: str = "word"
    """What is counted: `word` or `character`."""

    def add(self, tokenizer: Tokenizer, line: str, ids: list[int]) -> None:
        """Counts the words of a line, whose ids are given."""
        self.noun = "character" if tokenizer.kind == "char" else "word"
        self.words += len(ids)
        if UNK not in ids:
            return
        for word in tokenizer.unknown(line):
            self.unknown += 1
            if word in self.names or len(self.names) < UNKNOWN_NAMED:
                self.names[word] = self.names.get(word, 0) + 1


def map_lines(
    lines: Iterable[str],
    tokenizer: Tokenizer,
    process: Callable[[Iterator[NDArray[np.int64]]], Iterator[T]],
    tally: Tally | None = None,
) -> Iterator[tuple[str, T | None]]:
    """Every line with its result, in order; None where the line has no words.

    `process` maps an iterator of token ids, the sentences that have words, to one result a sentence, in order. It may
    read ahead as far as it likes.
    """
    tally = Tally() if tally is None else tally
    waiting: deque[tuple[str, bool, int]] = deque()  # lines read but not given back: line, has words, times in a row

    def ids() -> Iterator[NDArray[np.int64]]:
        for line in lines:
            words = tokenizer.encode(line)
            if not words:
                tally.empty += 1
                # Counted, not kept: a stream of empty lines must not fill the memory.
                times = waiting.pop()[2] if waiting and waiting[-1][:2] == (line, False) else 0
                waiting.append((line, False, times + 1))
                continue
            waiting.append((line, True, 1))
            tally.add(tokenizer, line, words)
            yield np.array(words, dtype=np.int64)

    def empty_lines() -> Iterator[tuple[str, None]]:
        while waiting and not waiting[0][1]:
            line, _, times = waiting.popleft()
            yield from repeat((line, None), times)

    for result in process(ids()):
        yield from empty_lines()
        yield waiting.popleft()[0], result
    yield from empty_lines()
