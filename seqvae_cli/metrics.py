"""What a model is worth: ELBO, importance-weighted bound, mutual information, active units, BLEU (nats, sentences).

The noise of sentence i comes from its own stream (seed, i), so no figure depends on how sentences are batched.
Shapes: N sentences of the split, B of a batch, K samples, L latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.batching import Batch, Indices, by_length, collate
from seqvae_cli.latent import LOG_2PI, DiagonalGaussian, kl, standard_normal
from seqvae_cli.model import SentenceVAE
from seqvae_cli.runtime import autocast, stream

TOKENS_AT_ONCE = 2048
"""Tokens of one pass through the decoder: enough for full speed, few enough to keep the logits small."""

BLOCK = 2**21
"""Pairs of a code and a posterior that are compared at once."""

Watch = Callable[[int], None]
"""Told how many sentences (or sentence samples) were just done; may raise to stop."""


class Sentences(Protocol):
    """A split: word ids of each sentence, and all lengths (words)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> NDArray[np.int64]: ...
    @property
    def lengths(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Elbo:
    """The two terms of the -ELBO over a split, and what the posteriors say."""

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


def finite(value: float) -> float | None:
    """None for what JSON has no number for."""
    return value if math.isfinite(value) else None


def perplexity(nll: float, sentences: int, tokens: int) -> float:
    """exp(Σ NLL / Σ (T+1)) from the mean NLL a sentence; infinite where it overflows."""
    try:
        return math.exp(nll * sentences / tokens)
    except OverflowError:
        return math.inf


@torch.inference_mode()
def elbo(
    model: SentenceVAE,
    split: Sentences,
    *,
    seed: int = 0,
    samples: int = 1,
    precision: torch.dtype = torch.float32,
    watch: Watch | None = None,
) -> Elbo:
    """Distortion at `samples` z a sentence, rate in closed form, mutual information and active units."""
    latent = model.settings.latent_size
    means, log_variances, z = (torch.empty(len(split), latent) for _ in range(3))
    distortion = 0.0
    for rows, batch in _batches(split, max(1, TOKENS_AT_ONCE // samples)):
        batch = batch.to(model.device)
        streams = [stream(seed, int(i)) for i in rows]
        with autocast(model.device, precision):
            posterior = model.encoder(batch)
        index = torch.from_numpy(rows)
        means[index], log_variances[index] = posterior.mean.cpu(), posterior.log_variance.cpu()
        for start, drawn, log_p in _decoded(model, batch, posterior, streams, samples, precision):
            distortion -= float(log_p.cpu().double().sum()) / samples
            if not start:
                z[index] = drawn[:, 0].cpu()
        if watch:
            watch(len(batch))
    posterior = DiagonalGaussian(means.double(), log_variances.double())
    rates = kl(posterior, standard_normal(posterior.mean)).mean(0)
    return Elbo(
        sentences=len(split),
        tokens=int(split.lengths.sum()) + len(split),
        distortion=distortion / len(split),
        rate=float(rates.sum()),
        mutual_information=mutual_information(posterior, z.double(), watch),
        active_units=active_units(means),
        rate_by_dimension=tuple(rates.tolist()),
    )


@torch.inference_mode()
def iw_nll(
    model: SentenceVAE,
    split: Sentences,
    *,
    samples: int = 500,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    watch: Watch | None = None,
) -> NDArray[np.float64]:
    """The importance-weighted bound on -log p(x) of each sentence, K = `samples` (Burda et al. 2016, equation 8): [N].

    -log (1/K) Σ_k p(x, z_k) / q(z_k|x), at most `TOKENS_AT_ONCE` tokens a pass (a longer sentence: one sample a pass).
    """
    result = np.empty(len(split))
    for rows, batch in _batches(split, TOKENS_AT_ONCE // 16):
        streams = [stream(seed, int(i)) for i in rows]
        _, _, result[rows] = _bounds(model, batch.to(model.device), streams, samples, precision, watch)
    return result


@dataclass(frozen=True)
class Score:
    """How likely one sentence is, in nats."""

    tokens: int
    """Predicted tokens, `<eos>` counted."""
    distortion: float
    rate: float
    iw_nll: float
    """The importance-weighted bound on -log p(x)."""

    @property
    def neg_elbo(self) -> float:
        return self.distortion + self.rate


@torch.inference_mode()
def score(
    model: SentenceVAE,
    sentences: Iterable[NDArray[np.int64]],
    *,
    samples: int = 1,
    seed: int = 0,
    window: int = 2048,
    precision: torch.dtype = torch.float32,
) -> Iterator[Score]:
    """Both bounds of each sentence (word ids), in order, from the same `samples` z; batched by length in a window."""
    stream_of = iter(sentences)
    first = 0
    while held := list(islice(stream_of, window)):
        found: list[Score | None] = [None] * len(held)
        lengths = np.array([len(ids) for ids in held], dtype=np.int64)
        for rows in by_length(lengths, 0, batch_tokens=max(1, TOKENS_AT_ONCE // min(samples, 16))):
            batch = collate([held[i] for i in rows]).to(model.device)
            streams = [stream(seed, first + int(i)) for i in rows]
            bounds = _bounds(model, batch, streams, samples, precision, None)
            for i, values in zip(rows.tolist(), zip(*bounds, strict=True), strict=True):
                found[i] = Score(int(lengths[i]) + 1, *map(float, values))
        yield from (one for one in found if one is not None)
        first += len(held)


def _bounds(
    model: SentenceVAE,
    batch: Batch,
    streams: Sequence[np.random.Generator],
    samples: int,
    precision: torch.dtype,
    watch: Watch | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distortion, rate and importance-weighted bound of each sentence of a batch, from the same z: three of [B]."""
    with autocast(model.device, precision):
        posterior = model.encoder(batch)
    q = DiagonalGaussian(posterior.mean[:, None], posterior.log_variance[:, None])
    total = torch.full((len(batch),), -torch.inf, dtype=torch.float64)
    distortion = torch.zeros(len(batch), dtype=torch.float64)
    for _, z, log_p in _decoded(model, batch, posterior, streams, samples, precision):
        weights = log_p + standard_normal(z).log_prob(z) - q.log_prob(z)
        total = torch.logaddexp(total, weights.cpu().double().logsumexp(1))
        distortion -= log_p.cpu().double().sum(1) / samples
        if watch:
            watch(log_p.numel())
    rate = kl(posterior, standard_normal(posterior.mean)).cpu().double().sum(1)
    return distortion.numpy(), rate.numpy(), (math.log(samples) - total).numpy()


def _decoded(
    model: SentenceVAE,
    batch: Batch,
    posterior: DiagonalGaussian,
    streams: Sequence[np.random.Generator],
    samples: int,
    precision: torch.dtype,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """z [B, k, L] and log p(x|z) [B, k] of the next k samples, and how many went before; k keeps a pass small."""
    chunk = max(1, TOKENS_AT_ONCE // batch.tokens.numel())
    for start in range(0, samples, chunk):
        count = min(chunk, samples - start)
        shape = (count, model.settings.latent_size)
        noise = np.stack([random.standard_normal(shape, dtype=np.float32) for random in streams])
        z = posterior.expand(count).rsample(torch.from_numpy(noise).to(model.device).flatten(0, 1))
        repeated = _repeat(batch, count)
        with autocast(model.device, precision):
            log_p = model.decoder.log_prob(model.inputs(repeated), repeated, z)
        yield start, z.view(len(batch), count, -1), log_p.view(len(batch), count)


def mutual_information(posterior: DiagonalGaussian, z: Tensor, watch: Watch | None = None) -> float:
    """I(x; z) under q: rate - KL(q(z) ‖ p(z)), q(z) the aggregate posterior over all N sentences (Hoffman & Johnson
    2016), by Monte Carlo with one z [N, L] a sentence. At most ln N: what noise puts above it is cut."""
    rate = kl(posterior, standard_normal(posterior.mean)).sum(1).mean()
    estimate = rate - (aggregate_log_prob(posterior, z, watch=watch) - standard_normal(z).log_prob(z)).mean()
    return min(float(estimate), math.log(len(z)))


def aggregate_log_prob(posterior: DiagonalGaussian, z: Tensor, rows: int = 0, watch: Watch | None = None) -> Tensor:
    """log q(z) = log (1/N) Σ_n q(z|x_n) of each z [M, L]: [M] nats.

    Two matrix products a block of `rows` z (0: as many as keep it small); `watch` is called after each.
    """
    precision = (-posterior.log_variance).exp()
    scaled = posterior.mean * precision
    constant = (posterior.mean * scaled + posterior.log_variance + LOG_2PI).sum(1)
    blocks = []
    for block in torch.split(z, rows or max(1, BLOCK // len(posterior.mean))):
        blocks.append((block @ scaled.T - 0.5 * (block.square() @ precision.T + constant)).logsumexp(1))
        if watch:
            watch(0)
    return torch.cat(blocks) - math.log(len(posterior.mean))


def active_units(means: Tensor) -> int:
    """Dimensions whose posterior mean [N, L] has population variance above 0.01 (Burda et al. 2016, section 5.2)."""
    return int((means.double().var(0, correction=0) > 0.01).sum())


def bleu(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 (sacrebleu) of tokens joined by spaces, 0 to 100."""
    import sacrebleu

    return float(sacrebleu.corpus_bleu(outputs, [references], tokenize="none", force=True).score)


def _batches(split: Sentences, tokens: int) -> Iterator[tuple[Indices, Batch]]:
    for rows in by_length(split.lengths, 0, batch_tokens=tokens):
        yield rows, collate([split[int(i)] for i in rows])


def _repeat(batch: Batch, samples: int) -> Batch:
    """Each sentence `samples` times in a row."""
    if samples == 1:
        return batch
    return Batch(batch.tokens.repeat_interleave(samples, 0), batch.lengths.repeat_interleave(samples, 0), batch.ragged)
