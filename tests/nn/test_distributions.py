"""Distributions over z and their divergence."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)

from seqvae_cli.nn.distributions import (
    DiagonalGaussian,
    Mixture,
    Posterior,
    StandardNormal,
    UniformOnSphere,
    VonMisesFisher,
    join,
    kl,
    log_bessel,
    mean_length,
)

DIMENSIONS = (2, 3, 8, 32)
CONCENTRATIONS = (0.3, 6.0, 80.0, 10_000.0)

every_dimension = pytest.mark.parametrize("dimensions", DIMENSIONS)
every_concentration = pytest.mark.parametrize("concentration", CONCENTRATIONS)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian(*shape: int, seed: int = 0) -> DiagonalGaussian:
    return DiagonalGaussian(normal(*shape, seed=seed), normal(*shape, seed=seed + 100))


def vmf(
    rows: int, dimensions: int, concentration: float, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> VonMisesFisher:
    """Random directions, the same concentration."""
    direction = F.normalize(normal(rows, dimensions, seed=seed), dim=-1).to(dtype)
    return VonMisesFisher(direction, torch.full((rows, 1), concentration, dtype=dtype))


def some_of(kind: str, rows: int, dimensions: int, seed: int = 0) -> Posterior:
    """Posteriors that differ in every parameter."""
    if kind == "gaussian":
        return gaussian(rows, dimensions, seed=seed)
    return VonMisesFisher(
        F.normalize(normal(rows, dimensions, seed=seed), dim=-1), normal(rows, 1, seed=seed + 100).exp() * 5
    )


every_kind = pytest.mark.parametrize("kind", ["gaussian", "vmf"])


def reference(q: DiagonalGaussian) -> Normal:
    return Normal(q.mean, (q.log_variance / 2).exp())


def assert_mean(values: Tensor, expected: float) -> None:
    """The mean of independent draws is within four standard errors."""
    assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(len(values))


# --- both posteriors


@every_kind
def test_expand_join_and_apply_work_on_rows(kind: str) -> None:
    q = some_of(kind, 3, 4)
    wide, z = q.expand(2), normal(6, 4)
    assert torch.equal(wide.code, q.code.repeat_interleave(2, 0))
    assert torch.equal(wide.log_prob(z), q.apply(lambda t: t[[0, 0, 1, 1, 2, 2]]).log_prob(z))
    whole = join([q.apply(lambda t: t[:1]), q.apply(lambda t: t[1:])])
    assert type(whole) is type(q)
    assert torch.equal(whole.log_prob(z[:3]), q.log_prob(z[:3]))
    assert q.apply(Tensor.float).code.dtype == torch.float32
    assert not torch.equal(whole.log_prob(z[:3]), q.apply(lambda t: t.flip(0)).log_prob(z[:3]))


@every_kind
def test_every_z_under_every_row_is_the_same_by_matrix_products(kind: str) -> None:
    q, z = some_of(kind, 5, 4), normal(7, 4)
    torch.testing.assert_close(q.log_probs(z), q.log_prob(z[:, None]))
    assert q.log_probs(z).shape == (7, 5)


@every_kind
def test_the_density_broadcasts_over_leading_dimensions(kind: str) -> None:
    q, z = some_of(kind, 5, 4), normal(2, 5, 4)
    assert q.log_prob(z).shape == (2, 5)
    torch.testing.assert_close(q.log_prob(z)[1], q.log_prob(z[1]))


@every_kind
def test_samples_come_from_the_noise_given_or_the_global_stream(kind: str) -> None:
    q, noise = some_of(kind, 3, 4), normal(3, 4)
    assert torch.equal(q.rsample(noise), q.rsample(noise))
    torch.manual_seed(5)
    first = q.rsample()
    torch.manual_seed(5)
    assert torch.equal(first, q.rsample())
    assert not torch.equal(first, q.rsample())


# --- the diagonal Gaussian


def test_closed_form_kl_agrees_with_monte_carlo() -> None:
    q, prior = gaussian(3, 4, seed=1), StandardNormal(4)
    z = q.expand(40_000).rsample(normal(120_000, 4)).view(3, 40_000, 4)
    for row in range(3):
        one = q.apply(lambda t, row=row: t[row])  # type: ignore[misc]
        ratio = one.log_prob(z[row]) - prior.log_prob(z[row])
        rate = float(kl(q, prior, z[:, 0])[row].sum())
        assert_mean(ratio, rate)
        assert 4 * float(ratio.std()) / 200 < 0.2 * rate  # sharp enough to tell


def test_kl_agrees_with_torch_in_every_dimension() -> None:
    q = gaussian(5, 7, seed=1)
    found = kl(q, StandardNormal(7), q.mean)
    torch.testing.assert_close(found, kl_divergence(reference(q), Normal(0.0, 1.0)))
    assert found.shape == (5, 7)


def test_kl_to_another_gaussian_is_sampled_and_right_on_average() -> None:
    q, p = gaussian(1, 4, seed=1), gaussian(1, 4, seed=2)
    many = q.expand(40_000)
    z = many.rsample(normal(40_000, 4))
    found = kl(many, Mixture(p, torch.zeros(1)), z)
    assert found.shape == (40_000, 1)
    assert_mean(found[:, 0], float(kl_divergence(reference(q), reference(p)).sum()))
    assert bool((found < 0).any())  # a sample of it, no divergence


def test_kl_has_its_known_values() -> None:
    q = DiagonalGaussian(torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0]]))
    expected = torch.tensor([[0.0, 2.0, 0.5 * (math.exp(2) - 3)]])
    torch.testing.assert_close(kl(q, StandardNormal(3), q.mean), expected)


NUMBERS = st.floats(-6, 6)


@settings(max_examples=100, deadline=None)
@given(NUMBERS, NUMBERS)
def test_kl_is_zero_at_the_prior_and_positive_elsewhere(mean: float, log_variance: float) -> None:
    q = DiagonalGaussian(torch.tensor([[mean]]).double(), torch.tensor([[log_variance]]).double())
    same = q.apply(torch.zeros_like)
    assert float(kl(same, StandardNormal(1), same.mean)) == 0.0
    assert float(kl(q, StandardNormal(1), q.mean)) >= -1e-14
    if abs(mean) > 1e-3 or abs(log_variance) > 1e-3:
        assert float(kl(q, StandardNormal(1), q.mean)) > 1e-10


def test_kl_near_the_prior_is_no_rounding_noise() -> None:
    # A collapsing posterior: KL ~ (mean² + log_variance²/2) / 2 falls below what exp(x) - 1 - x resolves in float32.
    x = torch.linspace(-2e-3, 2e-3, 4001)[:, None]
    q = DiagonalGaussian(torch.zeros_like(x), x)
    rate = kl(q, StandardNormal(1), x)
    exact = kl(q.apply(Tensor.double), StandardNormal(1), x)
    assert float((rate - exact).abs().max()) < 2e-7
    assert float(rate.min()) > -2e-7


def test_log_prob_agrees_with_torch() -> None:
    q = gaussian(6, 5)
    many = normal(9, 6, 5)
    for z in (many[0], many):
        torch.testing.assert_close(q.log_prob(z), reference(q).log_prob(z).sum(-1))  # type: ignore[no-untyped-call]


def test_density_integrates_to_one() -> None:
    q = DiagonalGaussian(torch.tensor([0.7], dtype=torch.float64), torch.tensor([-0.8], dtype=torch.float64))
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    assert float(torch.trapezoid(q.log_prob(grid[:, None]).exp(), grid)) == pytest.approx(1.0, abs=1e-9)


def test_scale_is_the_standard_deviation_and_the_mean_is_the_code() -> None:
    q = DiagonalGaussian(torch.ones(3), torch.tensor([0.0, math.log(4.0), math.log(0.25)]))
    torch.testing.assert_close(q.scale, torch.tensor([1.0, 2.0, 0.5]))
    assert torch.equal(q.code, q.mean)


def test_samples_have_mean_and_variance() -> None:
    q = gaussian(1, 4)
    z = q.expand(50_000).rsample(normal(50_000, 4, seed=7))
    error = q.scale[0] / math.sqrt(50_000)
    assert bool(((z.mean(0) - q.mean[0]).abs() < 5 * error).all())
    torch.testing.assert_close(z.var(0), q.log_variance[0].exp(), rtol=0.03, atol=0)


def test_samples_are_the_scaled_and_shifted_noise() -> None:
    q, noise = gaussian(3, 4), normal(3, 4, seed=7)
    torch.testing.assert_close(q.rsample(noise), q.mean + noise * (q.log_variance / 2).exp())
    torch.testing.assert_close(q.rsample(torch.zeros_like(noise)), q.mean)


def test_gradients_flow_to_mean_and_variance() -> None:
    mean, log_variance = normal(2, 3).requires_grad_(), normal(2, 3, seed=1).requires_grad_()
    noise = normal(2, 3, seed=2)
    z = DiagonalGaussian(mean, log_variance).rsample(noise)
    to_mean, to_log_variance = torch.autograd.grad(z.sum(), [mean, log_variance])
    torch.testing.assert_close(to_mean, torch.ones_like(mean))
    torch.testing.assert_close(to_log_variance, 0.5 * noise * (log_variance / 2).exp())


def test_every_gradient_is_the_numerical_one() -> None:
    z = normal(2, 3)

    def all_of(mean: Tensor, log_variance: Tensor, other: Tensor, others: Tensor) -> tuple[Tensor, ...]:
        q, p = DiagonalGaussian(mean, log_variance), Mixture(DiagonalGaussian(other, others), torch.zeros(2).double())
        return kl(q, StandardNormal(3), z), kl(q, p, z), q.log_prob(z), q.log_probs(z), q.rsample(z)

    inputs = [normal(2, 3, seed=seed).requires_grad_() for seed in range(1, 5)]
    assert torch.autograd.gradcheck(all_of, inputs)


# --- Bessel functions

X = torch.tensor([1e-3, 0.05, 0.7, 1.0, 3.0, 12.0, 40.0, 80.0, 700.0, 10_000.0], dtype=torch.float64)


def log_sinh(x: Tensor) -> Tensor:
    return x + torch.log1p(-torch.exp(-2 * x)) - math.log(2)


def test_bessel_functions_have_their_closed_forms() -> None:
    front = 0.5 * torch.log(2 / (math.pi * X))
    torch.testing.assert_close(log_bessel(0.5, X), front + log_sinh(X), rtol=1e-12, atol=1e-10)
    large = X[X > 0.5]  # below, the closed form is the difference of two like numbers
    cosh_part = torch.log(1 / torch.tanh(large) - 1 / large)
    expected = 0.5 * torch.log(2 / (math.pi * large)) + log_sinh(large) + cosh_part
    torch.testing.assert_close(log_bessel(1.5, large), expected, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(log_bessel(0.0, X), torch.special.i0e(X).log() + X, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(log_bessel(1.0, X), torch.special.i1e(X).log() + X, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("order", [1.0, 1.5, 3.0, 15.0, 31.5, 255.0])
def test_bessel_functions_obey_their_recurrence(order: float) -> None:
    """I_{v-1} = I_{v+1} + 2v/x I_v, all of them positive."""
    lower, upper = log_bessel(order - 1, X), log_bessel(order + 1, X)
    middle = log_bessel(order, X) + torch.log(2 * order / X)
    torch.testing.assert_close(lower, torch.logaddexp(upper, middle), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("order", [0.0, 0.5, 3.0, 15.0])
def test_the_slope_of_a_bessel_function_is_the_known_one(order: float) -> None:
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_bessel(order, x).sum(), x)
    expected = (log_bessel(order + 1, X) - log_bessel(order, X)).exp() + order / X
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-9)
    inside = torch.tensor([0.4, 5.0, 60.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: log_bessel(order, t), inside)


def test_bessel_functions_keep_the_shape_and_take_nothing() -> None:
    assert log_bessel(2.0, torch.ones(2, 3)).shape == (2, 3)
    assert log_bessel(2.0, torch.ones(2, 3)).dtype == torch.float64
    assert log_bessel(2.0, torch.ones(0, 1)).shape == (0, 1)
    torch.testing.assert_close(log_bessel(2.0, X)[3:5], log_bessel(2.0, X[3:5]))  # whatever stands beside it


def test_the_mean_length_has_its_limits() -> None:
    torch.testing.assert_close(mean_length(3, X[3:]), 1 / torch.tanh(X[3:]) - 1 / X[3:])  # Langevin's function
    for dimensions in DIMENSIONS:
        lengths = mean_length(dimensions, X)
        assert bool((lengths.diff() > 0).all())
        assert float(lengths[0]) == pytest.approx(1e-3 / dimensions, rel=1e-5)
        assert 1 - float(lengths[-1]) == pytest.approx((dimensions - 1) / 2e4, rel=0.01)


# --- von Mises-Fisher


def fine_grid(dimensions: int, concentration: float) -> Tensor:
    """Edges of 50,000 cells over all angles to the direction that matter."""
    widest = min(math.pi, 12 * math.sqrt(dimensions / concentration))
    return torch.linspace(0, widest, 50_001, dtype=torch.float64)


def quantiles(dimensions: int, concentration: float, shares: Tensor) -> Tensor:
    """The angles at which the distribution function, summed up on the fine grid, has these values."""
    edges = fine_grid(dimensions, concentration)
    middles = (edges[1:] + edges[:-1]) / 2
    log_density = concentration * (middles.cos() - 1) + (dimensions - 2) * middles.sin().log()
    summed = F.pad(log_density.softmax(0).cumsum(0), (1, 0))
    cell = torch.searchsorted(summed, shares).clamp(1, len(middles))
    inside = (shares - summed[cell - 1]) / (summed[cell] - summed[cell - 1])
    return edges[cell - 1] + inside * edges[1]


def even_shares(count: int) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


def even_noise(count: int, dimensions: int) -> Tensor:
    """Normal noise whose first column falls into every interval in exact proportion to its probability."""
    return torch.cat([torch.special.ndtri(even_shares(count))[:, None], normal(count, dimensions - 1)], 1)


def cosines(q: VonMisesFisher, noise: Tensor) -> Tensor:
    """Of the angles between samples and direction."""
    return (q.rsample(noise) * q.direction).sum(-1)


@pytest.mark.parametrize("concentration", [1e-3, *CONCENTRATIONS])
def test_in_three_dimensions_the_density_is_the_known_one(concentration: float) -> None:
    """κ / (4π sinh κ) exp(κ cos)."""
    q, z = vmf(4, 3, concentration), UniformOnSphere(3).sample(normal(4, 3, seed=1))
    constant = math.log(concentration / (2 * math.pi)) - concentration - math.log1p(-math.exp(-2 * concentration))
    expected = concentration * (q.direction * z).sum(-1) + constant
    torch.testing.assert_close(q.log_prob(z), expected, rtol=1e-10, atol=1e-10)


@every_dimension
@every_concentration
def test_the_density_integrates_to_one_over_the_sphere(dimensions: int, concentration: float) -> None:
    """The points at an angle to the direction are a sphere of one dimension less, of radius sin(angle)."""
    edges = fine_grid(dimensions, concentration)
    middles = (edges[1:] + edges[:-1]) / 2
    z = torch.zeros(len(middles), dimensions, dtype=torch.float64)
    z[:, 0], z[:, 1] = middles.cos(), middles.sin()
    q = vmf(1, dimensions, concentration)
    log_density = VonMisesFisher(torch.eye(dimensions).double()[:1], q.concentration).log_prob(z)
    ring = UniformOnSphere(dimensions - 1).log_area + (dimensions - 2) * middles.sin().log()
    assert float((log_density + ring).exp().sum() * edges[1]) == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize(("dimensions", "concentration"), [(2, 2.0), (3, 4.0), (8, 4.0), (32, 6.0)])
def test_the_density_averages_to_one_over_uniform_draws(dimensions: int, concentration: float) -> None:
    uniform = UniformOnSphere(dimensions)
    z = uniform.sample(normal(60_000, dimensions, seed=3))
    ratio = (vmf(1, dimensions, concentration).log_prob(z) + uniform.log_area).exp()
    assert_mean(ratio, 1.0)
    assert 4 * float(ratio.std()) / math.sqrt(len(ratio)) < 0.1


@every_dimension
@pytest.mark.parametrize("concentration", [1e-3, *CONCENTRATIONS])
def test_the_angle_of_a_sample_is_the_quantile_of_its_noise(dimensions: int, concentration: float) -> None:
    """No random number here: a Kolmogorov-Smirnov test of 1000 draws would see nothing below 0.06 in the shares."""
    q = vmf(1, dimensions, concentration).expand(1000)
    found = cosines(q, even_noise(1000, dimensions)).clamp(-1, 1).acos()
    exact = quantiles(dimensions, concentration, even_shares(1000))
    assert float((found - exact).abs().max()) < 1e-3 * float(exact.std())


@every_dimension
@every_concentration
def test_samples_lie_on_the_sphere_and_have_the_mean(dimensions: int, concentration: float) -> None:
    count = 2000
    q = vmf(1, dimensions, concentration, seed=dimensions, dtype=torch.float32)
    z = q.expand(count).rsample(normal(count, dimensions, seed=5, dtype=torch.float32))
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(count), rtol=1e-5, atol=0)
    assert_mean((z.double() * q.direction.double()).sum(-1), float(mean_length(dimensions, q.concentration)))
    errors = (z.double() - q.mean.double()).mean(0) / (z.double().std(0) / math.sqrt(count))
    assert float(errors.abs().max()) < 4


@every_dimension
def test_samples_turn_into_all_directions_alike(dimensions: int) -> None:
    count = 2000
    q = vmf(1, dimensions, 6.0, seed=1)
    z = q.expand(count).rsample(normal(count, dimensions, seed=5))
    across = F.normalize(z - (z * q.direction).sum(-1, keepdim=True) * q.direction, dim=-1)
    # Uniform on the sphere across the direction: mean 0, covariance (I - direction directionᵀ) / (L - 1).
    assert float(across.mean(0).abs().max()) < 4 / math.sqrt(count * (dimensions - 1))
    expected = torch.eye(dimensions).double() - torch.outer(q.direction[0], q.direction[0])
    torch.testing.assert_close(across.T @ across / count, expected / (dimensions - 1), rtol=0, atol=0.06)


@every_dimension
def test_nothing_depends_on_where_the_direction_points(dimensions: int) -> None:
    rotation = torch.linalg.qr(normal(dimensions, dimensions, seed=9))[0]
    concentration = 5 * normal(50, 1, seed=1).exp()
    q = VonMisesFisher(vmf(50, dimensions, 1.0).direction, concentration)
    turned = VonMisesFisher(q.direction @ rotation.T, concentration)
    noise, z = normal(50, dimensions, seed=4), vmf(50, dimensions, 1.0, seed=3).direction
    torch.testing.assert_close(turned.log_prob(z @ rotation.T), q.log_prob(z))
    torch.testing.assert_close(turned.mean, q.mean @ rotation.T)
    torch.testing.assert_close(cosines(turned, noise), cosines(q, noise))
    uniform = UniformOnSphere(dimensions)
    assert torch.equal(kl(turned, uniform, z), kl(q, uniform, z))


def test_code_and_scale_on_the_sphere() -> None:
    q = vmf(3, 4, 25.0)
    assert torch.equal(q.code, q.direction)
    torch.testing.assert_close(q.scale, torch.full((3, 4), 0.2, dtype=torch.float64))
    # Where it is high, the concentration is the precision across the direction.
    q = vmf(1, 3, 400.0)
    sines = 1 - cosines(q.expand(2000), normal(2000, 3)).square()
    assert float(sines.mean() / 2) == pytest.approx(float(q.scale[0, 0]) ** 2, rel=0.09)


@every_dimension
@every_concentration
def test_the_rate_on_the_sphere_agrees_with_monte_carlo(dimensions: int, concentration: float) -> None:
    q, uniform = vmf(1, dimensions, concentration), UniformOnSphere(dimensions)
    z = q.expand(2000).rsample(normal(2000, dimensions, seed=8))
    rate = kl(q, uniform, z[:1])
    assert rate.shape == (1, 1)
    assert_mean(q.log_prob(z) - uniform.log_prob(z), float(rate))


def test_the_rate_on_the_sphere_has_its_known_values() -> None:
    for dimensions in DIMENSIONS:  # near no direction at all: κ² / 2L, the first term of its series
        q = vmf(1, dimensions, 1e-3)
        expected = 1e-6 / (2 * dimensions)
        assert float(kl(q, UniformOnSphere(dimensions), q.direction)) == pytest.approx(expected, rel=1e-4)
    for concentration in (0.5, 4.0, 30.0):
        q = vmf(1, 3, concentration)
        expected = concentration / math.tanh(concentration) - 1 + math.log(concentration / math.sinh(concentration))
        assert float(kl(q, UniformOnSphere(3), q.direction)) == pytest.approx(expected, rel=1e-10)
    q = vmf(1, 32, 35.0)
    assert float(kl(q, UniformOnSphere(32), q.direction)) == pytest.approx(8.6, abs=0.05)  # as the preset says


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([2, 3, 17, 32]), st.floats(1e-3, 500), st.floats(1.01, 2))
def test_the_rate_on_the_sphere_rises_with_the_concentration(dimensions: int, low: float, factor: float) -> None:
    directions = vmf(1, dimensions, 1.0).direction
    low_rate, high_rate = (
        float(kl(VonMisesFisher(directions, torch.tensor([[one]]).double()), UniformOnSphere(dimensions), directions))
        for one in (low, low * factor)
    )
    assert 0 < low_rate < high_rate


@every_dimension
def test_gradients_on_the_sphere_are_the_numerical_ones(dimensions: int) -> None:
    noise, z = normal(3, dimensions), vmf(3, dimensions, 1.0, seed=1).direction
    concentration = torch.tensor([[0.4], [7.0], [90.0]], dtype=torch.float64, requires_grad=True)
    free = normal(3, dimensions, seed=2).requires_grad_()

    def sample(free: Tensor) -> Tensor:
        return VonMisesFisher(F.normalize(free, dim=-1), concentration.detach()).rsample(noise)

    def densities(free: Tensor, concentration: Tensor) -> tuple[Tensor, ...]:
        q = VonMisesFisher(F.normalize(free, dim=-1), concentration)
        return q.log_prob(z), q.log_probs(z), q.mean, kl(q, UniformOnSphere(dimensions), z)

    assert torch.autograd.gradcheck(sample, free, fast_mode=True)
    assert torch.autograd.gradcheck(densities, (free, concentration), fast_mode=True)


@every_dimension
@every_concentration
def test_the_gradient_of_a_sample_in_the_concentration(dimensions: int, concentration: float) -> None:
    """That of the exact quantile, but for the kinks of the grid, and on average that of the mean length."""
    q = vmf(1, dimensions, concentration).expand(1000)
    parameter = q.concentration.clone().requires_grad_()
    cosine = cosines(VonMisesFisher(q.direction, parameter), even_noise(1000, dimensions))
    (slopes,) = torch.autograd.grad(cosine.sum(), parameter)
    more, less = (quantiles(dimensions, c * concentration, even_shares(1000)).cos() for c in (1.001, 0.999))
    numerical = (more - less) / (0.002 * concentration)
    assert float((slopes[:, 0] - numerical).abs().mean()) < 0.01 * float(numerical.abs().mean())
    one = torch.tensor([concentration], dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(mean_length(dimensions, one), one)
    assert float(slopes.mean()) == pytest.approx(float(expected), rel=1e-3)


@every_dimension
@pytest.mark.parametrize("concentration", [1e-3, 1.0, 10_000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extremes_give_numbers(dimensions: int, concentration: float, dtype: torch.dtype) -> None:
    """Also where the direction is the axis of the reflection, its opposite, or next to one of them."""
    axis = torch.eye(dimensions, dtype=dtype)[0]
    near = [axis + tiny * axis.roll(1) for tiny in (0.0, 1e-12, 1e-7, 1e-4)]
    free = torch.stack([sign * one for sign in (1, -1) for one in near]).requires_grad_()
    parameter = torch.full((8, 1), concentration, dtype=dtype, requires_grad=True)
    q, uniform = VonMisesFisher(F.normalize(free, dim=-1), parameter), UniformOnSphere(dimensions)
    # Next to the axis the reflection knows the direction to the root of what the type resolves.
    resolved = 4 * torch.finfo(dtype).eps ** 0.5
    for extreme in (0.0, 6.0, -6.0):
        noise = normal(8, dimensions, dtype=dtype)
        noise[:, 0] = extreme
        z = q.rsample(noise)
        torch.testing.assert_close(z.norm(dim=-1), torch.ones(8, dtype=dtype))
        cosine = (z * q.direction).detach().sum(-1)
        assert float((cosine - cosine[0]).abs().max()) < resolved  # the angle is the same wherever the axis is
        everything = z.sum() + q.log_prob(z).sum() + kl(q, uniform, z).sum() + q.mean.sum()
        gradients = torch.autograd.grad(everything, (free, parameter), retain_graph=True)
        assert bool(everything.isfinite())
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)


# --- priors


def test_the_standard_normal_prior() -> None:
    prior, z = StandardNormal(3), normal(2, 5, 3)
    assert prior.noise_size == 3
    assert torch.equal(prior.sample(z[0]), z[0])
    torch.testing.assert_close(prior.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1))  # type: ignore[no-untyped-call]
    assert prior.log_prob(torch.zeros(2, 3, dtype=torch.float64)).tolist() == [-1.5 * math.log(2 * math.pi)] * 2
    assert prior.log_prob(z.float()).dtype == torch.float32
    assert StandardNormal(0).log_prob(torch.zeros(2, 0)).tolist() == [0.0, 0.0]  # of a language model


@pytest.mark.parametrize(
    ("dimensions", "area"), [(1, 2), (2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2), (5, 8 / 3 * math.pi**2)]
)
def test_the_area_of_a_sphere_is_the_known_one(dimensions: int, area: float) -> None:
    prior = UniformOnSphere(dimensions)
    assert prior.log_area == pytest.approx(math.log(area))
    z = torch.ones(2, 7, dimensions, dtype=torch.float64)
    torch.testing.assert_close(prior.log_prob(z), torch.full((2, 7), -math.log(area), dtype=torch.float64))


def test_uniform_draws_are_uniform() -> None:
    for dimensions in DIMENSIONS:
        prior = UniformOnSphere(dimensions)
        z = prior.sample(normal(8000, prior.noise_size))
        torch.testing.assert_close(z.norm(dim=-1), torch.ones(8000).double())
        assert float(z.mean(0).abs().max()) < 4 / math.sqrt(8000 * dimensions)
        torch.testing.assert_close(z.T @ z / 8000, torch.eye(dimensions).double() / dimensions, rtol=0, atol=0.025)
    # Kolmogorov-Smirnov, 1 in 1000: on a circle the angle is uniform, on a ball each coordinate (Archimedes).
    two, three = (UniformOnSphere(n).sample(normal(8000, n, seed=1)) for n in (2, 3))
    for values in (torch.atan2(two[:, 1], two[:, 0]) / (2 * math.pi) + 0.5, (three[:, 0] + 1) / 2):
        assert float((values.sort().values - even_shares(8000)).abs().max()) < 1.95 / math.sqrt(8000)


LOG_WEIGHTS = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64).log()


def test_a_mixture_of_gaussians_is_that_of_torch() -> None:
    components, z = gaussian(3, 4), normal(2, 6, 4)
    mixture = Mixture(components, LOG_WEIGHTS)
    theirs = MixtureSameFamily(
        Categorical(logits=LOG_WEIGHTS),
        Independent(reference(components), 1),
    )
    torch.testing.assert_close(mixture.log_prob(z), theirs.log_prob(z))  # type: ignore[no-untyped-call]
    assert mixture.log_prob(z).shape == (2, 6)
    as_floats = Mixture(components.apply(Tensor.float), LOG_WEIGHTS.float())
    assert as_floats.log_prob(z).dtype == torch.float64  # of the type of z
    torch.testing.assert_close(as_floats.log_prob(z), mixture.log_prob(z), rtol=1e-5, atol=1e-5)


@every_kind
def test_a_mixture_is_the_weighted_sum_of_its_components(kind: str) -> None:
    components = some_of(kind, 3, 4)
    z = components.expand(2).rsample(normal(6, 4))
    parts = torch.stack([components.apply(lambda t, k=k: t[k]).log_prob(z).exp() for k in range(3)])  # type: ignore[misc]
    expected = (parts * LOG_WEIGHTS.exp()[:, None]).sum(0).log()
    torch.testing.assert_close(Mixture(components, LOG_WEIGHTS).log_prob(z), expected)


@every_kind
def test_a_mixture_of_one_component_or_of_equal_ones_is_the_component(kind: str) -> None:
    one, z, noise = some_of(kind, 1, 4), normal(6, 4), normal(6, 5)
    for mixture in (Mixture(one, torch.zeros(1).double()), Mixture(one.expand(3), LOG_WEIGHTS)):
        torch.testing.assert_close(mixture.log_prob(z), one.log_prob(z))
        torch.testing.assert_close(mixture.sample(noise), one.expand(6).rsample(noise[:, :-1]))


@every_kind
def test_draws_of_a_mixture_come_from_its_components_in_proportion(kind: str) -> None:
    components = some_of(kind, 3, 4)
    mixture = Mixture(components, LOG_WEIGHTS)
    assert mixture.noise_size == 5
    noise = normal(2000, mixture.noise_size)
    z = mixture.sample(noise)
    drawn = torch.stack([components.apply(lambda t, k=k: t[[k] * 2000]).rsample(noise[:, :-1]) for k in range(3)])  # type: ignore[misc]
    same = (drawn - z).abs().amax(-1) < 1e-9
    assert bool((same.sum(0) == 1).all())
    expected = 2000 * LOG_WEIGHTS.exp()
    assert float(((same.sum(1) - expected).square() / expected).sum()) < 13.8  # 2 degrees of freedom: 1 in 1000
    # What a draw is does not hang on which component it is of.
    spread = noise[same[1], :-1]
    assert float(spread.mean(0).abs().max()) < 4 / math.sqrt(len(spread))


@every_kind
def test_the_ends_of_the_noise_pick_the_first_and_the_last_component(kind: str) -> None:
    components = some_of(kind, 3, 4)
    noise = torch.zeros(2, 5, dtype=torch.float64)
    noise[:, 0], noise[:, 1], noise[:, -1] = 0.3, 1.0, torch.tensor([-50.0, 50.0])
    ends = components.apply(lambda t: t[[0, 2]])
    torch.testing.assert_close(Mixture(components, LOG_WEIGHTS).sample(noise), ends.rsample(noise[:, :-1]))


def test_a_mixture_on_the_sphere_is_a_distribution_there() -> None:
    components, uniform = some_of("vmf", 3, 4), UniformOnSphere(4)
    mixture = Mixture(components, LOG_WEIGHTS)
    z = mixture.sample(normal(2000, 5))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(2000).double())
    ratio = (mixture.log_prob(uniform.sample(normal(60_000, 4))) + uniform.log_area).exp()
    assert_mean(ratio, 1.0)
    back = (-mixture.log_prob(z) - uniform.log_area).exp()  # draws of the mixture, weighted back
    assert_mean(back, 1.0)


@every_kind
def test_without_a_closed_form_the_divergence_is_that_of_the_sample(kind: str) -> None:
    q, components = some_of(kind, 5, 4), some_of(kind, 3, 4, seed=1)
    mixture = Mixture(components, LOG_WEIGHTS)
    z = q.rsample(normal(5, 4))
    found = kl(q, mixture, z)
    assert found.shape == (5, 1)
    torch.testing.assert_close(found[:, 0], q.log_prob(z) - mixture.log_prob(z))
    many = q.expand(1000)
    sampled = kl(many, mixture, many.rsample(normal(5000, 4))).view(5, 1000)
    assert bool((sampled.mean(1) > 0).all())  # Gibbs
    # The prior that is the posterior: no divergence at any z.
    own = q.apply(lambda t: t[:1])
    assert float(kl(own, Mixture(own, torch.zeros(1)), z[:1]).abs()) < 1e-9


@every_kind
def test_gradients_of_a_mixture_are_the_numerical_ones(kind: str) -> None:
    q = some_of(kind, 3, 4)
    z = q.rsample(normal(3, 4))

    def density(log_weights: Tensor, code: Tensor, other: Tensor) -> Tensor:
        components: Posterior = DiagonalGaussian(code, other)
        if kind == "vmf":
            components = VonMisesFisher(F.normalize(code, dim=-1), other[:, :1].exp())
        return Mixture(components, log_weights.log_softmax(0)).log_prob(z)

    inputs = [t.requires_grad_() for t in (LOG_WEIGHTS.clone(), normal(3, 4, seed=1), normal(3, 4, seed=2))]
    assert torch.autograd.gradcheck(density, inputs)
