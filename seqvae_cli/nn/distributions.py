"""Distributions over the latent code z, and the KL divergence between them (nats).

A posterior holds one distribution for each sentence of a batch: a diagonal Gaussian, or a von Mises-Fisher distribution
on the unit sphere. A prior is N(0, I), the uniform distribution on the sphere, or a mixture of distributions of the
posterior's kind. All of them map standard normal noise to draws, so that the same noise gives the same draw.

Shapes: B sentences, L latent dimensions, K components of a mixture, M codes, G groups of the KL (G = L for a
diagonal Gaussian and N(0, I); else G = 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from seqvae_cli.config.schema import MAX_CONCENTRATION, ModelSettings

LOG_2PI = math.log(2 * math.pi)

ANGLE_CELLS = 1024
"""Cells of the grid on which the density of a von Mises-Fisher angle is integrated to its distribution function."""

ANGLE_DEVIATIONS = 12
"""Standard deviations that this grid covers on either side of the density's peak."""

ROWS_AT_ONCE = 1024
"""Concentrations whose series are summed at once: a concentration of 10,000 takes 6,200 terms."""


class _Posterior:
    """Parameters of one distribution a row: fields of shape [..., L], or [..., 1] where dimensions share them."""

    def apply(self, change: Callable[[Tensor], Tensor]) -> Self:
        """This posterior with `change` applied to every parameter: `q.apply(Tensor.double)`."""
        return type(self)(*(change(getattr(self, field.name)) for field in fields(self)))  # type: ignore[arg-type]

    def expand(self, samples: int) -> Self:
        """Each row repeated `samples` times, copies side by side: [B, L] -> [B * samples, L]."""
        return self.apply(lambda parameter: parameter.repeat_interleave(samples, 0))


def join(posteriors: Sequence[Posterior]) -> Posterior:
    """The rows of posteriors of one kind, concatenated."""
    rows = [[getattr(q, field.name) for field in fields(q)] for q in posteriors]
    return type(posteriors[0])(*(torch.cat(parameter) for parameter in zip(*rows, strict=True)))


@dataclass(frozen=True)
class DiagonalGaussian(_Posterior):
    """N(mean, diag(exp(log_variance))), both of shape [..., L]."""

    mean: Tensor
    log_variance: Tensor

    @staticmethod
    def spread_size(settings: ModelSettings) -> int:
        """Log-variances of one distribution: L."""
        return settings.latent_size

    @staticmethod
    def parameter_sizes(settings: ModelSettings) -> dict[str, int]:
        """The parameters that an encoder predicts for a sentence, and how many numbers each has."""
        return {"mean": settings.latent_size, "log_variance": settings.latent_size}

    @classmethod
    def from_unconstrained(cls, _: ModelSettings, mean: Tensor, log_variance: Tensor) -> Self:
        """The distributions of any real numbers `mean` and `log_variance`, [..., L]."""
        return cls(mean, log_variance)

    @staticmethod
    def standard_prior(settings: ModelSettings) -> Prior:
        return StandardNormal(settings.latent_size)

    @property
    def code(self) -> Tensor:
        """The code of a sentence: the mean, [..., L]."""
        return self.mean

    @property
    def scale(self) -> Tensor:
        """Standard deviations, [..., L]."""
        return (0.5 * self.log_variance).exp()

    def rsample(self, noise: Tensor | None = None) -> Tensor:
        """z = mean + scale * noise, differentiable in both (Kingma & Welling 2014, section 2.4): [..., L].

        `noise` is standard normal, [..., L]; without it torch's global stream draws it.
        """
        return self.mean + self.scale * (torch.randn_like(self.mean) if noise is None else noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """log density of z [..., L], summed over dimensions: [...] nats."""
        squares = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squares + self.log_variance + LOG_2PI).sum(-1)

    def log_probs(self, z: Tensor) -> Tensor:
        """log density of every z [M, L] under every row [B, L], by two matrix products: [M, B] nats."""
        precision = (-self.log_variance).exp()
        scaled = self.mean * precision
        squares = z.square() @ precision.T - 2 * (z @ scaled.T) + (self.mean * scaled).sum(1)
        # A difference of large numbers: rounding takes it below 0, where the density would exceed its maximum.
        return -0.5 * (squares.clamp(min=0) + (self.log_variance + LOG_2PI).sum(1))


