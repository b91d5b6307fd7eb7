"""Distributions over z and their divergence."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from seqvae_cli.latent import DiagonalGaussian, kl, standard_normal


def gaussian(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> DiagonalGaussian:
    random = torch.Generator().manual_seed(seed)
    return DiagonalGaussian(
        torch.randn(*shape, generator=random, dtype=dtype), torch.randn(*shape, generator=random, dtype=dtype)
    )


def reference(q: DiagonalGaussian) -> Normal:
    return Normal(q.mean, (q.log_variance / 2).exp())


def test_closed_form_kl_agrees_with_monte_carlo() -> None:
    q, p = gaussian(3, 4, seed=1), gaussian(3, 4, seed=2)
    torch.manual_seed(0)
    z = q.expand(40_000).rsample().view(3, 40_000, 4)
    for row in range(3):
        ratio = DiagonalGaussian(q.mean[row], q.log_variance[row]).log_prob(z[row]) - DiagonalGaussian(
            p.mean[row], p.log_variance[row]
        ).log_prob(z[row])
        error = float(ratio.std()) / math.sqrt(len(ratio))
        assert abs(float(ratio.mean() - kl(q, p)[row].sum())) < 4 * error
        assert 4 * error < 0.2 * float(kl(q, p)[row].sum())  # sharp enough to tell


def test_kl_agrees_with_torch_in_every_dimension() -> None:
    q, p = gaussian(5, 7, seed=1), gaussian(5, 7, seed=2)
    torch.testing.assert_close(kl(q, p), kl_divergence(reference(q), reference(p)))
    assert kl(q, p).shape == (5, 7)
    assert not torch.allclose(kl(q, p), kl(p, q))


def test_kl_has_its_known_values() -> None:
    prior = standard_normal(torch.zeros(1, 3))
    q = DiagonalGaussian(torch.tensor([[0.0, 2.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0]]))
    expected = torch.tensor([[0.0, 2.0, 0.5 * (math.exp(2) - 3)]])
    torch.testing.assert_close(kl(q, prior), expected)


NUMBERS = st.floats(-6, 6)


@settings(max_examples=300, deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_kl_is_zero_where_equal_and_positive_elsewhere(a: float, b: float, c: float, d: float) -> None:
    q = DiagonalGaussian(torch.tensor([[a]], dtype=torch.float64), torch.tensor([[b]], dtype=torch.float64))
    p = DiagonalGaussian(torch.tensor([[c]], dtype=torch.float64), torch.tensor([[d]], dtype=torch.float64))
    assert float(kl(q, q)) == 0.0
    assert float(kl(q, p)) >= -1e-14
    if abs(a - c) > 1e-3 or abs(b - d) > 1e-3:
        assert float(kl(q, p)) > 1e-10


def test_kl_near_the_prior_is_no_rounding_noise() -> None:
    # A collapsing posterior: KL ~ (mean² + log_variance²/2) / 2 falls below what exp(x) - 1 - x resolves in float32.
    x = torch.linspace(-2e-3, 2e-3, 4001)[:, None]
    rate = kl(DiagonalGaussian(torch.zeros_like(x), x), standard_normal(x))
    exact = kl(DiagonalGaussian(torch.zeros_like(x).double(), x.double()), standard_normal(x.double()))
    assert float((rate - exact).abs().max()) < 2e-7
    assert float(rate.min()) > -2e-7


def test_log_prob_agrees_with_torch() -> None:
    q = gaussian(6, 5)
    z = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(q.log_prob(z), reference(q).log_prob(z).sum(-1))  # type: ignore[no-untyped-call]
    many = torch.randn(9, 6, 5, dtype=torch.float64)  # broadcasts over leading dimensions
    torch.testing.assert_close(q.log_prob(many), reference(q).log_prob(many).sum(-1))  # type: ignore[no-untyped-call]
    assert q.log_prob(many).shape == (9, 6)


def test_density_integrates_to_one() -> None:
    q = DiagonalGaussian(torch.tensor([0.7], dtype=torch.float64), torch.tensor([-0.8], dtype=torch.float64))
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    assert float(torch.trapezoid(q.log_prob(grid[:, None]).exp(), grid)) == pytest.approx(1.0, abs=1e-9)


def test_scale_is_the_standard_deviation() -> None:
    q = DiagonalGaussian(torch.zeros(3), torch.tensor([0.0, math.log(4.0), math.log(0.25)]))
    torch.testing.assert_close(q.scale, torch.tensor([1.0, 2.0, 0.5]))


def test_samples_have_mean_and_variance() -> None:
    q = gaussian(1, 4)
    torch.manual_seed(0)
    z = q.expand(50_000).rsample()
    error = q.scale[0] / math.sqrt(50_000)
    assert bool(((z.mean(0) - q.mean[0]).abs() < 5 * error).all())
    torch.testing.assert_close(z.var(0), q.log_variance[0].exp(), rtol=0.03, atol=0)


def test_samples_come_from_the_noise_given_or_the_global_stream() -> None:
    q = gaussian(3, 4)
    noise = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(q.rsample(noise), q.mean + noise * (q.log_variance / 2).exp())
    torch.testing.assert_close(q.rsample(torch.zeros_like(noise)), q.mean)
    torch.manual_seed(5)
    first = q.rsample()
    torch.manual_seed(5)
    assert torch.equal(first, q.rsample())
    assert not torch.equal(first, q.rsample())


def test_gradients_flow_to_mean_and_variance() -> None:
    mean = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    log_variance = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 3, dtype=torch.float64)
    z = DiagonalGaussian(mean, log_variance).rsample(noise)
    to_mean, to_log_variance = torch.autograd.grad(z.sum(), [mean, log_variance])
    torch.testing.assert_close(to_mean, torch.ones_like(mean))
    torch.testing.assert_close(to_log_variance, 0.5 * noise * (log_variance / 2).exp())


def test_every_gradient_is_the_numerical_one() -> None:
    z = torch.randn(2, 3, dtype=torch.float64)

    def all_of(mean: Tensor, log_variance: Tensor, other: Tensor, others: Tensor) -> tuple[Tensor, ...]:
        q, p = DiagonalGaussian(mean, log_variance), DiagonalGaussian(other, others)
        return kl(q, p), q.log_prob(z), q.rsample(z)

    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(all_of, inputs)


def test_expand_repeats_rows_in_a_row() -> None:
    q = DiagonalGaussian(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]]))
    wide = q.expand(3)
    assert wide.mean.tolist() == [[1, 2]] * 3 + [[3, 4]] * 3
    assert wide.log_variance.tolist() == [[5, 6]] * 3 + [[7, 8]] * 3
    assert torch.equal(wide.log_prob(wide.mean).view(2, 3)[:, 0], q.log_prob(q.mean))


def test_the_prior_is_standard_and_has_the_shape_and_type_asked_for() -> None:
    like = torch.full((2, 3), 7.0, dtype=torch.float64, requires_grad=True)
    prior = standard_normal(like)
    assert prior.mean.shape == like.shape
    assert prior.mean.dtype == torch.float64
    assert not prior.mean.requires_grad
    assert prior.log_prob(torch.zeros(2, 3, dtype=torch.float64)).tolist() == [-1.5 * math.log(2 * math.pi)] * 2
