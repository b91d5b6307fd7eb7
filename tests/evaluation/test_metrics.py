"""Every figure of the evaluation against what it must be: exact integrals, bounds, known values, invariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import Batch, collate
from seqvae_cli.evaluation import aggregate, bounds, metrics
from seqvae_cli.evaluation.aggregate import active_units, aggregate_log_prob, mutual_information
from seqvae_cli.evaluation.bounds import iw_nll
from seqvae_cli.evaluation.metrics import bleu, elbo, perplexity
from seqvae_cli.model import Encoder, SentenceVAE
from seqvae_cli.nn.decoding import DecoderState
from seqvae_cli.nn.distributions import (
    DiagonalGaussian,
    Mixture,
    Posterior,
    Prior,
    StandardNormal,
    UniformOnSphere,
    VonMisesFisher,
    kl,
)
from tests.conftest import InMemory, normal_noise
from tests.faults.matrix import some

WORDS = 9
"""Ids of the tiny vocabulary, the four special ones counted."""


def tiny_split(count: int = 12, seed: int = 0) -> InMemory:
    """Sentences of 1 to 9 words, in no order of length."""
    random = np.random.default_rng(seed)
    return InMemory([random.integers(4, WORDS, random.integers(1, 10)).tolist() for _ in range(count)])


def tiny_model(latent_size: int = 1, *, uses_z: bool = True, seed: int = 0, **changed: Any) -> SentenceVAE:
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
        **changed,
    )
    model = SentenceVAE(settings, WORDS).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7, generator=random)
        if isinstance(model.encoder, Encoder) and settings.posterior == "gaussian":
            model.encoder.log_variance.weight.mul_(0.2)
            model.encoder.log_variance.bias.fill_(0.2)
    return model


KINDS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "vmf": {"posterior": "vmf", "concentration": 5.0},
    "vmf, concentration learned": {"posterior": "vmf", "concentration": 0.0},
    "mixture": {"prior": "mixture", "components": 3},
    "mixture on the sphere": {"posterior": "vmf", "concentration": 0.0, "prior": "mixture", "components": 3},
    "vamp": {"prior": "vamp", "components": 3},
}

every_kind = pytest.mark.parametrize("kind", [*KINDS])


def blind_model() -> SentenceVAE:
    """The sentence does not depend on z and q is the prior: q is the true posterior."""
    model = tiny_model(2, uses_z=False)
    with torch.no_grad():
        assert isinstance(model.encoder, Encoder)
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


def exact_nll(model: SentenceVAE, split: InMemory) -> NDArray[np.float64]:
    """-log ∫ p(x|z) p(z) dz. The integrand is smooth and vanishes at the ends: the sum is exact to many digits."""
    z, cell = grid(model.settings.latent_size)
    prior = StandardNormal(z.size(1)).log_prob(z)
    return np.array([-float((on_grid(model, ids, z) + prior).logsumexp(0)) - math.log(cell) for ids in split.sentences])


@torch.no_grad()
def exact_elbo(model: SentenceVAE, split: InMemory) -> tuple[float, float]:
    """Distortion and rate, the expectation over q integrated."""
    z, cell = grid(model.settings.latent_size)
    distortion = rate = 0.0
    for ids in split.sentences:
        posterior = model.encoder(collate([ids])).apply(Tensor.double)
        density = posterior.log_prob(z).exp() * cell
        distortion -= float((density * on_grid(model, ids, z)).sum())
        rate += float((density * (posterior.log_prob(z) - StandardNormal(z.size(1)).log_prob(z))).sum())
    return distortion / len(split), rate / len(split)


# The importance-weighted bound


def test_iw_bound_at_k_5000_is_the_exact_nll() -> None:
    """In one dimension; tests/test_variants.py has every posterior and prior in two."""
    model, split = tiny_model(), tiny_split(6)
    exact = exact_nll(model, split)
    bound = iw_nll(model, split, samples=5000)
    assert np.abs(bound - exact).max() < 0.1
    assert abs(float((bound - exact).mean())) < 0.02


def test_iw_bound_is_exact_and_without_noise_where_q_is_the_true_posterior() -> None:
    model, split = blind_model(), tiny_split()
    exact = [-float(on_grid(model, ids, torch.zeros(1, 2))) for ids in split.sentences]
    for samples, seed in ((1, 0), (1, 1), (7, 2)):
        np.testing.assert_allclose(iw_nll(model, split, samples=samples, seed=seed), exact, atol=1e-5)
    value = elbo(model, split)
    assert value.neg_elbo == pytest.approx(np.mean(exact), abs=1e-5)
    assert value.rate == 0
    assert value.active_units == 0


@every_kind
def test_iw_bound_with_one_sample_shares_its_z_with_the_elbo(kind: str) -> None:
    model, split = tiny_model(2, **KINDS[kind]), tiny_split()
    bound = iw_nll(model, split, samples=1, seed=5)
    for i, ids in enumerate(split.sentences):
        with torch.no_grad():
            q = model.encoder(collate([ids]))
            z = q.rsample(normal_noise(5, [ids], (2,)))
            expected = -on_grid(model, ids, z) - model.prior().log_prob(z) + q.log_prob(z)
        assert bound[i] == pytest.approx(float(expected), abs=2e-5)


@every_kind
def test_a_long_sentence_read_in_parts_is_worth_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = tiny_model(3, **KINDS[kind]), InMemory([[4, 5, 6] * 9, [7] * 13, [8, 4, 5] * 4, [6]])
    batch = collate(split.sentences)
    z = normal(4, 3).float()
    bound, value = iw_nll(model, split, samples=9), elbo(model, split, samples=2)
    with torch.no_grad():
        whole = model.decoder.log_prob(model.inputs(batch), batch, z)
        monkeypatch.setattr("seqvae_cli.model.STEPS_AT_ONCE", 5)
        monkeypatch.setattr(metrics, "STEPS_AT_ONCE", 5)
        torch.testing.assert_close(model.decoder.log_prob(model.inputs(batch), batch, z), whole)
    np.testing.assert_allclose(iw_nll(model, split, samples=9), bound, rtol=1e-5)
    assert elbo(model, split, samples=2).distortion == pytest.approx(value.distortion, rel=1e-5)


def test_iw_bound_of_a_very_long_sentence_is_finite() -> None:
    bound = iw_nll(tiny_model(2), InMemory([[4, 5] * 1500, [6]]), samples=3)
    assert np.isfinite(bound).all()
    assert bound[0] > 750  # where exp(-x) is 0 in float64


# Batches


@every_kind
@pytest.mark.parametrize("tokens", some([70, 16, 100_000], 1))
def test_no_figure_depends_on_the_batches(kind: str, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = tiny_model(3, **KINDS[kind]), tiny_split(30)
    bound, value = iw_nll(model, split, samples=9), elbo(model, split, samples=3)
    monkeypatch.setattr(metrics, "TOKENS_AT_ONCE", tokens)
    np.testing.assert_allclose(iw_nll(model, split, samples=9), bound, atol=1e-4)
    again = elbo(model, split, samples=3)
    for name in ("distortion", "rate", "mutual_information", "active_units", "sentences", "tokens"):
        assert getattr(again, name) == pytest.approx(getattr(value, name), abs=1e-4), name
    assert again.rate_by_dimension == pytest.approx(value.rate_by_dimension, abs=1e-5)


@every_kind
def test_the_bound_of_sentences_read_apart_is_that_of_sentences_read_together(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, split = tiny_model(3, **KINDS[kind]), InMemory([[4, 5, 6] * 9, [7], [], [8, 4, 5] * 4])
    apart = iw_nll(model, split, samples=20)
    monkeypatch.setattr(metrics, "SAMPLES_APART", 21)
    np.testing.assert_allclose(iw_nll(model, split, samples=20), apart, rtol=1e-6)


@every_kind
def test_a_sentence_is_worth_the_same_wherever_it_stands_and_whatever_stands_around_it(kind: str) -> None:
    model, split, other = tiny_model(3, **KINDS[kind]), tiny_split(20), tiny_split(20, seed=1)
    bound = iw_nll(model, split, samples=9)
    for kept in (0, 7, 19):
        others = [ids.tolist() for ids in other.sentences]
        others[11] = split[kept].tolist()
        assert iw_nll(model, InMemory(others), samples=9)[11] == pytest.approx(bound[kept], rel=1e-5)
    others = np.random.default_rng(0).permutation(20)
    shuffled = InMemory([split[int(i)].tolist() for i in others])
    np.testing.assert_allclose(iw_nll(model, shuffled, samples=9), bound[others], rtol=1e-5)
    one, again = elbo(model, split, seed=1), elbo(model, shuffled, seed=1)
    assert again.distortion == pytest.approx(one.distortion, rel=1e-6)
    assert again.mutual_information == pytest.approx(one.mutual_information, rel=1e-5)


def test_copies_of_a_sentence_have_one_score() -> None:
    model, name = tiny_model(2), np.array([4, 5, 6])
    rest = tiny_split(49).sentences
    scores = list(bounds.score(model, [each for other in rest for each in (name, other)], samples=3, window=16))
    assert np.ptp([one.iw_nll for one in scores[::2]]) < 1e-5 * scores[0].iw_nll
    assert np.ptp([one.neg_elbo for one in scores[::2]]) < 1e-5 * scores[0].neg_elbo
    assert np.ptp([one.iw_nll for one in scores[1::2]]) > 1  # sentences differ
    other_seed = next(iter(bounds.score(model, [name], samples=3, seed=1)))
    assert abs(other_seed.iw_nll - scores[0].iw_nll) > 1e-3  # and so do seeds


def test_results_stand_in_the_order_of_the_split() -> None:
    model, split = blind_model(), tiny_split(20)
    backwards = InMemory([ids.tolist() for ids in reversed(split.sentences)])
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

    def watched(inputs: Tensor, batch: Batch, z: Tensor) -> Tensor:
        sizes.append(inputs.size(1) * len(z))
        return log_prob(inputs, batch, z)

    monkeypatch.setattr(model.decoder, "log_prob", watched)
    monkeypatch.setattr(metrics, "TOKENS_AT_ONCE", 64)
    iw_nll(model, split, samples=100)
    assert max(sizes) <= 64
    sizes.clear()
    elbo(model, split, samples=100)
    assert max(sizes) <= 64


def test_no_pass_over_a_long_sentence_is_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor smaller: many of its samples are read beside each other."""
    model, split = tiny_model(2), InMemory([[4, 5, 6] * 30])
    sizes: list[int] = []
    read = model.decoder.read

    def watched(inputs: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        sizes.append(inputs.size(1) * len(state.z))
        return read(inputs, state)

    monkeypatch.setattr(model.decoder, "read", watched)
    monkeypatch.setattr(metrics, "TOKENS_AT_ONCE", 64)
    for module in ("seqvae_cli.model", "seqvae_cli.evaluation.metrics"):
        monkeypatch.setattr(f"{module}.STEPS_AT_ONCE", 8)
    iw_nll(model, split, samples=16)
    assert max(sizes) == 64
    assert len(sizes) == 2 * math.ceil(91 / 8)


def test_watch_hears_of_every_token_and_may_stop() -> None:
    model, split = tiny_model(2), tiny_split(10)
    tokens = sum(len(ids) + 1 for ids in split.sentences)
    for samples in (3, 1000):
        heard: list[int] = []
        iw_nll(model, split, samples=samples, watch=heard.append)
        assert sum(heard) == tokens * samples
    heard = []
    elbo(model, split, samples=3, watch=heard.append)
    assert sum(heard) == tokens
    heard = []
    metrics.posteriors(model, split, watch=heard.append)
    assert sum(heard) == tokens

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        iw_nll(model, split, samples=3, watch=stop)
    with pytest.raises(KeyboardInterrupt):
        elbo(model, split, watch=stop)


@pytest.mark.parametrize(
    ("lengths", "usual"), [([5, 9, 40], 40), ([10] * 300 + [40_000], 100), ([300] * 300 + [40_000], 300), ([0], 0)]
)
def test_the_usual_length_leaves_an_outlier_out(lengths: list[int], usual: int) -> None:
    assert metrics.usual_length(np.array(lengths)) == usual


# ELBO


@every_kind
@pytest.mark.parametrize("samples", [1, 4])
def test_elbo_is_that_of_one_sentence_after_another(kind: str, samples: int) -> None:
    model, split = tiny_model(3, **KINDS[kind]), tiny_split(15)
    value = elbo(model, split, seed=3, samples=samples)
    distortion, rate = 0.0, torch.zeros(())
    for ids in split.sentences:
        noise = normal_noise(3, [ids], (samples, 3))[0]
        for one in noise:
            with torch.no_grad():
                terms = model(collate([ids]), one[None])
            distortion += float(terms.distortion) / samples
            rate = rate + terms.kl[0].double() / samples
    assert value.distortion == pytest.approx(distortion / len(split), abs=1e-4)
    assert value.rate == pytest.approx(float(rate.sum()) / len(split), abs=1e-4)
    assert value.rate_by_dimension == pytest.approx((rate / len(split)).tolist(), abs=1e-4)
    assert len(value.rate_by_dimension) == (3 if kind == "gaussian" else 1)
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


@every_kind
def test_more_samples_leave_a_closed_rate_alone_and_steady_a_sampled_one(kind: str) -> None:
    model, split = tiny_model(2, **KINDS[kind]), tiny_split(6)
    few, many = ([elbo(model, split, samples=k, seed=seed).rate for seed in range(6)] for k in (1, 64))
    if model.settings.prior == "standard":
        assert few + many == pytest.approx([few[0]] * 12, abs=1e-5)
    else:
        assert np.std(many) < 0.5 * np.std(few)  # an eighth in expectation
        assert np.mean(many) == pytest.approx(np.mean(few), abs=float(4 * np.std(few) / math.sqrt(6)))
        assert np.mean(many) > 0


@every_kind
def test_posteriors_stand_in_the_order_of_the_split(kind: str) -> None:
    model, split = tiny_model(3, **KINDS[kind]), tiny_split(20)
    found = metrics.posteriors(model, split)
    with torch.no_grad():
        for i, ids in enumerate(split.sentences):
            one = model.encoder(collate([ids]))
            assert type(found) is type(one)
            torch.testing.assert_close(found.code[i], one.code[0])
            torch.testing.assert_close(found.scale[i], one.scale[0])


@every_kind
def test_distortion_is_that_of_the_codes_given(kind: str) -> None:
    model, split = tiny_model(3, **KINDS[kind]), tiny_split(20)
    z = normal(20, 3).float()
    expected = -np.mean([float(on_grid(model, ids, z[i : i + 1])) for i, ids in enumerate(split.sentences)])
    heard: list[int] = []
    assert metrics.distortion(model, split, z, watch=heard.append) == pytest.approx(expected, abs=1e-4)
    assert sum(heard) == sum(len(ids) + 1 for ids in split.sentences)
    assert metrics.distortion(model, split, z.flip(0)) != pytest.approx(expected, abs=1e-3)


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


def on_sphere(direction: Tensor, concentration: float) -> VonMisesFisher:
    direction = torch.nn.functional.normalize(direction, dim=-1)
    return VonMisesFisher(direction, torch.full_like(direction[:, :1], concentration))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some_mixture(like: Posterior) -> Mixture:
    return Mixture(like.apply(lambda t: t[:3]), torch.tensor([0.2, 0.5, 0.3]).log())


@pytest.mark.parametrize(("scale", "dimensions"), [(0.3, 1), (0.5, 2), (0.9, 3)])
def test_mutual_information_of_a_gaussian_channel(scale: float, dimensions: int) -> None:
    """Means from N(0, 1 - s²) and variance s²: q(z) is the prior, so I = -L ln s."""
    posterior = gaussian(normal(4000, dimensions) * math.sqrt(1 - scale**2), scale**2)
    z = posterior.rsample(normal(4000, dimensions, seed=1))
    expected = -dimensions * math.log(scale)
    assert mutual_information(posterior, StandardNormal(dimensions), z) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize(("concentration", "dimensions"), [(4.0, 2), (3.0, 3)])
def test_mutual_information_of_a_channel_on_the_sphere(concentration: float, dimensions: int) -> None:
    """Directions all around: q(z) is the uniform prior, so I is the rate, which is the same for every sentence."""
    posterior, prior = on_sphere(normal(2000, dimensions), concentration), UniformOnSphere(dimensions)
    z = posterior.rsample(normal(2000, dimensions, seed=1))
    rate = float(kl(posterior, prior, z)[0])
    assert rate > 0.4
    assert mutual_information(posterior, prior, z) == pytest.approx(rate, abs=0.06)


@pytest.mark.parametrize("posterior", [gaussian(normal(500, 3), 0.3), on_sphere(normal(500, 3), 6.0)], ids=["g", "s"])
def test_mutual_information_is_the_same_under_any_prior(posterior: Posterior) -> None:
    """The mean of log q(z|x) - log q(z): the prior cancels, exactly where the rate is sampled, else on average."""
    z = posterior.rsample(normal(500, 3, seed=1))
    inside = torch.logsumexp(posterior.log_probs(z), 1) - math.log(500)
    gain = posterior.log_prob(z) - inside
    found = mutual_information(posterior, some_mixture(posterior), z)
    assert found == pytest.approx(float(gain.mean()), abs=1e-6)
    standard: Prior = StandardNormal(3) if isinstance(posterior, DiagonalGaussian) else UniformOnSphere(3)
    spread = (posterior.log_prob(z) - standard.log_prob(z)).std() / math.sqrt(500)
    assert mutual_information(posterior, standard, z) == pytest.approx(found, abs=4 * float(spread))
    assert 0.3 < found < math.log(500)


@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize("sphere", [False, True])
def test_mutual_information_of_separate_posteriors_is_ln_n_and_never_more(sphere: bool, mixture: bool) -> None:
    means = 20 * normal(60, 2) if not sphere else torch.linspace(0, 2 * math.pi, 61, dtype=torch.float64)[:60, None]
    posterior: Posterior = gaussian(means, 1e-6)
    if sphere:
        posterior = on_sphere(torch.cat([means.cos(), means.sin()], 1), 10_000.0)
    standard: Prior = UniformOnSphere(2) if sphere else StandardNormal(2)
    prior = some_mixture(posterior) if mixture else standard
    for seed in range(10):
        information = mutual_information(posterior, prior, posterior.rsample(normal(60, 2, seed=seed)))
        assert information == pytest.approx(math.log(60), abs=1e-3)
        assert information <= math.log(60)


@pytest.mark.parametrize("log_variance", [-10.0, -36.0, -54.0, -62.0, -80.0])
def test_mutual_information_of_needles_is_no_absurdity(log_variance: float) -> None:
    """Where rounding has the last word in the squares of distances."""
    posterior = gaussian(5 * normal(200, 8), math.exp(log_variance))
    z = posterior.rsample(normal(200, 8, seed=1))
    assert mutual_information(posterior, StandardNormal(8), z) == pytest.approx(math.log(200), abs=0.2)
    assert mutual_information(posterior, StandardNormal(8), z) <= math.log(200)


def test_of_many_sentences_the_mutual_information_is_that_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = gaussian(normal(90, 3), 0.5)
    z = posterior.rsample(normal(90, 3, seed=1))
    every_third = posterior.apply(lambda parameter: parameter[::3])
    expected = mutual_information(every_third, StandardNormal(3), z[::3])
    monkeypatch.setattr(aggregate, "MOST", 30)
    assert mutual_information(posterior, StandardNormal(3), z) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(aggregate, "MOST", 90)
    assert mutual_information(posterior, StandardNormal(3), z) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("sphere", [False, True])
def test_mutual_information_of_equal_posteriors_is_0(sphere: bool) -> None:
    mean = normal(1, 3).expand(2000, 3)
    posterior: Posterior = on_sphere(mean, 5.0) if sphere else gaussian(mean, 0.5)
    prior: Prior = UniformOnSphere(3) if sphere else StandardNormal(3)
    for seed in range(3):
        z = posterior.rsample(normal(2000, 3, seed=seed))
        assert mutual_information(posterior, prior, z) == pytest.approx(0, abs=0.07)
        assert mutual_information(posterior, some_mixture(posterior), z) == pytest.approx(0, abs=1e-6)


def test_mutual_information_never_exceeds_rate_or_ln_n_by_more_than_noise() -> None:
    for seed in range(5):
        posterior = DiagonalGaussian(normal(200, 4, seed=seed), normal(200, 4, seed=seed + 100) - 2)
        z = posterior.rsample(normal(200, 4, seed=seed + 200))
        information = mutual_information(posterior, StandardNormal(4), z)
        rate = float(kl(posterior, StandardNormal(4), z).sum(1).mean())
        assert 0 < information < rate + 0.3
        assert information <= math.log(200)


@every_kind
def test_mutual_information_of_the_elbo_is_that_of_its_first_samples(kind: str) -> None:
    model, split = tiny_model(3, **KINDS[kind]), tiny_split(25)
    value = elbo(model, split, seed=4, samples=3)
    with torch.no_grad():
        posterior = metrics.posteriors(model, split)
        z = posterior.rsample(normal_noise(4, split.sentences, (1, 3))[:, 0])
        assert value.mutual_information == pytest.approx(mutual_information(posterior, model.prior(), z), abs=1e-3)
    assert value.active_units == active_units(posterior)


def test_aggregate_log_prob_is_the_mixture_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = DiagonalGaussian(normal(37, 3), normal(37, 3, seed=1))
    z = 2 * normal(20, 3, seed=2)
    slow = []
    for one in z:
        components = [
            float(torch.distributions.Normal(posterior.mean[n], posterior.scale[n]).log_prob(one).sum())  # type: ignore[no-untyped-call]
            for n in range(37)
        ]
        slow.append(math.log(sum(map(math.exp, components)) / 37))
    expected = torch.tensor(slow, dtype=torch.float64)
    for rows in (1, 7, 20, 512):
        monkeypatch.setattr(aggregate, "BLOCK", 37 * rows)
        seen: list[int] = []
        torch.testing.assert_close(aggregate_log_prob(posterior, z, seen.append), expected, atol=1e-9, rtol=0)
        assert len(seen) == math.ceil(20 / rows)


# Active units


def test_active_units_take_the_population_variance() -> None:
    """Two means at ±a have the population variance a²; the sample variance is twice that."""
    means = torch.tensor([[-0.0999, -0.1001, 0.0], [0.0999, 0.1001, 0.0]]) + torch.tensor([5.0, -3.0, 1.0])
    assert active_units(DiagonalGaussian(means, means)) == 1
    assert active_units(DiagonalGaussian(means, means).expand(50)) == 1
    assert active_units(DiagonalGaussian(torch.ones(1, 4), torch.ones(1, 4))) == 0
    assert active_units(DiagonalGaussian(torch.ones(5, 0), torch.ones(5, 0))) == 0  # of a language model


@pytest.mark.parametrize("dimensions", [3, 100])
def test_on_the_sphere_a_unit_is_active_by_what_a_dimension_can_vary(dimensions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.nn.functional.normalize(torch.randn(2000, dimensions, generator=generator), dim=1)
    concentration = torch.full((2000, 1), 80.0)
    assert active_units(VonMisesFisher(spread, concentration)) == dimensions
    assert active_units(VonMisesFisher(spread[:1].expand(2000, -1), concentration)) == 0


# BLEU


def numbered(*texts: list[list[str]]) -> list[list[list[int]]]:
    """Tokens as ids, the same token by the same id."""
    ids: dict[str, int] = {}
    return [[[ids.setdefault(token, 4 + len(ids)) for token in sentence] for sentence in text] for text in texts]


def words(text: list[str]) -> list[list[str]]:
    return [sentence.split() for sentence in text]


def test_bleu_of_equal_texts_is_100() -> None:
    (text,) = numbered(words(["the cat sees a red house", "my sister likes it , too ."]))
    assert bleu(text, text) == pytest.approx(100)


def test_bleu_is_that_of_sacrebleu_on_tokens() -> None:
    outputs = ["the cat sees a red house .", "my sister likes people , too", "do n't"]
    references = ["the cat sees a red dog .", "my sister does not like people , too", "do not"]
    expected = sacrebleu.BLEU(tokenize="none", force=True).corpus_score(outputs, [references]).score
    assert bleu(*numbered(words(outputs), words(references))) == pytest.approx(expected)
    assert 10 < expected < 90


def test_bleu_of_empty_outputs_is_0() -> None:
    assert bleu([[], []], [[4, 5, 6, 7], [8]]) == 0
    assert 0 < bleu([[], [4, 5, 6, 7, 8]], [[9, 10], [4, 5, 6, 7, 8]]) < 100


def test_bleu_of_characters_counts_spaces_as_tokens() -> None:
    """The value of a text whose spaces are written as another character."""
    outputs, references = ["abcd efgh", "\ta\xa0b cd"], ["ab cd efgh", "a\u3000b c d"]
    apart, solid = (
        [[text.replace(" ", space) for text in texts] for texts in (outputs, references)] for space in (" ", "_")
    )
    found = bleu(*numbered(*([list(text) for text in texts] for texts in apart)))
    assert found == bleu(*numbered(*([list(text) for text in texts] for texts in solid)))
    assert 0 < found < 100
    assert bleu(*numbered([list("ab cd")], [list("abcd")])) < 100


# scores


@every_kind
def test_scores_are_the_bounds_of_the_split_in_its_order(kind: str) -> None:
    """The same noise, so the very figures that the evaluation averages."""
    model, split = tiny_model(2, **KINDS[kind]), tiny_split(25)
    scores = list(bounds.score(model, iter(split.sentences), samples=7, seed=3))
    split_bounds = iw_nll(model, split, samples=7, seed=3)
    np.testing.assert_allclose([one.iw_nll for one in scores], split_bounds, rtol=2e-6)
    assert sum(one.iw_nll for one in scores) == pytest.approx(len(split) * split_bounds.mean(), rel=1e-10)
    whole = elbo(model, split, samples=7, seed=3)
    assert np.mean([one.distortion for one in scores]) == pytest.approx(whole.distortion, rel=1e-6)
    assert np.mean([one.rate for one in scores]) == pytest.approx(whole.rate, rel=1e-6, abs=1e-6)
    assert np.mean([one.neg_elbo for one in scores]) == pytest.approx(whole.neg_elbo, rel=1e-6)
    assert [one.tokens for one in scores] == [len(ids) + 1 for ids in split.sentences]


def test_scores_do_not_depend_on_the_window() -> None:
    model, split = tiny_model(2), tiny_split(25)
    made = [
        [one.iw_nll for one in bounds.score(model, split.sentences, samples=3, window=window)] for window in (1, 4, 99)
    ]
    np.testing.assert_allclose(made[0], made[1], rtol=1e-6)
    np.testing.assert_allclose(made[0], made[2], rtol=1e-6)


@every_kind
def test_the_importance_weighted_score_of_one_sample_is_the_elbo_on_average(kind: str) -> None:
    model = tiny_model(2, **KINDS[kind])
    random = np.random.default_rng(0)
    scores = list(bounds.score(model, [random.integers(4, WORDS, 7) for _ in range(2000)], samples=1))
    gap = np.array([one.iw_nll - one.neg_elbo for one in scores])
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(len(gap)) + 1e-6  # nothing but rounding where both are sampled


def test_nothing_is_scored_as_nothing() -> None:
    assert list(bounds.score(tiny_model(), [])) == []
