"""The work of `prepare` on a block of sentences: pieces counted, or ids and what is told of them.

A task is called with a block, in this process or in a worker; the answers are added up in the order of the blocks, so
that a corpus has the same bytes whoever did the work.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from seqvae_cli.data.inspection import Inspector
from seqvae_cli.data.text_counts import TextCounts
from seqvae_cli.data.tokenizer import UNK, Tokenizer
from seqvae_cli.data.windows import windows, with_errors_last

BLOCK = 4_096
"""Sentences of a block, at most."""
ALONE = 32
"""Blocks that are worked on before worker processes are started: their start costs more than they would save."""


class Pieces(NamedTuple):
    """The pieces of a block of sentences."""

    counts: Counter[str]
    sentences: int
    covered: int
    """Sentences whose pieces cover their spaces, too; counted for patterns alone."""


@dataclass(frozen=True)
class Counting:
    """Counts the pieces of sentences, of each those up to `max_len`."""

    tokenizer: Tokenizer
    """Without a vocabulary."""
    max_len: int | None

    def __call__(self, texts: list[str]) -> Pieces:
        tokenizer = self.tokenizer
        if tokenizer.kind != "regex":
            pieces = (tokenizer.split(text)[: self.max_len] for text in texts)
            return Pieces(Counter(itertools.chain.from_iterable(pieces)), len(texts), 0)
        counts: Counter[str] = Counter()
        covered = 0
        for text in texts:
            normalized = tokenizer.normalized(text)
            found = tokenizer.split_normalized(normalized)
            counts.update(found[: self.max_len])
            covered += "".join(found) == normalized.strip()
        return Pieces(counts, len(texts), covered)


@dataclass
class SplitBlock:
    """The sentences of a split in a block."""

    ids: array[int]
    """Of all its sentences, one after another."""
    lengths: array[int] = field(default_factory=lambda: array("I"))
    """Ids of each sentence."""
    counts: TextCounts = field(default_factory=TextCounts)
    unknown: int = 0
    truncated: int = 0


class Encoded(NamedTuple):
    """A block of sentences as ids."""

    splits: dict[str, SplitBlock]
    inspector: Inspector


@dataclass(frozen=True)
class Encoding:
    """Turns sentences, each with its split, into ids, of each those up to `max_len`."""

    tokenizer: Tokenizer
    max_len: int | None
    code: str
    """Of the ids, in the module `array`."""

    def __call__(self, sentences: list[tuple[str, str]]) -> Encoded:
        tokenizer, max_len = self.tokenizer, self.max_len
        splits: dict[str, SplitBlock] = {}
        inspector = Inspector(tokenizer.kind)
        for split, original in sentences:
            text = tokenizer.normalized(original)
            inspector.add(split, original, text)
            pieces = tokenizer.split_normalized(text)
            found = splits.get(split)
            if found is None:
                found = splits[split] = SplitBlock(array(self.code))
            if max_len is not None and len(pieces) > max_len:
                found.truncated += 1
                pieces = pieces[:max_len]
                text = tokenizer.join(pieces)
            found.counts.add(text)
            ids = tokenizer.ids(pieces)
            found.unknown += ids.count(UNK)
            found.ids.extend(ids)
            found.lengths.append(len(ids))
        return Encoded(splits, inspector)


def of_texts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Blocks of texts, of bounded size. An error in reading them is raised after the blocks before it were given."""
    return windows(with_errors_last(texts), BLOCK, len)


def of_sentences(sentences: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Blocks of sentences with their splits, likewise."""
    return windows(with_errors_last(sentences), BLOCK, lambda sentence: len(sentence[1]))
