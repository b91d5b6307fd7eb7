"""The batches of a training: the order of an epoch, and the sentences of a step as this process gets them.

All processes of a training have the same order. Each reads its own sentences of a batch alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqvae_cli.config.schema import Settings
from seqvae_cli.data.batching import Batch, Indices, collate, epoch_order
from seqvae_cli.data.corpus import Split
from seqvae_cli.data.tokenizer import UNK
from seqvae_cli.system.processes import Processes
from seqvae_cli.training.distributed import Part


class Batches:
    """The batches of `split`, whose token ids are below `vocabulary_size`."""

    def __init__(self, split: Split, settings: Settings, vocabulary_size: int, processes: Processes) -> None:
        self.split, self.settings, self.seed, self.processes = split, settings.train, settings.seed, processes
        self.whole_lengths = split.lengths
        most = self.settings.max_len
        self.lengths = self.whole_lengths.clip(max=most) if most else self.whole_lengths
        self.seen_once: NDArray[np.bool_] = split.counts(vocabulary_size) == 1

    def order(self, epoch: int) -> list[Indices]:
        """The batches of an epoch, as sentence indices."""
        size, tokens = self.settings.batch_size, self.settings.batch_tokens
        return list(epoch_order(self.lengths, size, tokens, seed=self.seed, epoch=epoch))

    def tokens(self, rows: Any) -> int:
        """Tokens of the sentences `rows`, `<eos>` included."""
        return int(self.lengths[rows].sum()) + len(rows)

    def batch(self, rows: Any, number: int) -> Batch:
        """The sentences `rows`, for step `number`: some of the words seen once are unknown in it.

        In one of several processes, its part of them.
        """
        own = slice(self.processes.rank, None, self.processes.size)
        weight = len(rows[own]) / len(rows)
        if not weight:  # another's, so that there is something to compute
            own = slice(1)
        sentences = [self.split[int(i)] for i in rows[own]]
        if share := self.settings.unknown:
            random = np.random.default_rng((self.seed, number))
            drawn = [random.random(length) for length in self.whole_lengths[rows]]
            sentences = [
                np.where(self.seen_once[ids] & (values < share), UNK, ids)
                for ids, values in zip(sentences, drawn[own], strict=True)
            ]
        batch = collate(sentences, self.settings.max_len)
        if not self.processes.several:
            return batch
        return Part(batch.ids, batch.lengths, weight=weight, whole=(len(rows), self.tokens(rows)))

    def at_random(self, first: Any, order: Sequence[Any], number: int) -> Iterator[Batch]:
        """The batch of `first`, then batches of `order` drawn at random, without end."""
        yield self.batch(first, number)
        random = np.random.default_rng((self.seed, number))
        while True:
            yield self.batch(order[int(random.integers(len(order)))], number)