@dataclass(frozen=True)
class VonMisesFisher(_Posterior):
    """vMF(direction, concentration) on the unit sphere of L >= 2 dimensions: density ∝ exp(concentration direction·z).

    direction [..., L] of length 1; concentration [..., 1], above 0 (Davidson et al. 2018, "Hyperspherical Variational
    Auto-Encoders").
    """

    direction: Tensor
    concentration: Tensor

    @staticmethod
    def spread_size(_: ModelSettings) -> int:
        """Concentrations of one distribution: 1."""
        return 1

    @staticmethod
    def parameter_sizes(settings: ModelSettings) -> dict[str, int]:
        """The parameters that an encoder predicts for a sentence, and how many numbers each has."""
        return {"mean": settings.latent_size} | ({} if settings.concentration else {"concentration": 1})

    @classmethod
    def from_unconstrained(cls, settings: ModelSettings, mean: Tensor, concentration: Tensor | None = None) -> Self:
        """The distributions of any real numbers `mean` [..., L] and `concentration` [..., 1].

        The concentration is 1 + softplus, at most MAX_CONCENTRATION; without one it is that of the settings.
        """
        direction = F.normalize(mean, dim=-1)
        if concentration is None:
            return cls(direction, torch.full_like(direction[..., :1], settings.concentration))
        return cls(direction, (1 + F.softplus(concentration)).clamp(max=MAX_CONCENTRATION))

    @staticmethod
    def standard_prior(settings: ModelSettings) -> Prior:
        return UniformOnSphere(settings.latent_size)

    @property
    def mean(self) -> Tensor:
        """E z, inside the sphere: [..., L]."""
        return self.direction * mean_length(self.direction.size(-1), self.concentration).to(self.direction)

    @property
    def code(self) -> Tensor:
        """The code of a sentence: the direction, [..., L]."""
        return self.direction

    @property
    def scale(self) -> Tensor:
        """1 / √concentration, the standard deviation across the direction at high concentration: [..., L]."""
        return self.concentration.rsqrt().expand_as(self.direction)

    def rsample(self, noise: Tensor | None = None) -> Tensor:
        """z, differentiable in both parameters, from standard normal noise [..., L]: [..., L].

        The first noise gives the angle between z and the direction, by inverting the angle's distribution function; the
        others give the tangent along which z leaves it. Both start from the first axis, which a reflection then maps to
        the direction.
        """
        noise = torch.randn_like(self.direction) if noise is None else noise
        angle = self._angle(torch.special.ndtr(noise[..., :1]))
        tangent = noise[..., 1:] / noise[..., 1:].norm(dim=-1, keepdim=True).clamp(min=1e-20)
        upright = torch.cat([angle.cos(), angle.sin() * tangent], dim=-1)
        axis = torch.zeros_like(self.direction)
        axis[..., 0] = 1
        mirror = F.normalize(axis - self.direction, dim=-1, eps=1e-12)
        return upright - 2 * (upright * mirror).sum(-1, keepdim=True) * mirror

    def _angle(self, uniform: Tensor) -> Tensor:
        """The angle [..., 1] at which its distribution function is `uniform` [..., 1].

        The density of the angle is ∝ exp(concentration cos(angle)) sin(angle)^(L-2).
        """
        uniform, concentration = _exact(uniform), _exact(self.concentration)
        sine_power = self.direction.size(-1) - 2
        with torch.no_grad():
            # The grid covers the peak alone: a narrow peak would fall between the cells of a grid from 0 to π.
            cosine = 2 * concentration / (sine_power + (sine_power**2 + 4 * concentration.square()).sqrt())
            mode = cosine.acos()
            reach = ANGLE_DEVIATIONS * (concentration * (cosine + 1 / cosine)).rsqrt()
            start, end = (mode - reach).clamp(min=0), (mode + reach).clamp(max=math.pi)
            cells = torch.arange(ANGLE_CELLS, dtype=start.dtype, device=start.device)
            width = (end - start) / ANGLE_CELLS
            middles = start + width * (cells + 0.5)
        mass = (concentration * middles.cos() + sine_power * middles.sin().log()).softmax(-1)
        cumulated = mass.cumsum(-1)
        cell = torch.searchsorted(cumulated.detach(), uniform).clamp(max=ANGLE_CELLS - 1)
        inside = mass.gather(-1, cell)
        share = 1 - (cumulated.gather(-1, cell) - uniform) / inside.clamp(min=1e-30)
        return (start + width * (cell + share.clamp(0, 1))).to(self.direction)

    def log_prob(self, z: Tensor) -> Tensor:
        """log density of unit vectors z [..., L], by area of the sphere: [...] nats."""
        cosine = (self.direction * z).sum(-1)
        return self.concentration[..., 0] * cosine + self._log_constant().to(z)

    def log_probs(self, z: Tensor) -> Tensor:
        """log density of every z [M, L] under every row [B, L]: [M, B] nats."""
        return z @ (self.direction * self.concentration).T + self._log_constant().to(z)

    def _log_constant(self) -> Tensor:
        """log of the normalizing constant of the density: [...], float64."""
        order = self.direction.size(-1) / 2 - 1
        concentration = _exact(self.concentration[..., 0])
        log_power = order * concentration.log() - (order + 1) * LOG_2PI
        return log_power - log_bessel(order, concentration)


Posterior = DiagonalGaussian | VonMisesFisher

POSTERIORS: dict[str, type[Posterior]] = {"gaussian": DiagonalGaussian, "vmf": VonMisesFisher}
"""By `model.posterior`."""


