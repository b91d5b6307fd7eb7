"""The aggregate posterior q(z) = (1/N) Σ_n q(z|x_n) of a split: mutual information and active units.

Shapes: N sentences, M codes, L latent dimensions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqvae_cli.nn.distributions import Posterior, Prior, VonMisesFisher, kl
from seqvae_cli.system.progress import Advance

BLOCK = 2**21
"""Pairs of a code and a posterior in one pass of `aggregate_log_prob`."""

MOST = 10_000
"""Sentences that the mutual information is of, at most: it compares the code of each with each posterior."""


def mutual_information(posterior: Posterior, prior: Prior, z: Tensor, watch: Advance | None = None) -> float:
    """I(x; z) under q: rate - KL(q(z) ‖ p(z)) in nats, by Monte Carlo with one z [N, L] a sentence.

    q(z) is the aggregate posterior over all N sentences (Hoffman & Johnson 2016, "ELBO surgery"). Estimates outside
    0 to ln N, the range of the true value, are clamped.

    There are two estimates: with the rate in closed form, or with the rate sampled from the same z, whose noise then
    cancels. The one with the smaller deviation between sentences is returned. The first wins where codes carry almost
    no information. Of more than `MOST` sentences it is that of so many, spread evenly over them.
    """
    if len(z) > MOST:
        rows = torch.arange(MOST, device=z.device) * len(z) // MOST
        posterior, z = posterior.apply(lambda parameter: parameter[rows]), z[rows]
    posterior, z = posterior.apply(Tensor.double), z.double()
    aggregate = aggregate_log_prob(posterior, z, watch=watch)
    exact = kl(posterior, prior, z).sum(1) - (aggregate - prior.log_prob(z))
    sampled = posterior.log_prob(z) - aggregate
    best = min(exact, sampled, key=lambda estimate: float(estimate.std(correction=0)))
    return min(max(float(best.mean()), 0.0), math.log(len(z)))


def aggregate_log_prob(posterior: Posterior, z: Tensor, watch: Advance | None = None) -> Tensor:
    """log q(z) = log (1/N) Σ_n q(z|x_n) of each z [M, L]: [M] nats. `watch` is called with 0 after each block."""
    count = len(posterior.code)
    blocks = []
    for block in torch.split(z, max(1, BLOCK // count)):
        blocks.append(posterior.log_probs(block).logsumexp(1))
        if watch:
            watch(0)
    return torch.cat(blocks) - math.log(count)


def active_units(posterior: Posterior) -> int:
    """Dimensions whose posterior mean has a population variance above 0.01 (Burda et al. 2016, section 5.2).

    That is a hundredth of the variance of the prior N(0, 1). A uniform prior on the sphere has the variance 1 / L a
    dimension, so a von Mises-Fisher posterior is held to 0.01 / L.
    """
    return active_dimensions(posterior.mean, sphere=isinstance(posterior, VonMisesFisher))


def active_dimensions(means: Tensor, *, sphere: bool) -> int:
    """The same, of posterior means [N, L]; `sphere`: of a posterior on the sphere."""
    if not means.numel():  # a language model
        return 0
    prior_variance = 1 / means.size(1) if sphere else 1
    return int((means.double().var(0, correction=0) > 0.01 * prior_variance).sum())
