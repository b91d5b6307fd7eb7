"""Terms -> loss: the annealed, floored and weighted -ELBO that training lowers (nats a sentence)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqvae_cli.config.schema import ObjectiveSettings
from seqvae_cli.model import Terms


@dataclass(frozen=True)
class Loss:
    total: Tensor
    """What is lowered, averaged over sentences."""
    distortion: Tensor
    rate: Tensor
    """The plain rate and distortion, averaged over sentences: their sum is the -ELBO."""


@dataclass(frozen=True)
class Clock:
    """Where training stands, in epochs (fractions count); those of pretraining lie before 0."""

    epoch: float
    epochs: float


def none(_: ObjectiveSettings, __: Clock) -> float:
    return 1.0


def linear(settings: ObjectiveSettings, clock: Clock) -> float:
    """0 for `kl_hold` epochs, then from 0 to 1 over `kl_warmup` epochs."""
    return min(1.0, max(0.0, clock.epoch - settings.kl_hold) / settings.kl_warmup)


def logistic(settings: ObjectiveSettings, clock: Clock) -> float:
    """A sigmoid (Bowman et al. 2015, section 3.1): 0.01 after `kl_hold` epochs, 0.99 after `kl_warmup` more."""
    position = (clock.epoch - settings.kl_hold) / settings.kl_warmup
    return 1 / (1 + math.exp(max(-500.0, min(500.0, 2 * math.log(99) * (0.5 - position)))))


def cyclical(settings: ObjectiveSettings, clock: Clock) -> float:
    """Fu et al. 2019, equation 6: each cycle rises from 0 to 1 over its first `kl_ratio`, then stays at 1."""
    if clock.epoch >= clock.epochs:
        return 1.0
    position = (clock.epoch * settings.kl_cycles / clock.epochs) % 1.0
    return min(1.0, position / settings.kl_ratio)


SCHEDULES: dict[str, Callable[[ObjectiveSettings, Clock], float]] = {
    "none": none,
    "linear": linear,
    "logistic": logistic,
    "cyclical": cyclical,
}


def annealing(settings: ObjectiveSettings) -> float:
    """Epochs, after those of pretraining, until the schedule has risen; 0 of the cyclical one, which falls again."""
    return settings.kl_hold + settings.kl_warmup if settings.kl_schedule in ("linear", "logistic") else 0.0


MULTIPLIER_RATE = 1e-3
"""How far the Lagrange multiplier moves in a step, for each nat that the rate is away from its minimum."""


class Objective(nn.Module):
    """distortion + beta x schedule x rate, the rate floored by free bits, or held where it should be.

    Free bits (Kingma et al. 2016, equation 15): the KL of a group, averaged over the batch, costs nothing below
    `free_bits` nats for each of its dimensions; likewise the sum over groups below `free_bits_total`.

    A target rate C (Burgess et al. 2018, equation 8): beta |rate - schedule x C| takes the place of the weighted rate.

    A minimum desired rate r (Pelsmaeker & Aziz 2020, section 4): the rate is to be r or more, which a Lagrange
    multiplier m >= 0 sees to: + m (r - rate) is lowered by the model and raised by m, a step of gradient ascent each.
    """

    multiplier: Tensor

    def __init__(self, settings: ObjectiveSettings) -> None:
        super().__init__()
        self.settings = settings
        if settings.min_rate:
            self.register_buffer("multiplier", torch.zeros(()))

    def kl_weight(self, clock: Clock) -> float:
        if clock.epoch < 0:
            return 0.0
        return self.settings.beta * (1.0 if self.settings.target_rate else self.schedule(clock))

    def schedule(self, clock: Clock) -> float:
        """0 to 1: the rising part of the KL weight, or of the target rate."""
        return SCHEDULES[self.settings.kl_schedule](self.settings, clock)

    def full(self, clock: Clock) -> bool:
        """The schedule has run out: from here on the loss only falls by learning."""
        if clock.epoch < 0:
            return False
        if self.settings.kl_schedule == "cyclical":
            return clock.epoch >= clock.epochs * (1 - (1 - self.settings.kl_ratio) / self.settings.kl_cycles)
        return clock.epoch >= annealing(self.settings)

    def forward(self, terms: Terms, clock: Clock) -> Loss:
        distortion = terms.distortion.mean()
        groups = terms.kl.mean(0)
        rate = groups.sum()
        dimensions_a_group = terms.z.size(-1) / max(1, len(groups))
        cost = groups.clamp(min=self.settings.free_bits * dimensions_a_group).sum()
        cost = cost.clamp(min=self.settings.free_bits_total)
        if self.settings.target_rate:
            cost = (rate - self.schedule(clock) * self.settings.target_rate).abs()
        kl_weight = self.kl_weight(clock)
        total = distortion + kl_weight * cost
        if self.settings.min_rate:
            missing = self.settings.min_rate - rate
            total = total + kl_weight * self.multiplier * missing
            if self.training:
                self.multiplier = (self.multiplier + kl_weight * MULTIPLIER_RATE * missing.detach()).clamp(min=0.0)
        return Loss(total, distortion.detach(), rate.detach())