def log_bessel(order: float, x: Tensor) -> Tensor:
    """log I_order(x), the modified Bessel function of the first kind, of x > 0: float64, differentiable.

    The power series is summed in logarithms: its terms are positive and vanish soon after term x / 2. To ask a device
    for the largest x would wait for it, so the series there is long enough for every x up to MAX_CONCENTRATION.
    """
    x = _exact(x)
    largest = float(MAX_CONCENTRATION)
    if x.device.type == "cpu":
        largest = float(x.detach().max()) if x.numel() else 0.0
    m = torch.arange(int(largest / 2 + 12 * math.sqrt(largest + 25)), dtype=torch.float64, device=x.device)
    factorials = torch.lgamma(m + 1) + torch.lgamma(m + order + 1)
    sums = [
        (2 * m * (part[:, None] / 2).log() - factorials).logsumexp(-1)
        for part in torch.split(x.flatten(), ROWS_AT_ONCE)
    ]
    return order * (x / 2).log() + torch.cat(sums).view_as(x)


def _exact(x: Tensor) -> Tensor:
    """x in float64, moved to the CPU where its device has no float64."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def mean_length(dimensions: int, concentration: Tensor) -> Tensor:
    """|E z| of a von Mises-Fisher distribution, I_{L/2}(κ) / I_{L/2-1}(κ), in the shape of κ, float64."""
    return (log_bessel(dimensions / 2, concentration) - log_bessel(dimensions / 2 - 1, concentration)).exp()


class Prior(Protocol):
    """p(z)."""

    noise_size: int
    """Standard normal numbers that one draw takes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log density of z [..., L]: [...] nats."""
        ...

    def sample(self, noise: Tensor) -> Tensor:
        """Draws [M, L] from standard normal noise [M, noise_size]."""
        ...


class StandardNormal:
    """N(0, I)."""

    def __init__(self, dimensions: int) -> None:
        self.noise_size = dimensions

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + LOG_2PI).sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        return noise


class UniformOnSphere:
    """The uniform distribution on the unit sphere."""

    def __init__(self, dimensions: int) -> None:
        self.noise_size = dimensions
        self.log_area = math.log(2) + dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2)

    def log_prob(self, z: Tensor) -> Tensor:
        return z.new_full(z.shape[:-1], -self.log_area)

    def sample(self, noise: Tensor) -> Tensor:
        return F.normalize(noise, dim=-1)


PAIRS = 2**20
"""Pairs of a z and a component whose densities are computed at once: 8 MB."""


class Mixture:
    """Σ_k weight_k component_k: components [K, L], log weights [K]."""

    def __init__(self, components: Posterior, log_weights: Tensor) -> None:
        self.components, self.log_weights = components, log_weights
        self.noise_size = components.code.size(1) + 1

    def log_prob(self, z: Tensor) -> Tensor:
        # In float64: `log_probs` subtracts large numbers where components are narrow.
        exact = _exact(z)
        components, log_weights = self.components.apply(lambda t: t.to(exact)), self.log_weights.to(exact)
        blocks = torch.split(exact.reshape(-1, z.size(-1)), max(1, PAIRS // len(log_weights)))
        found = [(components.log_probs(block) + log_weights).logsumexp(-1) for block in blocks]
        return torch.cat(found).view(z.shape[:-1]).to(z)

    def sample(self, noise: Tensor) -> Tensor:
        """The last of the noise picks the component."""
        bounds = self.log_weights.exp().cumsum(0)
        picked = torch.searchsorted(bounds, torch.special.ndtr(noise[:, -1]) * bounds[-1], right=True)
        picked = picked.clamp(max=len(bounds) - 1)
        return self.components.apply(lambda t: t[picked]).rsample(noise[:, :-1])


def _kl_to_standard_normal(q: DiagonalGaussian, _: StandardNormal) -> Tensor:
    """Kingma & Welling 2014, appendix B."""
    return 0.5 * (q.log_variance.exp() + q.mean.square() - 1 - q.log_variance)


def _kl_to_uniform(q: VonMisesFisher, p: UniformOnSphere) -> Tensor:
    """Davidson et al. 2018, section 3.2."""
    cosine = mean_length(q.direction.size(-1), q.concentration)
    negative_entropy = _exact(q.concentration) * cosine + q._log_constant()[..., None]
    return (negative_entropy + p.log_area).to(q.direction)


CLOSED_FORMS: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {
    (DiagonalGaussian, StandardNormal): _kl_to_standard_normal,
    (VonMisesFisher, UniformOnSphere): _kl_to_uniform,
}
"""KL(q ‖ p) [B, G] by the types of q and p."""


def has_closed_form(q: Posterior, p: Prior) -> bool:
    """Whether KL(q ‖ p) needs no sample of q."""
    return (type(q), type(p)) in CLOSED_FORMS


def kl(q: Posterior, p: Prior, z: Tensor) -> Tensor:
    """KL(q ‖ p) of each row: [B, G] nats. Without a closed form, log q(z) - log p(z) at the sample z [B, L] of q."""
    closed_form = CLOSED_FORMS.get((type(q), type(p)))
    return closed_form(q, p) if closed_form else (q.log_prob(z) - p.log_prob(z))[..., None]
