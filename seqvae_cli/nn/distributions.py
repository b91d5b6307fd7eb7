"""Distributions over the latent code z, and the KL divergence between them (nats).

A posterior is one for each sentence of a batch: a diagonal Gaussian, or a von Mises-Fisher distribution on the unit
sphere. A prior is the distribution that knows nothing (N(0, I), uniform on the sphere) or a mixture of such as the
posteriors are. All of them turn standard normal noise into draws, so that whoever owns the noise owns the draw.

Shapes: B sentences, L latent dimensions, K components of a mixture, M codes, G groups of the KL (for diagonal Gaussians
one a dimension, G = L; else one in all).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)
GRID = 1024
"""Cells in which the density of a von Mises-Fisher angle is summed up to its distribution function."""

ROWS_AT_ONCE = 1024
"""Concentrations whose series are summed at once: one of 10,000 has 6,200 terms."""

REACH = 12
"""Standard deviations of that density on either side of its peak that the cells cover."""


class _Posterior:
    """Parameters of one distribution a row: fields of shape [..., L], or [..., 1] where dimensions share them."""

    def apply(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every parameter changed: `q.apply(Tensor.double)`, `q.apply(lambda t: t[rows])`."""
        return type(self)(*(change(getattr(self, field.name)) for field in fields(self)))  # type: ignore[arg-type]

    def expand(self, samples: int) -> Self:
        """Each row `samples` times in a row: [B, L] -> [B * samples, L]."""
        return self.apply(lambda parameter: parameter.repeat_interleave(samples, 0))


def join(posteriors: Sequence[Posterior]) -> Posterior:
    """The rows of all of them, one after the other."""
    rows = [[getattr(q, field.name) for field in fields(q)] for q in posteriors]
    return type(posteriors[0])(*(torch.cat(parameter) for parameter in zip(*rows, strict=True)))


@dataclass(frozen=True)
class DiagonalGaussian(_Posterior):
    """N(mean, diag(exp(log_variance))), both of shape [..., L]."""

    mean: Tensor
    log_variance: Tensor

    @property
    def code(self) -> Tensor:
        """The code that stands for a sentence: [..., L]."""
        return self.mean

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

    def log_probs(self, z: Tensor) -> Tensor:
        """log density of every z [M, L] under every row [B, L], by two matrix products: [M, B] nats."""
        precision = (-self.log_variance).exp()
        scaled = self.mean * precision
        squares = z.square() @ precision.T - 2 * (z @ scaled.T) + (self.mean * scaled).sum(1)
        # A difference of large numbers: below 0 it is rounding, and no density is above that of the mean.
        return -0.5 * (squares.clamp(min=0) + (self.log_variance + LOG_2PI).sum(1))


@dataclass(frozen=True)
class VonMisesFisher(_Posterior):
    """vMF(direction, concentration) on the unit sphere of L >= 2 dimensions: density ∝ exp(concentration direction·z).

    direction [..., L] of length 1; concentration [..., 1], above 0 (Davidson et al. 2018, "Hyperspherical Variational
    Auto-Encoders").
    """

    direction: Tensor
    concentration: Tensor

    @property
    def mean(self) -> Tensor:
        """E z, inside the sphere: [..., L]."""
        return self.direction * mean_length(self.direction.size(-1), self.concentration).to(self.direction)

    @property
    def code(self) -> Tensor:
        """The code that stands for a sentence: the direction, [..., L]."""
        return self.direction

    @property
    def scale(self) -> Tensor:
        """1 / √concentration, the width across the direction where the concentration is high: [..., L]."""
        return self.concentration.rsqrt().expand_as(self.direction)

    def rsample(self, noise: Tensor | None = None) -> Tensor:
        """z, differentiable in both parameters, from standard normal noise [..., L]: [..., L].

        The angle to the direction is the quantile of the first noise (its distribution function is summed up on a
        grid), the way to turn is that of the others; then a reflection carries the first axis to the direction.
        """
        noise = torch.randn_like(self.direction) if noise is None else noise
        angle = self._angle(torch.special.ndtr(noise[..., :1]))
        turn = noise[..., 1:] / noise[..., 1:].norm(dim=-1, keepdim=True).clamp(min=1e-20)
        upright = torch.cat([angle.cos(), angle.sin() * turn], dim=-1)
        axis = torch.zeros_like(self.direction)
        axis[..., 0] = 1
        mirror = torch.nn.functional.normalize(axis - self.direction, dim=-1, eps=1e-12)
        return upright - 2 * (upright * mirror).sum(-1, keepdim=True) * mirror

    def _angle(self, uniform: Tensor) -> Tensor:
        """The angle at which the distribution function is `uniform` [..., 1]; its density is
        ∝ exp(concentration cos(angle)) sin(angle)^(L-2)."""
        uniform, concentration = _exact(uniform), _exact(self.concentration)
        others = self.direction.size(-1) - 2
        with torch.no_grad():
            # A grid over the peak alone: where that is high, it would fall between the cells of one from 0 to π.
            cosine = 2 * concentration / (others + (others**2 + 4 * concentration.square()).sqrt())
            mode, reach = cosine.acos(), REACH * (concentration * (cosine + 1 / cosine)).rsqrt()
            start, end = (mode - reach).clamp(min=0), (mode + reach).clamp(max=math.pi)
            cells = torch.arange(GRID, dtype=start.dtype, device=start.device)
            width = (end - start) / GRID
            middles = start + width * (cells + 0.5)
        mass = (concentration * middles.cos() + others * middles.sin().log()).softmax(-1)
        cumulated = mass.cumsum(-1)
        cell = torch.searchsorted(cumulated.detach(), uniform).clamp(max=GRID - 1)
        inside = mass.gather(-1, cell)
        share = 1 - (cumulated.gather(-1, cell) - uniform) / inside.clamp(min=1e-30)
        return (start + width * (cell + share.clamp(0, 1))).to(self.direction)

    def log_prob(self, z: Tensor) -> Tensor:
        """log density of unit vectors z [..., L] with respect to the sphere's area: [...] nats."""
        cosine = (self.direction * z).sum(-1)
        return self.concentration[..., 0] * cosine + self._log_constant().to(z)

    def log_probs(self, z: Tensor) -> Tensor:
        """log density of every z [M, L] under every row [B, L]: [M, B] nats."""
        return z @ (self.direction * self.concentration).T + self._log_constant().to(z)

    def _log_constant(self) -> Tensor:
        """log of what makes the density integrate to 1: [...], float64."""
        order = self.direction.size(-1) / 2 - 1
        concentration = _exact(self.concentration[..., 0])
        log_power = order * concentration.log() - (order + 1) * LOG_2PI
        return log_power - log_bessel(order, concentration)


