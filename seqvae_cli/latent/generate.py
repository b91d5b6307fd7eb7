"""Encoding sentences, sampling from the prior, and decoding codes.

Sentence i of a sample draws from its own random stream (seed, i), so that it does not depend on the batch.

Shapes: N or B sentences, L latent dimensions, V words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.data.batching import Batch, by_length, collate, length_sorted
from seqvae_cli.data.tokenizer import BOS, EOS
from seqvae_cli.data.windows import WINDOW
from seqvae_cli.errors import UsageError
from seqvae_cli.latent.beam import beam_search
from seqvae_cli.latent.strategy import ANCESTRAL, GREEDY, Strategy
from seqvae_cli.model import Decoder, SentenceVAE
from seqvae_cli.system.runtime import autocast, stream

MAX_LEN = 100
"""Words at which a sentence without `<eos>` is cut."""

MOST_ROWS = 4096
"""Codes that are decoded at once, however many are given."""

DRAWN = 32
"""Random numbers that a sentence draws at once: many are never needed."""

TOKENS_AT_ONCE = 2**14
"""Padded tokens of one pass of `log_probs`."""


@torch.inference_mode()
def decode(
    network: SentenceVAE,
    z: Tensor,
    strategy: Strategy = GREEDY,
    *,
    start: Sequence[int] = (),
    streams: Sequence[np.random.Generator] | None = None,
    max_len: int = MAX_LEN,
    precision: torch.dtype = torch.float32,
) -> list[list[int]]:
    """Token ids of a sentence for each row of z [N, L], `start` first, without `<eos>`, at most `max_len` words.

    streams: the random stream of each row; word t of a row is drawn by number t of its stream, `start` counted.
    Memory does not grow with `max_len`, nor, beside the result, with N.

    Raises `UsageError` where a strategy that draws words lacks streams, and for more start words than `max_len`.
    """
    if len(start) > max_len:
        raise UsageError(f"{len(start)} start words are more than {max_len}", "give a higher max_len")
    if strategy.beam:
        return beam_search(network, z, strategy, start=start, max_len=max_len, precision=precision)
    if streams is None and not strategy.greedy:
        raise UsageError("drawing words takes random numbers", "greedy, or a beam")
    found: list[list[int]] = []
    for first in range(0, len(z), MOST_ROWS):
        rows = slice(first, first + MOST_ROWS)
        drawn = None if streams is None or strategy.greedy else streams[rows]
        found += _decode(network, z[rows], strategy, list(start), drawn, max_len, precision)
    return found


def _decode(
    network: SentenceVAE,
    z: Tensor,
    strategy: Strategy,
    start: list[int],
    streams: Sequence[np.random.Generator] | None,
    max_len: int,
    precision: torch.dtype,
) -> list[list[int]]:
    """`decode` of one batch, word by word; without `streams` greedily."""
    decoder: Decoder = network.decoder
    device, count = network.device, len(z)
    rows, uniforms = torch.arange(count, device=device), torch.zeros(count, DRAWN, dtype=torch.float32, device=device)
    chosen: list[tuple[Tensor, Tensor]] = []  # by step: the rows that have not ended, and their words
    with autocast(device, precision):
        state = decoder.start(z.to(device))
        tokens = torch.full((count,), BOS, dtype=torch.long, device=device)
        for position in range(max_len):
            if streams is not None and position % DRAWN == 0:
                uniforms = draw([streams[row] for row in rows.tolist()], DRAWN).to(device)
            if position < len(start):
                _, state = decoder.step(tokens, state)
                tokens = torch.full_like(tokens, start[position])
                continue
            if strategy.greedy:
                tokens, state = decoder.likeliest(tokens, state, strategy.banned)
            else:
                logits, state = decoder.step(tokens, state)
                tokens = strategy.draw(strategy.allowed_logits(logits.float()), uniforms[:, position % DRAWN])
            alive = (tokens != EOS).nonzero()[:, 0]
            if len(alive) < len(rows):
                rows, tokens, uniforms = rows[alive], tokens[alive], uniforms[alive]
                state = decoder.reorder(state, alive)
                if not len(rows):
                    break
            chosen.append((rows, tokens))
    sentences = [list(start) for _ in range(count)]
    for ended_later, words in chosen:
        for row, word in zip(ended_later.tolist(), words.tolist(), strict=True):
            sentences[row].append(word)
    return sentences


def is_cut(words: Sequence[int], max_len: int) -> bool:
    """Whether a sentence that was decoded with `max_len` ended there, without `<eos>`."""
    return len(words) >= max_len


@torch.inference_mode()
def log_probs(
    network: SentenceVAE,
    z: Tensor,
    sentences: Sequence[Sequence[int]],
    *,
    max_len: int = MAX_LEN,
) -> Tensor:
    """log p(x|z) of decoded sentences (token ids) at their z [B, L], in float32: [B] nats.

    `<eos>` is counted, except in sentences that were cut at `max_len`.
    """
    found = torch.empty(len(sentences), dtype=torch.float32, device="cpu")
    for rows in by_length(np.array([len(words) for words in sentences], dtype=np.int64), 0, TOKENS_AT_ONCE):
        batch = collate([np.array(sentences[row], dtype=np.int64) for row in rows])
        cut = np.array([is_cut(sentences[row], max_len) for row in rows], dtype=np.int64)
        batch = Batch(batch.ids, batch.lengths - cut, network.device)
        places = torch.from_numpy(rows)
        log_p = network.decoder.log_prob(network.inputs(batch), batch, z[places].to(network.device))
        found[places] = log_p.float().cpu()
    return found


def sample(
    network: SentenceVAE,
    count: int,
    strategy: Strategy = ANCESTRAL,
    *,
    seed: int = 0,
    start: Sequence[int] = (),
    max_len: int = MAX_LEN,
    batch_size: int = 256,
    precision: torch.dtype = torch.float32,
) -> Iterator[list[int]]:
    """Token ids of sentences decoded from draws of the prior. The same for any `batch_size`."""
    options: dict[str, Any] = {"start": start, "max_len": max_len, "batch_size": batch_size, "precision": precision}
    return (words for _, batch in sample_batches(network, count, strategy, seed=seed, **options) for words in batch)


def sample_batches(
    network: SentenceVAE,
    count: int,
    strategy: Strategy = ANCESTRAL,
    *,
    seed: int = 0,
    start: Sequence[int] = (),
    max_len: int = MAX_LEN,
    batch_size: int = 256,
    precision: torch.dtype = torch.float32,
) -> Iterator[tuple[Tensor, list[list[int]]]]:
    """The sentences of `sample` in batches, each with its draws z [B, L]."""
    for first in range(0, count, batch_size):
        streams = [stream(seed, i) for i in range(first, min(first + batch_size, count))]
        z = prior_codes(network, streams)
        yield z, decode(network, z, strategy, start=start, streams=streams, max_len=max_len, precision=precision)


def draw(streams: Sequence[np.random.Generator], count: int) -> Tensor:
    """The next `count` random numbers in [0, 1) of each stream: [B, count]."""
    return torch.from_numpy(np.stack([random.random(count, dtype=np.float32) for random in streams]))


@torch.inference_mode()
def prior_codes(network: SentenceVAE, streams: Iterable[np.random.Generator]) -> Tensor:
    """One draw from the prior for each random stream: [B, L]."""
    prior = network.prior()
    noise = np.stack([random.standard_normal(prior.noise_size, dtype=np.float32) for random in streams])
    return prior.sample(torch.from_numpy(noise).to(network.device)).cpu()


@torch.inference_mode()
def encode(
    network: SentenceVAE,
    sentences: Iterable[NDArray[np.int64]],
    *,
    batch_size: int = 128,
    window: int = WINDOW,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Code and scale of the posterior of each sentence (token ids), [L] each, in order (see `nn.distributions`).

    Computed in float32, since bfloat16 keeps only three digits of a code. Sentences are batched by length within a
    window of the stream; see `length_sorted`.
    """
    waiting: dict[int, tuple[Tensor, Tensor]] = {}
    following = 0
    for rows, batch in length_sorted(sentences, batch_size, window):
        posterior = network.encoder(batch.to(network.device))
        waiting.update(zip(rows.tolist(), zip(posterior.code.cpu(), posterior.scale.cpu(), strict=True), strict=True))
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def reconstruct(
    network: SentenceVAE,
    sentences: Iterable[NDArray[np.int64]],
    strategy: Strategy = GREEDY,
    *,
    max_len: int = MAX_LEN,
    batch_size: int = 128,
    precision: torch.dtype = torch.float32,
) -> Iterator[list[int]]:
    """Token ids decoded from the code of each sentence's posterior, in order.

    Raises `UsageError` for a strategy that draws words.
    """
    codes = (code for code, _ in encode(network, sentences, batch_size=batch_size))
    while held := list(islice(codes, batch_size)):
        yield from decode(network, torch.stack(held), strategy, max_len=max_len, precision=precision)
