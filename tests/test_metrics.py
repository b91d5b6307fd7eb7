"""Every figure of the evaluation against what it must be: exact integrals, bounds, known values, invariances."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import sacrebleu
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli import metrics
from seqvae_cli.batching import collate
from seqvae_cli.config import ModelSettings
from seqvae_cli.latent import DiagonalGaussian, kl, standard_normal
from seqvae_cli.metrics import active_units, aggregate_log_prob, bleu, elbo, iw_nll, mutual_information, perplexity
from seqvae_cli.model import SentenceVAE
from tests.conftest import normal_noise

WORDS = 9
"""Ids of the tiny vocabulary, the four special ones counted."""


class Split:
    """Sentences in memory, as `metrics` wants them."""

    def __init__(self, sentences: list[list[int]]) -> None:
        self.sentences = [np.array(ids, dtype=np.int64) for ids in sentences]

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.sentences[index]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.sentences], dtype=np.int64)


def tiny_split(count: int = 12, seed: int = 0) -> Split:
    """Sentences of 1 to 9 words, in no order of length."""
    random = np.random.default_rng(seed)
    return Split([random.integers(4, WORDS, random.integers(1, 10)).tolist() for _ in range(count)])


def tiny_model(latent_size: int = 1, *, uses_z: bool = True, seed: int = 0) -> SentenceVAE:
    """Weights so large that the sentence depends on z, and a posterior that is wider than the true one.

    A wide posterior keeps the importance weights bounded, so that the bound comes close to the exact value.
    """
    settings = ModelSettings(
        embed_size=5,
        hidden_size=6,
        latent_size=latent_size,
        latent_state=uses_z,
        latent_input=uses_z,
        tied=False,
    )
    model = SentenceVAE(settings, WORDS).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7, generator=random)
        model.encoder.log_variance.weight.mul_(0.2)
        model.encoder.log_variance.bias.fill_(0.2)
    return model


def blind_model() -> SentenceVAE:
    """The sentence does not depend on z and q is the prior: q is the true posterior."""
    model = tiny_model(2, uses_z=False)
    with torch.no_grad():
        for layer in (model.encoder.mean, model.encoder.log_variance):
            layer.weight.zero_()
            layer.bias.zero_()
    return model


@torch.no_grad()
def on_grid(model: SentenceVAE, ids: NDArray[np.int64], z: Tensor) -> Tensor:
    """log p(x|z) for each z [M, L]: [M], float64."""
    batch = collate([ids] * len(z))
    log_p: Tensor = model.decoder.log_prob(model.inputs(batch), batch, z.float())
    return log_p.double()


def grid(latent_size: int) -> tuple[Tensor, float]:
    """Points [M, L] that cover where prior and posterior live, and the volume of a cell."""
    axis = torch.linspace(-9, 9, 1201 if latent_size == 1 else 121, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * latent_size).view(-1, latent_size), float(axis[1] - axis[0]) ** latent_size


def exact_nll(model: SentenceVAE, split: Split) -> NDArray[np.float64]:
    """-log ∫ p(x|z) p(z) dz. The integrand is smooth and vanishes at the ends: the sum is exact to many digits."""
    z, cell = grid(model.settings.latent_size)
    prior = standard_normal(z).log_prob(z)
    return np.array([-float((on_grid(model, ids, z) + prior).logsumexp(0)) - math.log(cell) for ids in split.sentences])


@torch.no_grad()
def exact_elbo(model: SentenceVAE, split: Split) -> tuple[float, float]:
    """Distortion and rate, the expectation over q integrated."""
    z, cell = grid(model.settings.latent_size)
    distortion = rate = 0.0
    for ids in split.sentences:
        q = model.encoder(collate([ids]))
        posterior = DiagonalGaussian(q.mean.double(), q.log_variance.double())
        density = posterior.log_prob(z).exp() * cell
        distortion -= float((density * on_grid(model, ids, z)).sum())
        rate += float((density * (posterior.log_prob(z) - standard_normal(z).log_prob(z))).sum())
    return distortion / len(split), rate / len(split)


# The importance-weighted bound


@pytest.mark.parametrize("latent_size", [1, 2])
def test_iw_bound_at_k_5000_is_the_exact_nll(latent_size: int) -> None:
    model, split = tiny_model(latent_size), tiny_split(6)
    exact = exact_nll(model, split)
    bound = iw_nll(model, split, samples=5000)
    assert np.abs(bound - exact).max() < 0.1
    assert abs(float((bound - exact).mean())) < 0.02


def test_iw_bound_falls_with_k_from_the_elbo_to_the_exact_nll() -> None:
    model, split = tiny_model(2), tiny_split(8)
    exact = float(exact_nll(model, split).mean())
    averaged = {
        k: np.mean([iw_nll(model, split, samples=k, seed=seed).mean() for seed in range(16)]) for k in (1, 4, 30)
    }
    neg_elbo = sum(exact_elbo(model, split))
    assert averaged[1] == pytest.approx(neg_elbo, abs=0.15)
    assert neg_elbo > exact + 0.3  # else there is nothing to tighten
    assert averaged[1] > averaged[4] + 0.1 > averaged[30] + 0.12
    assert averaged[30] > exact - 0.02


def test_iw_bound_is_exact_and_without_noise_where_q_is_the_true_posterior() -> None:
    model, split = blind_model(), tiny_split()
    exact = [-float(on_grid(model, ids, torch.zeros(1, 2))) for ids in split.sentences]
    for samples, seed in ((1, 0), (1, 1), (7, 2)):
        np.testing.assert_allclose(iw_nll(model, split, samples=samples, seed=seed), exact, atol=1e-5)
    value = elbo(model, split)
    assert value.neg_elbo == pytest.approx(np.mean(exact), abs=1e-5)
    assert value.rate == 0
    assert value.active_units == 0


def test_iw_bound_with_one_sample_shares_its_z_with_the_elbo() -> None:
    model, split = tiny_model(2), tiny_split()
    bound = iw_nll(model, split, samples=1, seed=5)
    for i, ids in enumerate(split.sentences):
        with torch.no_grad():
            q = model.encoder(collate([ids]))
            z = q.rsample(normal_noise(5, [i], (2,)))
            expected = -on_grid(model, ids, z) - standard_normal(z).log_prob(z) + q.log_prob(z)
        assert bound[i] == pytest.approx(float(expected), abs=1e-5)


def test_iw_bound_of_a_very_long_sentence_is_finite() -> None:
    bound = iw_nll(tiny_model(2), Split([[4, 5] * 1500, [6]]), samples=3)
    assert np.isfinite(bound).all()
    assert bound[0] > 750  # where exp(-x) is 0 in float64


# Batches


@pytest.mark.parametrize("tokens", [16, 70, 100_000])
def test_no_figure_depends_on_the_batches(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = tiny_model(3), tiny_split(30)
    bound, value = iw_nll(model, split, samples=9), elbo(model, split, samples=3)
    monkeypatch.setattr(metrics, "TOKENS_AT_ONCE", tokens)
    np.testing.assert_allclose(iw_nll(model, split, samples=9), bound, atol=1e-4)
    again = elbo(model, split, samples=3)
    for name in ("distortion", "rate", "mutual_information", "active_units", "sentences", "tokens"):
        assert getattr(again, name) == pytest.approx(getattr(value, name), abs=1e-4), name
    assert again.rate_by_dimension == pytest.approx(value.rate_by_dimension, abs=1e-5)


def test_a_sentence_is_worth_the_same_whatever_stands_around_it() -> None:
    model, split, other = tiny_model(3), tiny_split(20), tiny_split(20, seed=1)
    bound = iw_nll(model, split, samples=9)
    for kept in (0, 7, 19):
        others = [ids.tolist() for ids in other.sentences]
        others[kept] = split[kept].tolist()
        assert iw_nll(model, Split(others), samples=9)[kept] == pytest.approx(bound[kept], abs=1e-4)


def test_results_stand_in_the_order_of_the_split() -> None:
    model, split = blind_model(), tiny_split(20)
    backwards = Split([ids.tolist() for ids in reversed(split.sentences)])
    bound = iw_nll(model, split, samples=2)
    np.testing.assert_allclose(iw_nll(model, backwards, samples=2)[::-1], bound, atol=1e-4)
    assert np.ptp(bound) > 5  # else the order would not show


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    model, split = tiny_model(2), tiny_split()
    assert iw_nll(model, split, samples=5, seed=1).tolist() == iw_nll(model, split, samples=5, seed=1).tolist()
    assert elbo(model, split, seed=1) == elbo(model, split, seed=1)
    assert not np.allclose(iw_nll(model, split, samples=5, seed=2), iw_nll(model, split, samples=5, seed=1))
    assert elbo(model, split, seed=2).distortion != elbo(model, split, seed=1).distortion
    assert elbo(model, split, seed=2).rate == elbo(model, split, seed=1).rate


def test_no_pass_of_the_elbo_is_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = tiny_model(2), tiny_split(4)
    sizes: list[int] = []
    log_prob: Callable[..., Tensor] = model.decoder.log_prob

    def watched(inputs: Tensor, *rest: object) -> Tensor:
        sizes.append(inputs.numel())
        return log_prob(inputs, *rest)

    monkeypatch.setattr(model.decoder, "log_prob", watched)
    monkeypatch.setattr(metrics, "TOKENS_AT_ONCE", 64)
    iw_nll(model, split, samples=100)
    assert max(sizes) <= 64
    sizes.clear()
    elbo(model, split, samples=100)
    assert max(sizes) <= 64


def test_watch_hears_of_every_sentence_and_may_stop() -> None:
    model, split = tiny_model(2), tiny_split(10)
    for samples, total in ((3, 30), (1000, 10_000)):
        heard: list[int] = []
        iw_nll(model, split, samples=samples, watch=heard.append)
        assert sum(heard) == total
    heard = []
    elbo(model, split, samples=3, watch=heard.append)
    assert sum(heard) == 10

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iw_nll(model, split, samples=3, watch=stop)
    with pytest.raises(KeyboardInterrupt):
        elbo(model, split, watch=stop)


# ELBO


@pytest.mark.parametrize("samples", [1, 4])
def test_elbo_is_that_of_one_sentence_after_another(samples: int) -> None:
    model, split = tiny_model(3), tiny_split(15)
    value = elbo(model, split, seed=3, samples=samples)
    distortion = rate = 0.0
    for i, ids in enumerate(split.sentences):
        noise = normal_noise(3, [i], (samples, 3))[0]
        for one in noise:
            with torch.no_grad():
                terms = model(collate([ids]), one[None])
            distortion += float(terms.distortion) / samples
        rate += float(terms.kl.sum())
    assert value.distortion == pytest.approx(distortion / len(split), abs=1e-4)
    assert value.rate == pytest.approx(rate / len(split), abs=1e-4)
    assert value.neg_elbo == value.distortion + value.rate
    assert sum(value.rate_by_dimension) == pytest.approx(value.rate, abs=1e-9)
    assert (value.sentences, value.tokens) == (15, sum(len(ids) + 1 for ids in split.sentences))
    assert value.elbo_ppl == pytest.approx(math.exp(value.neg_elbo * 15 / value.tokens))


def test_many_samples_bring_the_elbo_to_its_expectation() -> None:
    model, split = tiny_model(1), tiny_split(6)
    distortion, rate = exact_elbo(model, split)
    assert elbo(model, split).rate == pytest.approx(rate, abs=1e-4)

    def error(samples: int, seeds: int) -> float:
        found = [elbo(model, split, samples=samples, seed=seed).distortion for seed in range(seeds)]
        return float(np.sqrt(np.mean((np.array(found) - distortion) ** 2)))

    assert error(1600, 2) < 0.05
    assert error(100, 8) < 0.4 * error(1, 30)  # 0.1 of it in expectation


# Perplexity


@pytest.mark.parametrize(("nll", "expected"), [(98.62, 90), (99.81, 95), (100.93, 100), (102.00, 105)])
def test_perplexity_of_published_ptb_figures(nll: float, expected: float) -> None:
    assert perplexity(nll, 3761, round(3761 * 21.917)) == pytest.approx(expected, rel=0.005)


def test_perplexity_of_a_uniform_model_is_its_vocabulary() -> None:
    assert perplexity(7 * math.log(50), 3, 21) == pytest.approx(50)
    assert perplexity(0.0, 3, 21) == 1


def test_perplexity_that_overflows_is_infinite() -> None:
    assert perplexity(1e6, 1, 2) == math.inf
    assert perplexity(math.inf, 1, 2) == math.inf


# Mutual information


def gaussian(mean: Tensor, variance: float) -> DiagonalGaussian:
    return DiagonalGaussian(mean, torch.full_like(mean, math.log(variance)))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("scale", "dimensions"), [(0.3, 1), (0.5, 2), (0.9, 3)])
def test_mutual_information_of_a_gaussian_channel(scale: float, dimensions: int) -> None:
    """Means from N(0, 1 - s²) and variance s²: q(z) is the prior, so I = -L ln s."""
    posterior = gaussian(normal(4000, dimensions) * math.sqrt(1 - scale**2), scale**2)
    z = posterior.rsample(normal(4000, dimensions, seed=1))
    assert mutual_information(posterior, z) == pytest.approx(-dimensions * math.log(scale), abs=0.06)


def test_mutual_information_of_separate_posteriors_is_ln_n_and_never_more() -> None:
    posterior = gaussian(20 * normal(60, 2), 1e-6)
    for seed in range(10):
        information = mutual_information(posterior, posterior.rsample(normal(60, 2, seed=seed)))
        assert information == pytest.approx(math.log(60), abs=0.3)
        assert information <= math.log(60)


def test_mutual_information_of_equal_posteriors_is_0() -> None:
    posterior = gaussian(normal(1, 3).expand(4000, 3), 0.5)
    for seed in range(3):
        assert mutual_information(posterior, posterior.rsample(normal(4000, 3, seed=seed))) == pytest.approx(
            0, abs=0.05
        )


def test_mutual_information_never_exceeds_rate_or_ln_n_by_more_than_noise() -> None:
    for seed in range(5):
        posterior = DiagonalGaussian(normal(200, 4, seed=seed), normal(200, 4, seed=seed + 100) - 2)
        information = mutual_information(posterior, posterior.rsample(normal(200, 4, seed=seed + 200)))
        rate = float(kl(posterior, standard_normal(posterior.mean)).sum(1).mean())
        assert 0 < information < rate + 0.3
        assert information <= math.log(200)


def test_aggregate_log_prob_is_the_mixture_whatever_the_blocks() -> None:
    posterior = DiagonalGaussian(normal(37, 3), normal(37, 3, seed=1))
    z = 2 * normal(20, 3, seed=2)
    slow = []
    for one in z:
        components = [
            float(torch.distributions.Normal(posterior.mean[n], posterior.scale[n]).log_prob(one).sum())
            for n in range(37)
        ]
        slow.append(math.log(sum(map(math.exp, components)) / 37))
    expected = torch.tensor(slow, dtype=torch.float64)
    for rows in (1, 7, 20, 512):
        torch.testing.assert_close(aggregate_log_prob(posterior, z, rows), expected, atol=1e-9, rtol=0)


# Active units


def test_active_units_take_the_population_variance() -> None:
    """Two means at ±a have the population variance a²; the sample variance is twice that."""
    means = torch.tensor([[-0.0999, -0.1001, 0.0], [0.0999, 0.1001, 0.0]]) + torch.tensor([5.0, -3.0, 1.0])
    assert active_units(means) == 1
    assert active_units(means.repeat(50, 1)) == 1
    assert active_units(torch.ones(1, 4)) == 0


# BLEU


def test_bleu_of_equal_texts_is_100() -> None:
    text = ["the cat sees a red house", "my sister likes it , too ."]
    assert bleu(text, text) == pytest.approx(100)


def test_bleu_is_that_of_sacrebleu_on_tokens() -> None:
    outputs = ["the cat sees a red house .", "my sister likes people , too", "do n't"]
    references = ["the cat sees a red dog .", "my sister does not like people , too", "do not"]
    expected = sacrebleu.BLEU(tokenize="none", force=True).corpus_score(outputs, [references]).score
    assert bleu(outputs, references) == pytest.approx(expected)
    assert 10 < expected < 90


def test_bleu_of_empty_outputs_is_0() -> None:
    assert bleu(["", ""], ["a b c d", "e"]) == 0
    assert 0 < bleu(["", "the cat sees a red house"], ["a b", "the cat sees a red house"]) < 100


# scores


def test_scores_are_the_bounds_of_the_split_in_its_order() -> None:
    """The same noise, so the very figures that the evaluation averages."""
    model, split = tiny_model(2), tiny_split(25)
    scores = list(metrics.score(model, iter(split.sentences), samples=7, seed=3))
    np.testing.assert_allclose([one.iw_nll for one in scores], iw_nll(model, split, samples=7, seed=3), rtol=1e-6)
    whole = elbo(model, split, samples=7, seed=3)
    assert np.mean([one.distortion for one in scores]) == pytest.approx(whole.distortion, rel=1e-6)
    assert np.mean([one.rate for one in scores]) == pytest.approx(whole.rate, rel=1e-6)
    assert np.mean([one.neg_elbo for one in scores]) == pytest.approx(whole.neg_elbo, rel=1e-6)
    assert [one.tokens for one in scores] == [len(ids) + 1 for ids in split.sentences]


def test_scores_do_not_depend_on_the_window() -> None:
    model, split = tiny_model(2), tiny_split(25)
    made = [
        [one.iw_nll for one in metrics.score(model, split.sentences, samples=3, window=window)] for window in (1, 4, 99)
    ]
    np.testing.assert_allclose(made[0], made[1], rtol=1e-6)
    np.testing.assert_allclose(made[0], made[2], rtol=1e-6)


def test_the_importance_weighted_score_of_one_sample_is_the_elbo_on_average() -> None:
    model = tiny_model(1)
    sentences = [np.array([4, 5, 6])] * 4000
    scores = list(metrics.score(model, sentences, samples=1))
    gap = np.array([one.iw_nll - one.neg_elbo for one in scores])
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(len(gap))


def test_nothing_is_scored_as_nothing() -> None:
    assert list(metrics.score(tiny_model(), [])) == []
