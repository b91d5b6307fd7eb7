"""A mixture of diagonal Gaussians fitted to posteriors by expectation maximization.

    log Σ_k w_k N(z; m_k, v_k)  ≥  Σ_k r_k (log w_k + log N(z; m_k, v_k) - log r_k)

For z ~ q(z|x_n), the right side has a closed form: that of a point at the posterior mean, with the posterior's variance
added to its squared distances. Its mean over the posteriors is a lower bound of the mean of log p(z) over all codes;
each iteration raises it. The posterior's own variance keeps a component from shrinking to a point.

Bishop 2006, "Pattern Recognition and Machine Learning", section 9.2, for points.

Shapes: N posteriors, K components, L latent dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from seqvae_cli.nn.distributions import LOG_2PI, DiagonalGaussian, Mixture

PAIRS_AT_ONCE = 2**22
"""Pairs of a posterior and a component whose responsibilities are held at once."""
ENOUGH = 1e-3
"""Nats that an iteration has to raise the bound by; below that the fit ends."""
ITERATIONS = 100
"""Iterations, at most."""
NARROWEST = 1e-10
"""The least variance of a component, as a share of that of all codes: below it, float32 cannot tell codes apart."""


def fit_mixture(
    posteriors: DiagonalGaussian, components: int, seed: int = 0, watch: Callable[[int], object] = lambda _: None
) -> tuple[Mixture, list[float]]:
    """A mixture of K `components` for N ≥ K `posteriors` [N, L], and the bound before each iteration, in nats.

    It begins at the means of K posteriors drawn with `seed`, with the variance of all. It computes in float64, around
    the mean of all. watch: told 1 after each iteration, of which there are at most `ITERATIONS`.
    """
    mean, variance = posteriors.mean.double(), posteriors.log_variance.double().exp()
    origin = mean.mean(0)
    mean = mean - origin
    second = mean.square() + variance  # E z²
    drawn = torch.randperm(len(mean), generator=torch.Generator().manual_seed(seed))[:components]
    centres = mean[drawn]
    overall = second.mean(0)
    least = (NARROWEST * overall).clamp(min=1e-30)
    spreads = torch.maximum(overall, least).expand_as(centres)
    log_weights = mean.new_full((components,), -math.log(components))
    reached: list[float] = []
    for _ in range(ITERATIONS):
        precision = 1 / spreads
        constant = log_weights - 0.5 * (spreads.log() + LOG_2PI + centres.square() * precision).sum(1)
        weight, first_sum, second_sum = mean.new_zeros(components), torch.zeros_like(centres), torch.zeros_like(centres)
        bound = 0.0
        for rows in torch.split(torch.arange(len(mean)), max(1, PAIRS_AT_ONCE // components)):
            expected = constant - 0.5 * second[rows] @ precision.T + mean[rows] @ (centres * precision).T
            bound += float(expected.logsumexp(1).sum())
            responsibility = expected.softmax(1).T
            weight += responsibility.sum(1)
            first_sum += responsibility @ mean[rows]
            second_sum += responsibility @ second[rows]
        reached.append(bound / len(mean))
        watch(1)
        if len(reached) > 1 and reached[-1] - reached[-2] < ENOUGH:
            break
        used = weight > 1e-6  # else it stays where it is
        share = torch.where(used, weight, 1.0)[:, None]
        centres = torch.where(used[:, None], first_sum / share, centres)
        spreads = torch.where(used[:, None], torch.maximum(second_sum / share - centres.square(), least), spreads)
        log_weights = (weight.clamp(min=1e-6) / len(mean)).log().log_softmax(0)
    return Mixture(DiagonalGaussian(centres + origin, spreads.log()), log_weights), reached


def parameters(mixture: Mixture) -> dict[str, Tensor]:
    """The weights of `nn.priors.MixturePrior` that stand for a mixture of diagonal Gaussians, in float32."""
    components = mixture.components
    assert isinstance(components, DiagonalGaussian)
    found = {"mean": components.mean, "spread": components.log_variance, "weight": mixture.log_weights}
    return {name: value.float() for name, value in found.items()}
