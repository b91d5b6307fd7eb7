"""Expectation maximization of a mixture: known values, the bound, what it recovers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.nn.distributions import DiagonalGaussian
from seqvae_cli.nn.mixture_fit import fit_mixture, parameters
from seqvae_cli.nn.priors import MixturePrior

CENTRES = torch.tensor([[-4.0, 0.0, 1.0], [4.0, 1.0, -1.0], [0.0, 6.0, 0.0]])
SHARES = (600, 300, 100)


def drawn(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clustered() -> DiagonalGaussian:
    """1,000 posteriors of variance 0.09 around three centres; their means deviate by 0.4."""
    which = torch.repeat_interleave(torch.arange(3), torch.tensor(SHARES))
    mean = CENTRES[which] + 0.4 * drawn((1000, 3))
    return DiagonalGaussian(mean, torch.full_like(mean, math.log(0.09)))


def test_one_component_has_the_mean_and_the_variance_of_all_codes() -> None:
    posteriors = DiagonalGaussian(2 * drawn((50, 3)) + 1, drawn((50, 3), seed=1))
    mixture, reached = fit_mixture(posteriors, 1)
    mean, variance = posteriors.mean.double(), posteriors.log_variance.double().exp()
    torch.testing.assert_close(mixture.components.mean[0], mean.mean(0))
    expected = mean.var(0, correction=0) + variance.mean(0)
    assert isinstance(mixture.components, DiagonalGaussian)
    torch.testing.assert_close(mixture.components.log_variance[0].exp(), expected)
    # Of a Gaussian with these moments the mean log density is known: -L/2 (1 + log 2π) - 1/2 Σ log variance.
    assert reached[-1] == pytest.approx(-1.5 * (1 + math.log(2 * math.pi)) - 0.5 * float(expected.log().sum()))


def test_clusters_are_found_with_their_weights_and_variances() -> None:
    fits = [fit_mixture(clustered(), 3, seed) for seed in range(5)]  # some end where two share a cluster
    mixture, _ = max(fits, key=lambda fit: fit[1][-1])
    assert isinstance(mixture.components, DiagonalGaussian)
    order = mixture.log_weights.argsort(descending=True)
    torch.testing.assert_close(
        mixture.log_weights.exp()[order], torch.tensor([0.6, 0.3, 0.1]).double(), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(mixture.components.mean[order], CENTRES.double(), atol=0.15, rtol=0)
    spread = mixture.components.log_variance.exp()
    assert bool(((spread > 0.15) & (spread < 0.35)).all())  # 0.16 + 0.09


@pytest.mark.parametrize("components", [2, 7, 40])
def test_the_bound_never_falls_and_stays_below_the_expected_log_density(components: int) -> None:
    posteriors = clustered()
    mixture, reached = fit_mixture(posteriors, components)
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(reached))
    assert reached[-1] > reached[0] + 0.1
    log_probs = torch.stack(
        [mixture.log_prob(posteriors.rsample(drawn((1000, 3), seed)).double()) for seed in range(20)]
    )
    assert reached[-1] < float(log_probs.mean()) + 4 * float(log_probs.mean(1).std()) / math.sqrt(20)


@pytest.mark.parametrize("count", [1, 5])
def test_equal_posteriors_and_as_many_components_as_posteriors_are_no_trouble(count: int) -> None:
    """A component of one posterior has its variance, and does not shrink to a point."""
    posteriors = DiagonalGaussian(torch.ones(count, 3), torch.full((count, 3), -2.0))
    mixture, reached = fit_mixture(posteriors, count)
    assert isinstance(mixture.components, DiagonalGaussian)
    assert mixture.components.log_variance.min() == pytest.approx(-2.0, abs=1e-5)
    assert all(map(math.isfinite, reached))
    assert float(mixture.log_weights.exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize(("offset", "log_variance"), [(1e3, -20.0), (100.0, -32.0), (0.0, -800.0)])
@pytest.mark.parametrize("components", [1, 4])
def test_narrow_and_distant_posteriors_give_finite_mixtures(
    offset: float, log_variance: float, components: int
) -> None:
    mean = drawn((60, 3)) + offset
    for posteriors in (
        DiagonalGaussian(mean, torch.full((60, 3), log_variance)),
        DiagonalGaussian(torch.full((60, 3), offset), torch.full((60, 3), log_variance)),
    ):
        mixture, reached = fit_mixture(posteriors, components)
        assert isinstance(mixture.components, DiagonalGaussian)
        assert all(bool(value.isfinite().all()) for value in parameters(mixture).values())
        assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(reached))
        centre = mixture.log_weights.exp() @ mixture.components.mean
        torch.testing.assert_close(centre, posteriors.mean.double().mean(0))


def test_it_ends_where_iterations_hardly_raise_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = fit_mixture(clustered(), 3)[1]
    assert 2 < len(reached) < 100
    monkeypatch.setattr("seqvae_cli.nn.mixture_fit.ENOUGH", -1.0)
    assert len(further := fit_mixture(clustered(), 3)[1]) == 100
    assert further[-1] - reached[-1] < 0.02


def test_it_follows_its_seed_and_draws_from_no_global_stream() -> None:
    before = torch.get_rng_state()
    first, second, other = (fit_mixture(clustered(), 5, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.components.mean, second.components.mean)
    assert not torch.equal(first.components.mean, other.components.mean)


def test_a_prior_with_its_parameters_is_the_mixture() -> None:
    mixture, _ = fit_mixture(clustered(), 4)
    prior = MixturePrior(ModelSettings(latent_size=3, prior="mixture", components=4))
    prior.load_state_dict(parameters(mixture))
    z = drawn((9, 3), seed=5)
    found = prior(lambda _: pytest.fail("a mixture encodes nothing"))
    torch.testing.assert_close(found.log_prob(z), mixture.log_prob(z), atol=1e-5, rtol=1e-5)
