"""Encoding sentences, sampling from the prior, and decoding codes.

Sentence i of a sample draws from its own random stream (seed, i), so that it does not depend on the batch.

Shapes: N or B sentences, L latent dimensions, V words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.data.batching import Batch, by_length, collate, length_sorted
from seqvae_cli.data.windows import WINDOW
from seqvae_cli.errors import UsageError
from seqvae_cli.latent.beam import beam_search
from seqvae_cli.latent.stepwise import Streams, write_batches
from seqvae_cli.latent.strategy import ANCESTRAL, GREEDY, Strategy
from seqvae_cli.model import SentenceVAE
from seqvae_cli.system.runtime import stream

MAX_LEN = 100
"""Words at which a sentence without `<eos>` is cut."""

MOST_ROWS = 4096
"""Sentences that `decode` writes at once, however many codes are given."""

TOKENS_AT_ONCE = 2**14
"""Padded tokens of one pass of `log_probs`."""


def decode(
    network: SentenceVAE,
    z: Tensor,
    strategy: Strategy = GREEDY,
    *,
    start: Sequence[int] = (),
    streams: Streams | None = None,
    max_len: int = MAX_LEN,
    precision: torch.dtype = torch.float32,
) -> list[list[int]]:
    """Token ids of a sentence for each row of z [N, L], `start` first, without `<eos>`, at most `max_len` words.

    streams: the random stream of each row; word t of a row is drawn by number t of its stream, `start` counted.
    Memory does not grow with `max_len`, nor, beside the result, with N.

    Raises `UsageError` where a strategy that draws words lacks streams, and for more start words than `max_len`.
    """
    options: dict[str, Any] = {"start": start, "max_len": max_len, "precision": precision}
    (found,) = decode_batches(network, [(z, streams)], strategy, rows=MOST_ROWS, **options)
    return found


def decode_batches(
    network: SentenceVAE,
    batches: Iterable[tuple[Tensor, Streams | None]],
    strategy: Strategy = GREEDY,
    *,
    rows: int,
    start: Sequence[int] = (),
    max_len: int = MAX_LEN,
    precision: torch.dtype = torch.float32,
) -> Iterator[list[list[int]]]:
    """The sentences of `decode` for each batch of codes z [N, L] and their streams, `rows` of them written at once.

    A batch is read as soon as there are rows for it, before the sentences of the last are complete.
    """
    if len(start) > max_len:
        raise UsageError(f"{len(start)} start words are more than {max_len}", "give a higher max_len")
    options: dict[str, Any] = {"start": start, "max_len": max_len, "precision": precision}
    if strategy.beam:
        return (beam_search(network, z, strategy, **options) for z, _ in batches)
    return write_batches(network, batches, strategy, rows=rows, **options)


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
    batches: deque[Tensor] = deque()

    def drawn() -> Iterator[tuple[Tensor, Streams]]:
        for first in range(0, count, batch_size):
            streams = [stream(seed, i) for i in range(first, min(first + batch_size, count))]
            batches.append(prior_codes(network, streams))
            yield batches[-1], streams

    options: dict[str, Any] = {"start": start, "max_len": max_len, "precision": precision}
    for sentences in decode_batches(network, drawn(), strategy, rows=batch_size, **options):
        yield batches.popleft(), sentences


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
    held = iter(lambda: list(islice(codes, batch_size)), [])
    batches = ((torch.stack(one), None) for one in held)
    options: dict[str, Any] = {"max_len": max_len, "precision": precision}
    for decoded in decode_batches(network, batches, strategy, rows=batch_size, **options):
        yield from decoded
