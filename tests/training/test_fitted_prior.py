"""A prior fitted to the codes of a trained run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from seqvae_cli.api import load
from seqvae_cli.config import layers
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.card import card
from seqvae_cli.nn import mixture_fit
from seqvae_cli.nn.distributions import DiagonalGaussian, Mixture, StandardNormal, kl
from seqvae_cli.runs import checkpoint, registry
from seqvae_cli.runs.run import Run
from seqvae_cli.training import fitted_prior, session
from seqvae_cli.training.fitted_prior import fit_prior, standard_error
from tests.conftest import Answer, Seqvae
from tests.faults.matrix import snapshot
from tests.trainings import fit, new_run, weights


def far_apart(run: Run, step: int = 1) -> Run:
    """The run with random weights in its encoder, so that codes lie far from N(0, I) and from one another."""
    changed = weights(run, "best")
    draw = torch.Generator().manual_seed(0)
    for name in changed:
        if name.startswith("encoder.") and name != "encoder.embedding.weight":
            changed[name].uniform_(-6, 6, generator=draw)
    changed["encoder.log_variance.weight"].zero_()
    changed["encoder.log_variance.bias"].fill_(-3.0)
    checkpoint.write(run.path / "best", step, {"model": changed})
    return run


def test_encoder_and_decoder_stay_and_the_prior_is_a_mixture(tiny_corpus: Corpus) -> None:
    before = snapshot(registry.find("tiny-run").path)
    done = fit_prior(registry.find("tiny-run"), components=3, name="fitted")
    assert (done.run.name, done.components, done.run.status) == ("fitted", 3, "finished")
    old, new = weights(registry.find("tiny-run"), "best"), weights(done.run, "best")
    assert new.keys() - old.keys() == {"mixture.mean", "mixture.spread", "mixture.weight"}
    assert all(torch.equal(new[name], old[name]) for name in old)
    sentences = ["the cat sees it", "a dog likes people"]
    model, other = load("fitted"), load("tiny-run")
    assert (model.encode(sentences) == other.encode(sentences)).all()
    assert model.reconstruct(sentences) == other.reconstruct(sentences)
    seed = layers.load(done.run.path / "config.yaml").seed
    found = metrics.elbo(model.network, tiny_corpus.split("valid"), seed=seed)
    assert done.after == found
    assert done.before == metrics.elbo(other.network, tiny_corpus.split("valid"), seed=seed)
    assert found.distortion == done.before.distortion  # at the same codes
    assert done.run.info["fitted_prior"] == {"run": "tiny-run", "step": other.step, "seed": 0}
    assert snapshot(registry.find("tiny-run").path) == before


def test_its_line_of_metrics_is_of_the_fitted_prior(tiny_corpus: Corpus, seqvae: Seqvae) -> None:  # noqa: ARG001
    source = registry.find("tiny-run")
    best = next(line for line in source.metrics() if line["epoch"] == source.info["best_epoch"])
    done = fit_prior(far_apart(source, best["step"]), components=2, name="fitted")
    (line,) = done.run.metrics()
    assert line["neg_elbo"] == done.run.info["best_neg_elbo"] == done.after.neg_elbo
    figures = ("distortion", "rate", "mutual_information", "active_units", "elbo_ppl")
    assert [line[name] for name in figures] == [getattr(done.after, name) for name in figures]
    assert abs(line["rate"] - best["rate"]) > 0.5  # of another encoder
    assert line["train_rate"] == best["train_rate"]
    compared = json.loads(seqvae("runs", "compare", "tiny-run", "fitted", "--json").out)
    assert [run["rate"] for run in compared["runs"]] == [best["rate"], line["rate"]]
    assert f"tiny-run, step {best['step']}" in seqvae("runs", "show", "fitted").out


def test_a_damaged_corpus_is_refused(tiny_corpus: Corpus, trained_home: Path) -> None:
    before = snapshot(trained_home / "runs")
    tokens = tiny_corpus.path / "valid.tokens.bin"
    tokens.write_bytes(bytes(tokens.stat().st_size))
    with pytest.raises(DataError, match="damaged"):
        fit_prior(registry.find("tiny-run"))
    assert snapshot(trained_home / "runs") == before


def test_the_gain_is_of_the_same_codes() -> None:
    """Of N(0, 4) against N(0, 1) it is E z²/2 (1 - 1/4) - log 2, and equal priors gain nothing."""
    posteriors = DiagonalGaussian(torch.linspace(-3, 3, 500)[:, None], torch.full((500, 1), -1.0))
    wide = Mixture(DiagonalGaussian(torch.zeros(1, 1), torch.full((1, 1), math.log(4.0))), torch.zeros(1))
    narrow = StandardNormal(1)
    before, again, after = fitted_prior.log_densities([narrow, narrow, wide], posteriors, seed=0)
    assert torch.equal(before, again)
    expected = 0.375 * (posteriors.mean.square() + math.exp(-1.0))[:, 0].double() - math.log(2)
    assert float((after - before).mean()) == pytest.approx(float(expected.mean()), abs=0.03)
    torch.testing.assert_close((after - before), expected, atol=1.5, rtol=0)  # sentence by sentence


def test_of_few_sentences_the_draws_average_out() -> None:
    posteriors = DiagonalGaussian(torch.full((15, 4), 0.1), torch.full((15, 4), -0.1))
    closer = Mixture(DiagonalGaussian(torch.full((1, 4), 0.1), torch.full((1, 4), -0.1)), torch.zeros(1))
    expected = float(kl(posteriors, StandardNormal(4), posteriors.code).sum(1).mean())
    for seed in range(3):
        before, after = fitted_prior.log_densities([StandardNormal(4), closer], posteriors, seed)
        assert float((after - before).mean()) == pytest.approx(expected, abs=0.01)


def test_the_standard_error_is_that_of_a_sample() -> None:
    assert standard_error(torch.tensor([0.0, 2.0])) == pytest.approx(1)
    assert standard_error(torch.tensor([3.0])) is None


def test_of_fits_that_chance_could_order_the_first_is_chosen() -> None:
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    noise -= noise.mean()
    base = 5 * noise
    simplest = fitted_prior.simplest
    assert simplest([base, base + 0.04 * noise + 0.001, base + 0.02]) == 2  # each is better by more
    assert simplest([base, base + 0.009]) == 0
    assert simplest([base, base + noise.roll(1) + 0.02]) == 0  # within its error of 0.05
    assert simplest([base, base + noise.roll(1) + 0.2]) == 1
    assert simplest([base, base - 1]) == 0


def test_the_rate_falls_by_what_the_codes_are_from_the_prior(tiny_corpus: Corpus) -> None:
    """Codes that the KL never held: far from N(0, I), and near to a mixture."""
    run = far_apart(registry.find("tiny-run"))
    done = fit_prior(run, name="fitted")
    assert done.after.rate < done.before.rate - 0.5
    assert done.after.neg_elbo < done.before.neg_elbo - 0.5
    with torch.no_grad():
        prior = load("fitted").network.prior()
    z = metrics.posteriors(load("fitted").network, tiny_corpus.split("train")).code
    draws = prior.sample(torch.randn(5000, prior.noise_size, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(draws.mean(0), z.mean(0), atol=0.2, rtol=0.1)
    torch.testing.assert_close(draws.std(0), z.std(0), atol=0.2, rtol=0.1)


def test_the_validation_split_chooses_the_components(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a component a sentence, the codes of train are likeliest, and those of other sentences are not."""
    run = far_apart(registry.find("tiny-run"))
    network = load("tiny-run").network
    train, valid = (metrics.posteriors(network, tiny_corpus.split(name)) for name in ("train", "valid"))
    assert len(train.code) == 80
    assert isinstance(train, DiagonalGaussian)
    few, many = (mixture_fit.fit_mixture(train, number)[0] for number in (4, 80))
    for split, sign in ((train, 1), (valid, -1)):
        of_few, of_many = fitted_prior.log_densities([few, many], split, seed=0)
        assert sign * float((of_many - of_few).mean()) > 2
    monkeypatch.setattr(fitted_prior, "TRIED", (80, 4))
    assert fit_prior(run).components == 4  # 80 would have a sentence each: it is not tried
    monkeypatch.setattr(fitted_prior, "ROWS", 1)
    assert fit_prior(run).components == 4
    monkeypatch.setattr(fitted_prior, "TRIED", (80,))
    assert fit_prior(run).components == 80


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_a_learned_prior_is_replaced(tiny_corpus: Corpus, prior: str) -> None:
    run = new_run(tiny_corpus, "learned", model__prior=prior, model__components=4, train__epochs=1)
    fit(run, tiny_corpus)
    made = fit_prior(run, components=2, name="fitted").run
    assert layers.load(made.path / "config.yaml").model.components == 2
    assert {name.partition(".")[0] for name in weights(made, "best")} == {"encoder", "decoder", "mixture"}
    assert len(load("fitted").sample(3, seed=1)) == 3


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({"model__latent_size": 0}, {}, "language model"),
        ({"model__posterior": "vmf"}, {}, "sphere"),
        ({}, {"components": 81}, "81 components for 80 training sentences"),
        ({}, {"components": 0}, "0 components"),
        ({}, {"name": "tiny-run"}, "exists already"),
        ({}, {"name": "../up"}, "not a valid name"),
    ],
)
def test_what_cannot_be_fitted_is_told_and_leaves_nothing(
    tiny_corpus: Corpus, trained_home: Path, settings: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    run = registry.find("tiny-run")
    if settings:
        run = new_run(tiny_corpus, "other", train__epochs=1, **settings)
        fit(run, tiny_corpus)
    before = snapshot(trained_home / "runs")
    with pytest.raises(UsageError, match=said):
        fit_prior(run, **options)
    assert snapshot(trained_home / "runs") == before


def test_the_run_is_used_carried_and_trained_on_like_any_other(
    tiny_corpus: Corpus, seqvae: Seqvae, tmp_path: Path
) -> None:
    def call(*arguments: str) -> Answer:
        answer = seqvae(*arguments)
        assert answer.code == 0, answer.err
        return answer

    told = json.loads(call("prior", "tiny-run", "--components", "2", "--name", "fitted", "--json").out)
    assert told["components"] == 2
    assert told["gained"] == pytest.approx(told["before"]["rate"] - told["after"]["rate"], abs=0.5)
    assert told["before"]["rate"] == pytest.approx(registry.find("tiny-run").metrics()[-1]["rate"], rel=1e-3)
    call("eval", "fitted", "--samples", "3", "--diagnose")
    call("runs", "doctor")
    call("runs", "export", "fitted", str(tmp_path / "fitted.tar.gz"))
    call("runs", "import", str(tmp_path / "fitted.tar.gz"), "--name", "carried")
    assert (
        call("sample", "-n", "3", "--seed", "1", "-r", "carried").out
        == call("sample", "-n", "3", "--seed", "1", "-r", "fitted").out
    )
    refused = seqvae("train", "--resume", "fitted")
    assert refused.code == 2
    assert "seqvae train --init fitted" in refused.err
    call("train", "--init", "fitted", "--epochs", "1", "--name", "on", "-q")
    assert layers.load(registry.find("on").path / "config.yaml").model.prior == "mixture"
    step = registry.find("fitted").info["fitted_prior"]["step"]
    for name, origin, sentence in (
        ("carried", "tiny-run", "The prior was fitted after training, to the codes of"),
        ("on", "fitted", "The training began with the weights of"),
    ):
        assert f"{origin}, step {step}" in call("runs", "show", name).out
        assert f"{sentence} run `{origin}`, step {step}." in card(registry.find(name))
    assert json.loads(call("runs", "show", "on", "--json").out)["init"] == {"run": "fitted", "step": step}
    assert session.settle(corpus=tiny_corpus)[0].model.prior == "standard"


def test_a_run_in_training_is_told(seqvae: Seqvae, tiny_corpus: Corpus) -> None:  # noqa: ARG001
    run = registry.find("tiny-run")
    with run.lock():
        run.start()
        answer = seqvae("prior", "-r", "tiny-run")
    assert answer.code == 0
    assert "warning: tiny-run is in training" in answer.err
    assert registry.find("tiny-run-fitted-1").status == "finished"


def test_a_prior_that_does_not_lower_the_kl_is_warned_of(seqvae: Seqvae, tiny_corpus: Corpus) -> None:
    assert len(tiny_corpus.split("train")) == 80
    far_apart(registry.find("tiny-run"))
    first = seqvae("prior", "tiny-run", "--components", "4", "--name", "once")
    assert (first.code, "warning" in first.err) == (0, False)
    assert "fitted (4)" in first.lines[0]
    again = seqvae("prior", "once", "--components", "4", "--name", "twice")  # the same codes: the same prior
    assert again.code == 0
    assert "warning: the fitted prior does not lower the KL by more than chance: " in again.err
    assert "use once, or give another --components" in again.err
