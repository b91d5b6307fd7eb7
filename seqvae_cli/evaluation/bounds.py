"""The importance-weighted bound on -log p(x) of a split, and both bounds of single sentences.

Shapes: B sentences of a batch, K samples a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from seqvae_cli.data.batching import Batch, by_length, collate
from seqvae_cli.data.windows import WINDOW, windows
from seqvae_cli.evaluation.metrics import (
    SplitLike,
    batches,
    decoded,
    doubles,
    sentence_streams,
    tokens_at_once,
)
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.distributions import Prior, has_closed_form, kl
from seqvae_cli.system.processes import ALONE, Processes
from seqvae_cli.system.progress import Advance
from seqvae_cli.system.runtime import autocast

SCORE_SAMPLES = 2000
"""K of a score: on `toy` at the default preset, the bound's deviation between seeds is below 0.1 nats a sentence."""

SCORE_WINDOW = 256
"""Sentences of a stream that are read ahead, to be scored in batches of like length."""


@torch.inference_mode()
def iw_nll(
    network: SentenceVAE,
    split: SplitLike,
    *,
    samples: int = 500,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    watch: Advance | None = None,
    processes: Processes = ALONE,
) -> NDArray[np.float64]:
    """The importance-weighted bound on -log p(x) of each sentence, K = `samples` (Burda et al. 2016, equation 8): [N].

    -log (1/K) Σ_k p(x, z_k) / q(z_k|x). A pass holds at most `tokens_at_once`, so that memory does not grow with
    K. watch: told tokens, K times those of the split.

    The batches are shared out to `processes`, and all get the same result.
    """
    result, prior = np.zeros(len(split)), network.prior()
    for rows, batch in batches(split, _tokens_of_bounds(samples, network.device), processes):
        _, _, result[rows] = _bounds(network, prior, batch, seed, samples, precision, watch)
    return processes.sum(torch.from_numpy(result)).numpy()


def _tokens_of_bounds(samples: int, device: torch.device) -> int:
    """Padded tokens of a batch whose bounds take `samples` z a sentence, so that some samples share a pass."""
    return tokens_at_once(device) // min(samples, 16)


@dataclass(frozen=True)
class Score:
    """The bounds on -log p(x) of one sentence, in nats."""

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
    network: SentenceVAE,
    sentences: Iterable[NDArray[np.int64]],
    *,
    samples: int = SCORE_SAMPLES,
    seed: int = 0,
    window: int = WINDOW,
    precision: torch.dtype = torch.float32,
) -> Iterator[Score]:
    """Both bounds of each sentence (token ids) from the same `samples` z, in the order of the input.

    A sentence has the same score wherever it stands, but for rounding: 1e-6 of it in float32, 1e-3 in bfloat16.
    Sentences are read `window` at a time, and batched by length within a window: those of a split that fits into one
    as in `iw_nll`, so that its scores add up to that figure to the last digits.
    """
    samples = samples if network.settings.latent_size else 1  # without a latent code the bound is exact
    prior = network.prior()
    for held in windows(sentences, window, len):
        found: list[Score | None] = [None] * len(held)
        lengths = np.array([len(ids) for ids in held], dtype=np.int64)
        for rows in by_length(lengths, 0, batch_tokens=_tokens_of_bounds(samples, network.device)):
            bounds = _bounds(network, prior, collate([held[i] for i in rows]), seed, samples, precision, None)
            for i, values in zip(rows.tolist(), zip(*bounds, strict=True), strict=True):
                found[i] = Score(int(lengths[i]) + 1, *map(float, values))
        yield from (one for one in found if one is not None)


def _bounds(
    network: SentenceVAE,
    prior: Prior,
    batch: Batch,
    seed: int,
    samples: int,
    precision: torch.dtype,
    watch: Advance | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distortion, rate and importance-weighted bound of each sentence of a batch, from the same z: three of [B]."""
    tokens, streams = int(batch.lengths.sum()), sentence_streams(seed, batch)
    batch = batch.to(network.device)
    with autocast(network.device, precision):
        posterior = network.encoder(batch)
    # In float64: where posteriors are narrow, log densities are differences of large numbers.
    exact_posterior = posterior.apply(doubles)
    q, closed = exact_posterior.apply(lambda parameter: parameter[:, None]), has_closed_form(posterior, prior)
    total = q.code.new_full((len(batch),), -torch.inf)
    distortion, rate = q.code.new_zeros(2, len(batch))
    if closed:
        rate = kl(exact_posterior, prior, exact_posterior.code).sum(1)
    for _, z, log_p in decoded(network, batch, posterior, streams, samples, precision):
        exact, log_p = doubles(z), doubles(log_p)
        log_ratio = q.log_prob(exact) - prior.log_prob(exact)
        total = torch.logaddexp(total, (log_p - log_ratio).logsumexp(1))
        distortion = distortion - log_p.sum(1) / samples
        if not closed:
            rate = rate + log_ratio.sum(1) / samples
        if watch:
            watch(tokens * log_p.size(1))
    return tuple(values.cpu().numpy() for values in (distortion, rate, math.log(samples) - total))
