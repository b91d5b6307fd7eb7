"""Priors p(z) as modules of the model, most of them with weights that are learned with it.

Shapes: N components, L latent dimensions, T pseudo-tokens, E dimensions of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.nn.distributions import POSTERIORS, Mixture, Posterior, Prior

PSEUDO_TOKENS = 16
"""Length of the learned inputs of a VampPrior."""

Encode = Callable[[Tensor], Posterior]
"""Sequences of embeddings [N, T, E] -> their posteriors [N, L]."""


class StandardPrior(nn.Module):
    """p(z) without weights: N(0, I), or uniform on the sphere."""

    def __init__(self, settings: ModelSettings, _: torch.device | str = "cpu") -> None:
        super().__init__()
        self.prior = POSTERIORS[settings.posterior].standard_prior(settings)

    def forward(self, _: Encode) -> Prior:
        return self.prior


class MixturePrior(nn.Module):
    """p(z) a mixture of `components` distributions of the posterior's kind."""

    def __init__(self, settings: ModelSettings, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.settings = settings
        self.kind = POSTERIORS[settings.posterior]
        made: dict[str, Any] = {"device": device, "dtype": torch.float32}
        self.mean = nn.Parameter(torch.empty(settings.components, settings.latent_size, **made))
        nn.init.normal_(self.mean)
        self.spread = nn.Parameter(torch.zeros(settings.components, self.kind.spread_size(settings), **made))
        self.weight = nn.Parameter(torch.zeros(settings.components, **made))

    def forward(self, _: Encode) -> Mixture:
        components = self.kind.from_unconstrained(self.settings, self.mean, self.spread)
        return Mixture(components, self.weight.log_softmax(0))


class VampPrior(nn.Module):
    """p(z) the mean of the posteriors of `components` learned inputs (Tomczak & Welling 2018, "VAE with a VampPrior").

    Words are discrete and cannot be learned by gradient, so the inputs are sequences of embeddings.
    """

    def __init__(self, settings: ModelSettings, device: torch.device | str = "cpu") -> None:
        super().__init__()
        shape = settings.components, PSEUDO_TOKENS, settings.embed_size
        self.inputs = nn.Parameter(torch.empty(shape, device=device, dtype=torch.float32))
        nn.init.normal_(self.inputs, std=0.1)

    def forward(self, encode: Encode) -> Mixture:
        count = len(self.inputs)
        return Mixture(encode(self.inputs), self.inputs.new_full((count,), -math.log(count)))


PRIORS: dict[str, type[nn.Module]] = {"standard": StandardPrior, "mixture": MixturePrior, "vamp": VampPrior}
"""By `model.prior`. Each maps `Encode` to the prior that its weights stand for now."""