Posterior = DiagonalGaussian | VonMisesFisher


def log_bessel(order: float, x: Tensor) -> Tensor:
    """log I_order(x), the modified Bessel function of the first kind, of x > 0: float64, differentiable.

    Its power series, summed in logarithms: all terms are positive, and those past x / 2 soon vanish.
    """
    x = _exact(x)
    most = float(x.detach().max()) if x.numel() else 0.0
    m = torch.arange(int(most / 2 + 12 * math.sqrt(most + 25)), dtype=torch.float64, device=x.device)
    factorials = torch.lgamma(m + 1) + torch.lgamma(m + order + 1)
    sums = [
        (2 * m * (part[:, None] / 2).log() - factorials).logsumexp(-1)
        for part in torch.split(x.flatten(), ROWS_AT_ONCE)
    ]
    return order * (x / 2).log() + torch.cat(sums).view_as(x)


def _exact(x: Tensor) -> Tensor:
    """float64, on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def mean_length(dimensions: int, concentration: Tensor) -> Tensor:
    """|E z| of a von Mises-Fisher distribution, I_{L/2}(κ) / I_{L/2-1}(κ), of the shape of κ: float64."""
    return (log_bessel(dimensions / 2, concentration) - log_bessel(dimensions / 2 - 1, concentration)).exp()


class Prior(Protocol):
    """p(z)."""

    noise_size: int
    """Normal numbers that a draw takes."""

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
    """Every direction alike."""

    def __init__(self, dimensions: int) -> None:
        self.noise_size = dimensions
        self.log_area = math.log(2) + dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2)

    def log_prob(self, z: Tensor) -> Tensor:
        return z.new_full(z.shape[:-1], -self.log_area)

    def sample(self, noise: Tensor) -> Tensor:
        return torch.nn.functional.normalize(noise, dim=-1)


class Mixture:
    """Σ_k weight_k component_k: components [K, L], log weights [K]."""

    def __init__(self, components: Posterior, log_weights: Tensor) -> None:
        self.components, self.log_weights = components, log_weights
        self.noise_size = components.code.size(1) + 1

    def log_prob(self, z: Tensor) -> Tensor:
        # In float64: `log_probs` takes differences of large numbers where components are narrow.
        exact = _exact(z)
        parts = self.components.apply(lambda t: t.to(exact)).log_probs(exact.reshape(-1, z.size(-1)))
        return (parts + self.log_weights.to(exact)).logsumexp(-1).view(z.shape[:-1]).to(z)

    def sample(self, noise: Tensor) -> Tensor:
        """The last noise picks the component."""
        bounds = self.log_weights.exp().cumsum(0)
        picked = torch.searchsorted(bounds, torch.special.ndtr(noise[:, -1]) * bounds[-1], right=True)
        picked = picked.clamp(max=len(bounds) - 1)
        return self.components.apply(lambda t: t[picked]).rsample(noise[:, :-1])


def kl(q: Posterior, p: Prior, z: Tensor) -> Tensor:
    """KL(q ‖ p) of each row: [B, G] nats. Where it has no closed form, log q(z) - log p(z) at the sample z [B, L] of q.

    Gaussians: Kingma & Welling 2014, appendix B. On the sphere: Davidson et al. 2018, section 3.2.
    """
    if isinstance(q, DiagonalGaussian) and isinstance(p, StandardNormal):
        return 0.5 * (q.log_variance.exp() + q.mean.square() - 1 - q.log_variance)
    if isinstance(q, VonMisesFisher) and isinstance(p, UniformOnSphere):
        cosine = mean_length(q.direction.size(-1), q.concentration)
        negative_entropy = _exact(q.concentration) * cosine + q._log_constant()[..., None]
        return (negative_entropy + p.log_area).to(q.direction)
    return (q.log_prob(z) - p.log_prob(z))[..., None]
