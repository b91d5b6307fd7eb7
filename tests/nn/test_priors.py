"""Priors that are learned: their distributions, and how they follow the weights."""

from __future__ import annotations

import pytest
import torch

from seqvae_cli.nn.distributions import (
    DiagonalGaussian,
    Mixture,
)
from tests.test_model import encoder_of, noise_for, ragged, variant


def test_the_vamp_prior_is_the_mean_of_the_posteriors_of_its_inputs() -> None:
    model = variant("vamp")
    prior = model.prior()
    assert isinstance(prior, Mixture)
    encoder = encoder_of(model)
    inputs = model.vamp.inputs
    assert inputs.shape == (3, 16, 5)
    states = encoder.lstm(inputs)[0].max(1).values
    posterior = DiagonalGaussian(encoder.mean(states), encoder.log_variance(states))
    z = noise_for(7)
    expected = (posterior.log_probs(z).exp().sum(1) / 3).log()
    torch.testing.assert_close(prior.log_prob(z), expected)


@pytest.mark.parametrize("name", ["vamp", "vamp on the sphere", "mixture", "mixture on the sphere"])
def test_a_learned_prior_moves_towards_the_posteriors(name: str) -> None:
    """It alone is trained here."""
    model, batch, noise = variant(name), ragged(), noise_for(5)
    own = [weight for key, weight in model.named_parameters() if key.startswith(("vamp", "mixture"))]
    optimizer = torch.optim.Adam(own, lr=0.1)
    rates = []
    for _ in range(60):
        rate = model(batch, noise).kl.mean()
        optimizer.zero_grad()
        rate.backward()
        optimizer.step()
        rates.append(rate.item())
    assert rates[-1] < rates[0] - 0.1


@pytest.mark.parametrize("name", ["vamp", "mixture", "plain", "vmf"])
def test_the_prior_follows_the_weights(name: str) -> None:
    model, z = variant(name), noise_for(6)
    before = model.prior().log_prob(z)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    assert torch.equal(model.prior().log_prob(z), before) is (name in ("plain", "vmf"))


@pytest.mark.parametrize("name", ["plain", "mixture", "mixture on the sphere", "vamp"])
def test_the_rate_is_computed_in_full_precision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Densities are differences of large numbers: products in bfloat16 would cost a tenth of a nat."""
    model, batch, noise = variant(name).eval(), ragged(), noise_for(5)
    posterior = model.encoder(batch)
    # Not every CPU has an LSTM in bfloat16.
    monkeypatch.setattr(model.encoder, "forward", lambda _: posterior)
    monkeypatch.setattr(model.decoder, "log_prob", lambda *_: torch.zeros(5))
    expected = model(batch, noise).kl
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (expected @ expected.T).dtype == torch.bfloat16
        torch.testing.assert_close(model(batch, noise).kl, expected)
