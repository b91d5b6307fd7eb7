"""Passes of a network over a split, and what they measure: the ELBO and its parts, distortions, reconstructions.

In nats a sentence unless stated otherwise. A sentence draws its noise from the seed and its own token ids: its figures
depend neither on its place nor on the other sentences, but for rounding (1e-6 of a value in float32, 1e-3 in bfloat16).
Shapes: N sentences of the split, B of a batch, K samples, L latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import add
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.data.batching import Batch, Indices, by_length, collate, upload
from seqvae_cli.evaluation.aggregate import active_units, mutual_information
from seqvae_cli.latent.generate import MAX_LEN
from seqvae_cli.model import STEPS_AT_ONCE, SentenceVAE
from seqvae_cli.nn.distributions import Posterior, Prior, join, kl
from seqvae_cli.system.processes import ALONE, Processes
from seqvae_cli.system.progress import Advance
from seqvae_cli.system.runtime import autocast, exact_device, sentence_stream

TOKENS_AT_ONCE = 2048
"""Tokens of one pass through the decoder on a CPU: enough for full speed, few enough to keep the logits small."""

DEVICE_TOKENS_AT_ONCE = 2**15
"""The same on another device, which computes a smaller pass in less time than the CPU takes to start it."""

SAMPLES_APART = 16
"""Samples a sentence from which on a CPU decodes one sentence a pass."""

COLLAPSED = 0.5
"""A posterior with less rate or mutual information than this, in nats, is called collapsed."""


class SplitLike(Protocol):
    """A split, or a part of one: token ids of each sentence, and all lengths in tokens without `<eos>`."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> NDArray[np.int64]: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Elbo:
    """The two terms of the -ELBO over a split, in nats a sentence, and metrics of its posteriors."""

    sentences: int
    tokens: int
    """Predicted tokens, `<eos>` counted."""
    distortion: float
    rate: float
    mutual_information: float
    active_units: int
    rate_by_dimension: tuple[float, ...]

    @property
    def neg_elbo(self) -> float:
        return self.distortion + self.rate

    @property
    def elbo_ppl(self) -> float:
        return perplexity(self.neg_elbo, self.sentences, self.tokens)


def finite_or_none(value: float) -> float | None:
    """The value, or None where it is infinite or NaN, which JSON lacks."""
    return value if math.isfinite(value) else None


