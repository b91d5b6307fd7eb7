"""Priors p(z) with weights of their own, learned with the model. Those without are in `latent.py`.

Shapes: N components, L latent dimensions, T pseudo-tokens, E dimensions of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqvae_cli.config.schema import MAX_CONCENTRATION, ModelSettings
from seqvae_cli.nn.distributions import DiagonalGaussian, Mixture, Posterior, VonMisesFisher

PSEUDO_TOKENS = 16
"""Length of the learned inputs of a VampPrior."""


class MixturePrior(nn.Module):
    """p(z) a mixture of `components` Gaussians, or on the sphere of von Mises-Fisher distributions."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        shape = settings.components, settings.latent_size
        self.sphere = settings.posterior == "vmf"
        self.mean = nn.Parameter(torch.randn(shape))
        self.spread = nn.Parameter(torch.zeros(shape[0], 1) if self.sphere else torch.zeros(shape))
        self.weight = nn.Parameter(torch.zeros(shape[0]))

    def forward(self) -> Mixture:
        components: Posterior = DiagonalGaussian(self.mean, self.spread)
        if self.sphere:
            components = VonMisesFisher(
                F.normalize(self.mean, dim=-1), (1 + F.softplus(self.spread)).clamp(max=MAX_CONCENTRATION)
            )
        return Mixture(components, self.weight.log_softmax(0))


class VampPrior(nn.Module):
    """p(z) the mean of the posteriors of `components` learned inputs (Tomczak & Welling 2018, "VAE with a VampPrior").

    Words cannot be learned, so that the inputs are word embeddings.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.inputs = nn.Parameter(0.1 * torch.randn(settings.components, PSEUDO_TOKENS, settings.embed_size))

    def forward(self, posterior: Callable[[Tensor], Posterior]) -> Mixture:
        """`posterior`: of sequences of embeddings, [N, T, E]."""
        count = len(self.inputs)
        return Mixture(posterior(self.inputs), torch.full((count,), -math.log(count), device=self.inputs.device))
