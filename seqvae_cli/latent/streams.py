"""Sentences on their way through a model, in order and in bounded memory; those without words keep their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.data.tokenizer import UNK, Tokenizer
from seqvae_cli.data.windows import Pause, windows, with_errors_last
from seqvae_cli.system.processes import ALONE, Processes

T = TypeVar("T")

UNKNOWN_NAMED = 10
"""Different unknown words whose names a tally keeps, so that memory stays bounded."""


@dataclass
class Tally:
    """Unknown words and empty sentences of a stream; complete when the stream has ended."""

    words: int = 0
    """Words read, known or not; characters or tokens where the tokenizer makes those."""
    unknown: int = 0
    """How many of them were read as `<unk>`."""
    names: dict[str, int] = field(default_factory=dict)
    """How often each of the first `UNKNOWN_NAMED` different unknown words occurred."""
    empty: int = 0
    """Sentences without words."""
    noun: str = "word"
    """What is counted: `word`, `character` or `token`."""

    def add(self, tokenizer: Tokenizer, line: str, ids: list[int]) -> None:
        """Counts the words of a line, whose ids are given."""
        self.noun = tokenizer.noun
        self.words += len(ids)
        if UNK not in ids:
            return
        for word in tokenizer.unknown(line):
            self.unknown += 1
            if word in self.names or len(self.names) < UNKNOWN_NAMED:
                self.names[word] = self.names.get(word, 0) + 1


def map_lines(
    lines: Iterable[str | Pause],
    tokenizer: Tokenizer,
    process: Callable[[Sequence[NDArray[np.int64]]], Iterable[T]],
    window: int,
    tally: Tally | None = None,
    processes: Processes = ALONE,
) -> Iterator[tuple[str, T | None]]:
    """Every line with its result, in order; None where the line has no words.

    `process` maps the sentences of a window that have words, as token ids, to one result a sentence, in order.
    `window`: lines that are read ahead, at most; fewer where `lines` has a `PAUSE`.
    `processes` share the sentences of a window, and the first gets all results; in the others they are None.
    """
    tally = Tally() if tally is None else tally

    def encoded() -> Iterator[tuple[str, NDArray[np.int64]] | Pause]:
        for line in with_errors_last(lines):
            if isinstance(line, Pause):
                yield line
                continue
            words = tokenizer.encode(line)
            if not words:
                tally.empty += 1
            else:
                tally.add(tokenizer, line, words)
            yield line, np.array(words, dtype=np.int64)

    for held in windows(encoded(), window, lambda pair: len(pair[1])):
        results = _shared(process, [ids for _, ids in held if len(ids)], processes)
        for line, ids in held:
            yield line, next(results) if len(ids) else None


def _shared(
    process: Callable[[Sequence[NDArray[np.int64]]], Iterable[T]],
    sentences: Sequence[NDArray[np.int64]],
    processes: Processes,
) -> Iterator[T | None]:
    """The results of `process`: each of several processes computes every n-th sentence, and the first gets them all."""
    if not processes.several:
        return iter(process(sentences))
    results: list[T | None] = [None] * len(sentences)
    own = slice(processes.rank, None, processes.size)
    for rank, found in enumerate(processes.gathered(list(process(sentences[own])))):
        results[rank :: processes.size] = found
    return iter(results)