def finite_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with None for infinities and NaN, which JSON lacks."""
    return {name: finite_or_none(value) if isinstance(value, float) else value for name, value in values.items()}


def tokens_at_once(device: torch.device) -> int:
    return TOKENS_AT_ONCE if device.type == "cpu" else DEVICE_TOKENS_AT_ONCE


def usual_length(lengths: NDArray[np.int64]) -> int:
    """Tokens of the longest sentence but for outliers: the 99th percentile or 100, at most the longest of all.

    Decoding goes to twice as many, so that one long line does not let others that never end run as far as itself.
    """
    return min(int(lengths.max()), max(MAX_LEN, int(np.quantile(lengths, 0.99, method="inverted_cdf"))))


def perplexity(nll: float, sentences: int, tokens: int) -> float:
    """exp(Σ NLL / Σ (T+1)) from the mean NLL a sentence; infinite where it overflows."""
    try:
        return math.exp(nll * sentences / tokens)
    except OverflowError:
        return math.inf


@torch.inference_mode()
def elbo(
    network: SentenceVAE,
    split: SplitLike,
    *,
    seed: int = 0,
    samples: int = 1,
    precision: torch.dtype = torch.float32,
    watch: Advance | None = None,
    processes: Processes = ALONE,
) -> Elbo:
    """Distortion and rate at `samples` z a sentence, mutual information and active units.

    The rate is in closed form where the posterior and the prior have one. watch: told tokens.

    The batches are shared out to `processes`, and all get the same result.
    """
    prior = network.prior()
    z = torch.zeros(len(split), network.settings.latent_size, dtype=torch.float32, device="cpu")
    distortion, rates = torch.zeros(2, dtype=torch.float64, device=exact_device(network.device))
    found: list[tuple[Indices, Posterior]] = []
    for rows, batch in batches(split, max(1, tokens_at_once(network.device) // samples), processes):
        tokens, streams = int(batch.lengths.sum()), sentence_streams(seed, batch)
        batch = batch.to(network.device)
        with autocast(network.device, precision):
            posterior = network.encoder(batch)
        found.append((rows, posterior.apply(Tensor.cpu)))
        for start, drawn, log_p in decoded(network, batch, posterior, streams, samples, precision):
            distortion = distortion - doubles(log_p).sum() / samples
            rates = rates + rates_at(posterior, prior, drawn).sum((0, 1)) / samples
            if not start:
                z[torch.from_numpy(rows)] = drawn[:, 0].cpu()
        if watch:
            watch(tokens)
    shares = processes.gathered((found, z, distortion.cpu(), rates.cpu()))

    def result() -> Elbo:
        """Of the shares of all processes, whose codes are 0 in the rows of the others."""
        collected, codes, distortions, rate_sums = zip(*shares, strict=True)
        posterior, rates = _in_order(chain(*collected)), reduce(add, rate_sums) / len(split)
        on_device = posterior.apply(lambda parameter: parameter.to(exact_device(network.device)))
        z = reduce(add, codes).to(on_device.code)
        return Elbo(
            sentences=len(split),
            tokens=int(split.lengths.sum()) + len(split),
            distortion=float(reduce(add, distortions)) / len(split),
            rate=float(rates.sum()),
            mutual_information=mutual_information(on_device, prior, z, watch),
            active_units=active_units(posterior),
            rate_by_dimension=tuple(rates.tolist()),
        )

    return processes.by_first(result)


def _in_order(collected: Iterable[tuple[Indices, Posterior]]) -> Posterior:
    """Posteriors of batches with the rows of their sentences -> those of all, in the order of the split."""
    rows, parts = zip(*collected, strict=True)
    place = torch.from_numpy(np.argsort(np.concatenate(rows)))
    return join(parts).apply(lambda parameter: parameter[place])


def rates_at(posterior: Posterior, prior: Prior, z: Tensor) -> Tensor:
    """KL(q ‖ p) of each row of the posterior at each of its samples z [B, k, L]: [B, k, G] nats, in float64."""
    count = z.size(1)
    exact = posterior.apply(doubles).expand(count)
    return kl(exact, prior, doubles(z).flatten(0, 1)).view(len(z), count, -1)


def doubles(values: Tensor) -> Tensor:
    return values.to(exact_device(values.device)).double()


@torch.inference_mode()
def posteriors(
    network: SentenceVAE, split: SplitLike, *, precision: torch.dtype = torch.float32, watch: Advance | None = None
) -> Posterior:
    """q(z|x) of every sentence of a split, on the CPU: [N, L]. watch: told tokens."""
    collected = []
    for rows, batch in batches(split, tokens_at_once(network.device)):
        with autocast(network.device, precision):
            collected.append((rows, network.encoder(batch.to(network.device)).apply(Tensor.cpu)))
        if watch:
            watch(int(batch.lengths.sum()))
    return _in_order(collected)


@torch.inference_mode()
def distortion(
    network: SentenceVAE,
    split: SplitLike,
    z: Tensor,
    *,
    precision: torch.dtype = torch.float32,
    watch: Advance | None = None,
) -> float:
    """Mean of -log p(x|z), in nats a sentence, with row n of z [N, L] as the code of sentence n. watch: told tokens."""
    total = 0.0
    for rows, batch in batches(split, tokens_at_once(network.device)):
        tokens = int(batch.lengths.sum())
        batch = batch.to(network.device)
        with autocast(network.device, precision):
            log_p = network.decoder.log_prob(network.inputs(batch), batch, z[torch.from_numpy(rows)].to(network.device))
        total -= float(doubles(log_p).sum())
        if watch:
            watch(tokens)
    return total / len(split)


def decoded(
    network: SentenceVAE,
    batch: Batch,
    posterior: Posterior,
    streams: Sequence[np.random.Generator],
    samples: int,
    precision: torch.dtype,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """In chunks of k samples: the number of samples before it, z [B, k, L], and log p(x|z) [B, k].

    A pass holds at most `tokens_at_once`, or `STEPS_AT_ONCE` of a long sentence; k follows from that. From
    `SAMPLES_APART` samples on, a pass on a CPU reads one sentence: its words are multiplied with weights once, not k
    times.
    """
    steps = tokens_at_once(network.device) // min(batch.ids.shape[1], STEPS_AT_ONCE)
    apart = network.device.type == "cpu" and samples >= SAMPLES_APART
    chunk = max(1, steps if apart else steps // len(batch))
    for start in range(0, samples, chunk):
        count = min(chunk, samples - start)
        shape = (count, network.settings.latent_size)
        noise = np.stack([random.standard_normal(shape, dtype=np.float32) for random in streams])
        z = posterior.expand(count).rsample(upload(noise, network.device).flatten(0, 1)).view(len(batch), count, -1)
        with autocast(network.device, precision):
            if apart:
                log_p = torch.stack(
                    [_log_prob(network, one, codes) for one, codes in zip(batch.apart(), z, strict=True)]
                )
            else:
                log_p = _log_prob(network, batch, z.flatten(0, 1)).view(len(batch), count)
        yield start, z, log_p


def _log_prob(network: SentenceVAE, batch: Batch, z: Tensor) -> Tensor:
    """log p(x|z) of each sentence of a batch at its k codes, which stand together in z [B k, L]: [B k] nats."""
    repeated = batch.repeat(len(z) // len(batch))
    inputs = network.inputs(batch if len(batch) == 1 else repeated)
    return network.decoder.log_prob(inputs, repeated, z)


def bleu(outputs: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> float:
    """Corpus BLEU-4 (sacrebleu) of sentences of token ids, 0 to 100.

    Ids take the place of tokens, which may hold spaces: sacrebleu would split there, and drop the token " ".
    """
    import sacrebleu

    hypotheses, texts = ([" ".join(map(str, ids)) for ids in sentences] for sentences in (outputs, references))
    return float(sacrebleu.corpus_bleu(hypotheses, [texts], tokenize="none", force=True).score)


def batches(split: SplitLike, tokens: int, processes: Processes = ALONE) -> Iterator[tuple[Indices, Batch]]:
    """Batches of about as many tokens, of several processes every n-th: the same batches as in one process."""
    for rows in by_length(split.lengths, 0, batch_tokens=tokens)[processes.rank :: processes.size]:
        yield rows, collate([split[int(i)] for i in rows])


def sentence_streams(seed: int, batch: Batch) -> list[np.random.Generator]:
    """The random stream of each sentence of a batch."""
    words = zip(batch.ids, batch.lengths.tolist(), strict=True)
    return [sentence_stream(seed, ids[: length - 1]) for ids, length in words]
