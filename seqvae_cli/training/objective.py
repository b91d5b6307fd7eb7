"""Terms -> loss: the annealed, floored and weighted -ELBO that training lowers (nats a sentence)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqvae_cli.config.schema import ObjectiveSettings
from seqvae_cli.model import Terms
from seqvae_cli.training.schedule import Clock, free_share, kl_share


@dataclass(frozen=True)
class Loss:
    total: Tensor
    """The scalar that training lowers, averaged over sentences; the only one with a gradient."""
    distortion: Tensor
    rate: Tensor
    """Distortion and rate without weight or floor, averaged over sentences: their sum is the -ELBO."""


class Weights(NamedTuple):
    """What the loss takes from a moment of the training: numbers, or tensors [] on the device."""

    kl: Any
    """The weight of the rate, or of its distance from the target."""
    free: Any
    """The share of the free bits that is left."""
    target: Any
    """The target rate, in nats."""


class Means(NamedTuple):
    """The terms of the -ELBO averaged over the sentences of a batch: distortion [], and KL by group [G]."""

    distortion: Tensor
    groups: Tensor

    @classmethod
    def of(cls, terms: Terms) -> Means:
        return cls(terms.distortion.mean(), terms.kl.mean(0))


MULTIPLIER_RATE = 1e-3
"""Step size of the Lagrange multiplier: its change in a step, for each nat between the rate and its minimum."""


class Objective(nn.Module):
    """distortion + beta x share x rate, where `kl_share` gives the share; the rate has a floor, a target or a minimum.

    Free bits (Kingma et al. 2016, equation 15): the KL of a group, averaged over the batch, costs nothing below
    `free_bits` nats for each of its dimensions; likewise the sum over groups below `free_bits_total`.

    A target rate C (Burgess et al. 2018, equation 8): beta |rate - share x C| takes the place of the weighted rate.

    A minimum desired rate r (Pelsmaeker & Aziz 2020, section 4): a Lagrange multiplier m >= 0 enforces rate >= r. The
    model lowers the added term m (r - rate); `ascend` raises it in m, once a training step.
    """

    multiplier: Tensor

    def __init__(self, settings: ObjectiveSettings) -> None:
        super().__init__()
        self.settings = settings
        if settings.min_rate:
            self.register_buffer("multiplier", torch.zeros((), dtype=torch.float32, device="cpu"))

    def kl_weight(self, clock: Clock) -> float:
        """The weight of the rate at a moment; 0 in pretraining. With a target rate, the target rises and not beta."""
        if clock.pretraining:
            return 0.0
        return self.settings.beta * (1.0 if self.settings.target_rate else kl_share(self.settings, clock))

    def weights(self, clock: Clock) -> Weights:
        target = kl_share(self.settings, clock) * self.settings.target_rate
        return Weights(self.kl_weight(clock), free_share(self.settings, clock), target)

    def forward(self, terms: Terms, clock: Clock) -> Loss:
        return self.loss(terms, self.weights(clock))

    def loss(self, terms: Terms, weights: Weights, means: Means | None = None) -> Loss:
        """The loss of a batch. means: those of the whole batch, where `terms` are of a part of it."""
        distortion, groups = means or Means.of(terms)
        rate = groups.sum()
        dimensions_a_group = terms.z.size(-1) / max(1, len(groups))
        cost = groups.clamp(min=weights.free * self.settings.free_bits * dimensions_a_group).sum()
        cost = cost.clamp(min=weights.free * self.settings.free_bits_total)
        if self.settings.target_rate:
            cost = (rate - weights.target).abs()
        total = distortion + weights.kl * cost
        if self.settings.min_rate:
            missing = self.settings.min_rate - rate
            total = total + weights.kl * self.multiplier * missing
        return Loss(total, distortion.detach(), rate.detach())

    def ascend(self, rate: Tensor, weight: Any) -> None:
        """The multiplier's step of gradient ascent, given the rate of the batch and the KL weight."""
        if self.settings.min_rate:
            change = weight * MULTIPLIER_RATE * (self.settings.min_rate - rate)
            self.multiplier.copy_((self.multiplier + change).clamp(min=0.0))
