"""Decoding word by word, many sentences at once: a sentence that has ended gives its row to the next code.

A step of a few rows takes nearly as long as one of many, since it reads the same weights. So rows are filled again.

Shapes: B rows, N codes, L latent dimensions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqvae_cli.data.tokenizer import BOS, EOS
from seqvae_cli.errors import UsageError
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.decoding import Decoder
from seqvae_cli.system.runtime import autocast

DRAWN = 32
"""Random numbers that are drawn ahead for a sentence, not one by one; few sentences use all."""

FREE_SHARE = 1 / 8
"""Share of the rows whose sentences have ended when new ones replace them: replacing one takes as long as many."""

Streams = Sequence[np.random.Generator]


def draw(streams: Streams, count: int) -> Tensor:
    """The next `count` random numbers in [0, 1) of each stream: [N, count]."""
    return torch.from_numpy(np.stack([random.random(count, dtype=np.float32) for random in streams]))


@dataclass
class Written:
    """The sentences of a batch, and the number of those that have not ended."""

    sentences: list[list[int]]
    open: int


@dataclass
class Row:
    """A sentence that is written, or waits."""

    words: list[int]
    batch: Written
    stream: np.random.Generator | None


class Rows:
    """The sentences that a decoder writes at once, at most `count`, and those that wait."""

    def __init__(self, network: SentenceVAE, strategy: Strategy, start: list[int], max_len: int, count: int) -> None:
        self.decoder: Decoder = network.decoder
        self.strategy, self.start, self.max_len, self.count = strategy, start, max_len, count
        self.device = device = network.device
        self.written: list[Row] = []
        self.waiting: list[Row] = []
        self.codes = torch.zeros(0, network.settings.latent_size, dtype=torch.float32, device=device)
        self.state = self.decoder.start(self.codes)
        self.tokens = torch.zeros(0, dtype=torch.long, device=device)
        self.uniforms = torch.zeros(0, DRAWN, dtype=torch.float32, device=device)

    def add(self, z: Tensor, streams: Streams | None) -> Written:
        """Lets codes [N, L] wait for rows; returns where their sentences will stand."""
        batch = Written([[] for _ in range(len(z))], len(z))
        self.codes = torch.cat([self.codes, z.to(self.device)])
        if streams is None and not self.strategy.greedy:
            raise UsageError("drawing words takes random numbers", "greedy, or a beam")
        drawn = [None] * len(z) if streams is None else streams
        self.waiting += [Row(words, batch, one) for words, one in zip(batch.sentences, drawn, strict=True)]
        return batch

    @property
    def free(self) -> bool:
        """Whether so many rows are free that it is time to fill them."""
        return self.count - len(self.written) >= max(1, FREE_SHARE * self.count)

    def write(self) -> None:
        """Fills free rows, and adds a word to each."""
        if self.free and self.waiting:
            self._fill(min(self.count - len(self.written), len(self.waiting)))
        tokens = self._choose()
        chosen = tokens.tolist()
        for place, row in enumerate(self.written):
            if len(row.words) < len(self.start):
                chosen[place] = tokens[place] = self.start[len(row.words)]
        going = []
        for place, (row, word) in enumerate(zip(self.written, chosen, strict=True)):
            if word != EOS:
                row.words.append(word)
            if word == EOS or len(row.words) >= self.max_len:
                row.batch.open -= 1
            else:
                going.append(place)
        self.tokens = tokens
        if len(going) < len(self.written):
            index = torch.tensor(going, dtype=torch.long, device=self.device)
            self.written = [self.written[place] for place in going]
            self.tokens, self.uniforms = self.tokens[index], self.uniforms[index]
            self.state = self.decoder.reorder(self.state, index)

    def _fill(self, count: int) -> None:
        self.state = self.decoder.join(self.state, self.decoder.start(self.codes[:count]))
        self.tokens = torch.cat([self.tokens, self.tokens.new_full((count,), BOS)])
        self.uniforms = torch.cat([self.uniforms, self.uniforms.new_zeros(count, DRAWN)])
        self.written += self.waiting[:count]
        self.codes, self.waiting = self.codes[count:], self.waiting[count:]

    def _choose(self) -> Tensor:
        """The next word of each row [B]. Word t is drawn by number t of the row's stream."""
        if self.strategy.greedy:
            tokens, self.state = self.decoder.likeliest(self.tokens, self.state, self.strategy.banned)
            return tokens
        columns = [len(row.words) % DRAWN for row in self.written]
        if due := [place for place, column in enumerate(columns) if not column]:
            streams = [stream for place in due if (stream := self.written[place].stream) is not None]
            self.uniforms[due] = draw(streams, DRAWN).to(self.device)
        logits, self.state = self.decoder.step(self.tokens, self.state)
        column = torch.tensor(columns, device=self.device)[:, None]
        return self.strategy.draw(self.strategy.allowed_logits(logits.float()), self.uniforms.gather(1, column)[:, 0])


@torch.inference_mode()
def write_batches(
    network: SentenceVAE,
    batches: Iterable[tuple[Tensor, Streams | None]],
    strategy: Strategy,
    *,
    rows: int,
    start: Sequence[int],
    max_len: int,
    precision: torch.dtype,
) -> Iterator[list[list[int]]]:
    """The sentences of each batch of codes [N, L] and streams, in order; see `generate.decode_batches`.

    Raises `UsageError` where a strategy that draws words lacks streams.
    """
    source = iter(batches)
    if max_len <= len(start):
        yield from ([list(start) for _ in z] for z, _ in source)
        return
    decoder = Rows(network, strategy, list(start), max_len, rows)
    batch = next(source, None)
    unanswered: deque[Written] = deque()
    while batch is not None or unanswered:
        while batch is not None and decoder.free and len(decoder.waiting) < rows:
            unanswered.append(decoder.add(*batch))
            batch = next(source, None)
        # Batches are made, and sentences given back, outside: a consumer must not compute in this precision.
        with autocast(network.device, precision):
            while unanswered[0].open and not (batch is not None and decoder.free and not decoder.waiting):
                decoder.write()
        while unanswered and not unanswered[0].open:
            yield unanswered.popleft().sentences
