"""Distributions over the latent code z, and the KL divergence between them (nats).

Shapes: B sentences, L latent dimensions, G groups of the KL (for a diagonal Gaussian one a dimension: G = L).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag(exp(log_variance))), both of shape [..., L]."""

    mean: Tensor
    log_variance: Tensor

    @property
    def scale(self) -> Tensor:
        """Standard deviations, [..., L]."""
        return (0.5 * self.log_variance).exp()

    def rsample(self, noise: Tensor | None = None) -> Tensor:
        """z = mean + scale * noise, differentiable in both (Kingma & Welling 2014, section 2.4), [..., L].

        `noise` is standard normal, [..., L]; torch's global stream gives it where it is not given.
        """
        return self.mean + self.scale * (torch.randn_like(self.mean) if noise is None else noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """log density of z [..., L], summed over dimensions: [...] nats."""
        squares = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squares + self.log_variance + LOG_2PI).sum(-1)

    def expand(self, samples: int) -> DiagonalGaussian:
        """Each row `samples` times in a row: [B, L] -> [B * samples, L]."""
        return DiagonalGaussian(
            self.mean.repeat_interleave(samples, 0), self.log_variance.repeat_interleave(samples, 0)
        )


def standard_normal(like: Tensor) -> DiagonalGaussian:
    """The prior N(0, I), of the shape of `like`."""
    return DiagonalGaussian(torch.zeros_like(like), torch.zeros_like(like))


def kl(q: DiagonalGaussian, p: DiagonalGaussian) -> Tensor:
    """KL(q ‖ p) in closed form, a group a dimension: [B, G] nats (Kingma & Welling 2014, appendix B)."""
    ratio = (q.log_variance - p.log_variance).exp()
    squares = (q.mean - p.mean).square() * (-p.log_variance).exp()
    return 0.5 * (ratio + squares - 1 - q.log_variance + p.log_variance)
