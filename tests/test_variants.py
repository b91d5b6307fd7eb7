"""Every entry of the tables of variants, alone and combined: it trains, is saved and loaded, and its bounds hold."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli import api
from seqvae_cli.config import layers
from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import collate
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.tokenizer import BOS
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import bounds, metrics
from seqvae_cli.model import DECODERS, Encoder, SentenceVAE
from seqvae_cli.nn import distributions, priors
from seqvae_cli.nn.decoding import Decoder
from seqvae_cli.nn.distributions import UniformOnSphere, VonMisesFisher, kl
from seqvae_cli.nn.pooling import POOLINGS
from seqvae_cli.nn.recurrent import CELLS
from seqvae_cli.runs import checkpoint
from seqvae_cli.runs.run import Run
from seqvae_cli.training import session
from seqvae_cli.training.events import EvalEvent
from tests import trainings
from tests.conftest import TINY, Answer, InMemory, Seqvae
from tests.faults.matrix import FULL, some
from tests.trainings import assert_same_run, fit

WORDS = 13

POSTERIOR_SETTINGS: dict[str, dict[str, Any]] = {
    "gaussian": {"posterior": "gaussian"},
    "vmf": {"posterior": "vmf", "concentration": 1.5},
    "vmf learned": {"posterior": "vmf", "concentration": 0.0},
}
PRIOR_SETTINGS: dict[str, dict[str, Any]] = {
    "standard": {"prior": "standard"},
    "mixture": {"prior": "mixture", "components": 3},
    "vamp": {"prior": "vamp", "components": 3},
}

TABLES: dict[str, dict[str, Any]] = {
    "cell": CELLS,
    "pooling": POOLINGS,
    "posterior": distributions.POSTERIORS,
    "prior": priors.PRIORS,
}
"""By the setting of the model that chooses an entry."""

each_with_some = pytest.mark.parametrize(
    ("posterior", "prior"),
    [*itertools.product(POSTERIOR_SETTINGS, PRIOR_SETTINGS)]
    if FULL
    else [*zip(POSTERIOR_SETTINGS, PRIOR_SETTINGS, strict=True)],
)
"""Each posterior with each prior in full; else each of them once."""

ENCODERS = [{"pooling": p, "bidirectional": b} for p in POOLINGS for b in (False, True)]
OUTPUTS = [{"tied": t, "shortlist": s} for t in (False, True) for s in (0, 5)]
PARTS = ("posterior", "concentration"), ("prior", "components"), ("pooling", "bidirectional"), ("tied", "shortlist")
"""The settings of a posterior, a prior, an encoder and an output."""


def combinations() -> Iterator[dict[str, Any]]:
    """Every posterior with every prior and encoder; with each output, every two of them. The smallest code, which
    differs in shapes alone, is tried with one encoder, a language model, which has no encoder, with none, and cells
    but the first with one posterior."""
    for cell, encoder in itertools.product([*CELLS][1:], ENCODERS):
        yield {"cell": cell, "latent_size": 3, "decoder_layers": 2, "weight_drop": 0.3} | encoder
    for i, (posterior, prior) in enumerate(itertools.product(POSTERIOR_SETTINGS.values(), PRIOR_SETTINGS.values())):
        for j, encoder in enumerate(ENCODERS):
            yield posterior | prior | {"latent_size": 3} | encoder | OUTPUTS[(i + j) % len(OUTPUTS)]
        smallest = 1 if posterior["posterior"] == "gaussian" else 2
        yield posterior | prior | {"latent_size": smallest} | ENCODERS[0] | OUTPUTS[i % len(OUTPUTS)]
    for output in OUTPUTS:
        yield {"latent_size": 0} | output


def build(seed: int = 0, **changed: Any) -> SentenceVAE:
    """A model whose settings were accepted, with weights so large that all of it matters."""
    sizes = {"embed_size": 5, "hidden_size": 6, "dropout": 0.0}
    overrides = {f"model.{key}": value for key, value in {**sizes, **changed}.items()}
    model = SentenceVAE(layers.resolve(overrides=overrides).model, WORDS)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7, generator=random)
    return model


class Split(InMemory):
    """Random sentences."""

    def __init__(self, count: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        super().__init__(random.integers(4, WORDS, random.integers(0, 7)) for _ in range(count))


@pytest.mark.parametrize("setting", [*TABLES])
def test_the_choices_of_a_setting_are_the_entries_of_its_table(setting: str) -> None:
    assert get_args(ModelSettings.model_fields[setting].annotation) == tuple(TABLES[setting])


def test_the_combinations_leave_out_no_entry() -> None:
    for setting, table in TABLES.items():
        default = ModelSettings.model_fields[setting].default
        assert {tried.get(setting, default) for tried in combinations()} == table.keys(), setting


def test_the_combinations_leave_out_no_pair() -> None:
    tried = [tuple(tuple(one.get(key) for key in part) for part in PARTS) for one in combinations()]
    every = [POSTERIOR_SETTINGS.values(), PRIOR_SETTINGS.values(), ENCODERS, OUTPUTS]
    for (i, first), (j, second) in itertools.combinations(enumerate(every), 2):
        pairs = {
            (tuple(a.get(key) for key in PARTS[i]), tuple(b.get(key) for key in PARTS[j]))
            for a in first
            for b in second
        }
        assert pairs <= {(one[i], one[j]) for one in tried}


BATCH = collate([np.array(ids) for ids in ([4, 5, 6, 7, 8], [9], [10, 11, 12, 3], [5, 5, 4])])


@pytest.mark.parametrize("settings", [*combinations()], ids=lambda settings: " ".join(map(str, settings.values())))
def test_every_combination_trains_and_is_kept(settings: dict[str, Any], tmp_path: Path) -> None:
    model, latent_size = build(**settings), settings["latent_size"]
    torch.manual_seed(0)
    terms = model(BATCH)
    closed = (type(model.encoder(BATCH)), type(model.prior())) in distributions.CLOSED_FORMS
    assert terms.distortion.shape == (4,)
    assert terms.z.shape == (4, latent_size)
    by_dimension = closed and isinstance(model.encoder(BATCH), distributions.DiagonalGaussian)
    assert terms.kl.shape == (4, latent_size if by_dimension else 1)
    assert all(bool(part.isfinite().all()) for part in (terms.distortion, terms.kl, terms.z))
    (terms.distortion + terms.kl.sum(1)).mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert bool(weight.grad.isfinite().all()), name
        assert bool(weight.grad.any()), name
    if settings.get("pooling", "max") == "max":  # which has no weights, so that the files of one way of pooling will do
        path = checkpoint.write(tmp_path / "best", 7, {"model": model.state_dict()})
        assert checkpoint.verify(path) == 7
        other = SentenceVAE(model.settings, WORDS)
        checkpoint.load_weights(other, path)
        noise = torch.randn(4, latent_size)
        first, second = model.eval()(BATCH, noise), other.eval()(BATCH, noise)
        assert torch.equal(first.distortion, second.distortion)
        assert torch.equal(first.kl, second.kl)


@torch.no_grad()
@pytest.mark.parametrize("cell", [*CELLS])
@pytest.mark.parametrize("kind", [*DECODERS])
def test_a_decoder_gives_a_sentence_one_probability_at_once_and_step_by_step(kind: str, cell: str) -> None:
    """The rows of the batch change their order on the way, as a beam search changes them."""
    model = build(cell=cell, decoder_layers=2, latent_size=3, latent_rotary=True, latent_output=True).eval()
    torch.manual_seed(0)
    decoder: Decoder = DECODERS[kind](model.settings, model.encoder.embedding).eval()
    z, rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    expected = decoder.log_prob(model.inputs(BATCH), BATCH, z)
    state, found = decoder.start(z), torch.zeros(4)
    for position in range(BATCH.tokens.size(1)):
        order = torch.tensor([1, 2, 3, 0])
        rows, state = rows[order], decoder.reorder(state, order)
        token = BATCH.tokens[rows, position - 1] if position else torch.full((4,), BOS)
        logits, state = decoder.step(token, state)
        log_p = logits.log_softmax(-1).gather(1, BATCH.tokens[rows, position, None])[:, 0]
        found[rows] += log_p * (position < torch.from_numpy(BATCH.lengths)[rows])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(state.z, z[rows])


@pytest.mark.parametrize("latent_size", [0, 1])
@pytest.mark.parametrize("posterior", ["vmf", "vmf learned"])
def test_a_sphere_without_room_is_refused(posterior: str, latent_size: int) -> None:
    with pytest.raises(UsageError, match="at least 2 dimensions"):
        build(latent_size=latent_size, **POSTERIOR_SETTINGS[posterior])


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_a_language_model_has_no_prior_to_learn(prior: str) -> None:
    with pytest.raises(UsageError, match=f"no {prior} prior"):
        build(latent_size=0, **PRIOR_SETTINGS[prior])


def test_a_code_that_reaches_the_decoder_nowhere_is_refused() -> None:
    nowhere = {f"model.latent_{way}": False for way in ("state", "input", "output", "rotary")}
    with pytest.raises(UsageError, match="does not reach the decoder"):
        layers.resolve(overrides=nowhere)
    for key in nowhere:
        layers.resolve(overrides=nowhere | {key: True})
    layers.resolve("lm", overrides=nowhere)


@pytest.mark.parametrize("key", ["min_rate", "target_rate"])
def test_a_rate_that_is_constant_cannot_be_held_elsewhere(key: str) -> None:
    for preset in ("lm", "vmf"):
        with pytest.raises(UsageError, match=f"objective.{key}: the rate of this model is constant"):
            layers.resolve(preset, overrides={f"objective.{key}": 5})
    layers.resolve("vmf", overrides={f"objective.{key}": 5, "model.concentration": 0})
    layers.resolve("vmf", overrides={f"objective.{key}": 5, "model.prior": "vamp"})


# --- the bounds


def evaluated(posterior: str, prior: str, latent_size: int, **changed: Any) -> SentenceVAE:
    """With wide posteriors, so that importance weights stay within bounds."""
    model = build(latent_size=latent_size, **POSTERIOR_SETTINGS[posterior], **PRIOR_SETTINGS[prior], **changed).eval()
    if isinstance(model.encoder, Encoder) and posterior == "gaussian":
        with torch.no_grad():
            model.encoder.log_variance.weight.mul_(0.2)
            model.encoder.log_variance.bias.fill_(0.7)
    return model


@each_with_some
@pytest.mark.parametrize(
    "changed",
    some([{"latent_output": True, "latent_rotary": True, "bidirectional": True, "shortlist": 5}, {}], 1),
    ids=lambda changed: "further parts" if changed else "plain",
)
def test_the_importance_weighted_bound_falls_from_the_elbo(posterior: str, prior: str, changed: dict[str, Any]) -> None:
    """One sample is the -ELBO on average; more of them lower the bound."""
    model, split = evaluated(posterior, prior, 2, **changed), Split(6)
    neg_elbo = metrics.elbo(model, split, samples=100, seed=99).neg_elbo
    found = {
        k: np.array([bounds.iw_nll(model, split, samples=k, seed=seed).mean() for seed in range(16)])
        for k in (1, 5, 40)
    }
    error = {k: float(values.std(ddof=1)) / math.sqrt(len(values)) for k, values in found.items()}
    mean = {k: float(values.mean()) for k, values in found.items()}
    assert mean[1] == pytest.approx(neg_elbo, abs=4 * error[1] + 0.1)
    assert mean[5] < neg_elbo + 4 * error[5]
    assert mean[40] < mean[5] + 4 * math.hypot(error[5], error[40])
    assert error[40] < error[1]
    assert mean[40] < neg_elbo - 0.03


@torch.no_grad()
def exact(model: SentenceVAE, ids: NDArray[np.int64]) -> tuple[float, float]:
    """-log ∫ p(x|z) p(z) dz over the plane or around the circle, where a sum is exact to many digits, and the variance
    of an importance weight p(x, z) / q(z|x) in units of p(x)."""
    if model.settings.posterior == "vmf":
        angle = torch.arange(2000, dtype=torch.float64) * (2 * math.pi / 2000)
        z, cell = torch.stack([angle.cos(), angle.sin()], 1), 2 * math.pi / 2000
    else:
        axis = torch.linspace(-10, 10, 141, dtype=torch.float64)
        z, cell = torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2
    log_prior, log_q = model.prior().log_prob(z), model.encoder(collate([ids])).apply(Tensor.double).log_prob(z)
    for log_density in (log_prior, log_q):
        assert float(log_density.exp().sum()) * cell == pytest.approx(1, abs=1e-4)  # and all of it is here
    batch = collate([ids] * len(z))
    log_p: Tensor = model.decoder.log_prob(model.inputs(batch), batch, z.float())
    log_joint = log_p.double() + log_prior
    log_px = float(log_joint.logsumexp(0)) + math.log(cell)
    second_moment = float((2 * (log_joint - log_px) - log_q).exp().sum()) * cell
    return -log_px, second_moment - 1


@each_with_some
def test_the_importance_weighted_bound_ends_at_the_exact_likelihood(posterior: str, prior: str) -> None:
    """exp(-bound) is an unbiased estimate of p(x), with an error that is known here."""
    model, split = evaluated(posterior, prior, 2), Split(4, seed=1)
    nll, variance = np.array([exact(model, ids) for ids in split.sentences]).T
    off = np.exp(nll - bounds.iw_nll(model, split, samples=4000)) - 1
    error = np.sqrt(variance / 4000)
    assert (np.abs(off) < 4 * error).all()
    assert error.max() < 0.1  # sharp enough to tell
    assert metrics.elbo(model, split, samples=200).neg_elbo > nll.mean() + 0.1  # else there was nothing to close


@pytest.mark.parametrize("shortlist", [0, 5])
def test_the_bound_of_a_language_model_is_exact(shortlist: int) -> None:
    model, split = build(latent_size=0, shortlist=shortlist).eval(), Split(8)
    value = metrics.elbo(model, split)
    for samples in (1, 6):
        bound = bounds.iw_nll(model, split, samples=samples)
        assert float(bound.mean()) == pytest.approx(value.neg_elbo, abs=1e-4)
    assert (value.rate, value.mutual_information, value.active_units, value.rate_by_dimension) == (0, 0, 0, ())


# --- real runs

TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "vmf": ("vmf", {}),
    "mixture": ("mixture", {"model.components": 5}),
    "vamp": ("vamp", {"model.components": 5}),
    "vamp on the sphere": ("vmf", {"model.concentration": 0, "model.prior": "vamp", "model.components": 5}),
    "gru": ("mixture", {"model.components": 5, "model.cell": "gru", "model.weight_drop": 0.2}),
}


def new_run(corpus: Corpus, kind: str, name: str) -> Run:
    preset, overrides = TRAINED[kind]
    return session.start(layers.resolve(preset, overrides={**TINY, **overrides}), corpus, name=name)


@pytest.mark.parametrize("kind", [*TRAINED])
def test_stopping_and_resuming_equals_never_having_stopped(tiny_corpus: Corpus, kind: str) -> None:
    quiet = new_run(tiny_corpus, kind, "quiet")
    events = [event for event in fit(quiet, tiny_corpus) if isinstance(event, EvalEvent)]
    assert len(events) == 2
    assert events[-1].distortion < events[0].distortion
    if kind == "vmf":  # the rate is a constant
        q = VonMisesFisher(torch.eye(4)[:1], torch.full((1, 1), 35.0))
        constant = float(kl(q, UniformOnSphere(4), q.direction))
        assert [event.rate for event in events] == pytest.approx([constant] * 2, abs=1e-4)
        assert [event.train_rate for event in events] == pytest.approx([constant] * 2, abs=1e-4)
    asked = itertools.count(1)
    stopped = new_run(tiny_corpus, kind, "stopped")
    fit(stopped, tiny_corpus, stop=lambda: next(asked) > 13)  # within the second epoch
    assert stopped.status != "finished"
    fit(stopped, tiny_corpus, resume=True)
    assert_same_run(quiet, stopped)


def test_a_language_model_has_no_code_and_an_exact_bound(tiny_corpus: Corpus, seqvae: Seqvae) -> None:
    run = trainings.new_run(tiny_corpus, "words", model__latent_size=0)
    assert all(event.rate == 0 for event in fit(run, tiny_corpus) if isinstance(event, EvalEvent))
    model = api.load(run)
    assert not any(name.startswith("encoder.lstm") for name, _ in model.network.named_parameters())
    figures = model.evaluate(samples=50)
    assert figures.iw_samples == 1
    assert figures.iw_nll == pytest.approx(figures.neg_elbo, abs=1e-5)
    assert (figures.rate, figures.mutual_information, figures.active_units) == (0, 0, 0)
    many = bounds.iw_nll(model.network, tiny_corpus.split("test"), samples=7)
    assert float(many.mean()) == pytest.approx(figures.iw_nll, abs=1e-5)
    assert math.isfinite(figures.iw_ppl)
    assert len(seqvae("sample", "words", "-n", "3", "--threads", "1").lines) == 3
    for arguments in (["encode", "the cat"], ["reconstruct", "the cat"], ["interpolate", "a dog", "the cat"]):
        answer = seqvae(*arguments, "-r", "words", "--threads", "1")
        assert answer.code == 2
        assert "language model" in answer.err


@pytest.mark.parametrize("kind", [*TRAINED])
def test_the_commands_work_on_every_kind(tiny_corpus: Corpus, seqvae: Seqvae, kind: str) -> None:
    run = new_run(tiny_corpus, kind, "made")
    fit(run, tiny_corpus)
    sphere = layers.load(run.path / "config.yaml").model.posterior == "vmf"

    def call(*arguments: str) -> Answer:
        answer = seqvae(*arguments, "-r", "made", "--threads", "1")
        assert answer.code == 0, answer.err
        return answer

    def sample(seed: int) -> str:
        return call("sample", "-n", "6", "--seed", str(seed)).out

    said = sample(3)
    assert len(said.splitlines()) == 6
    assert said == sample(3)
    assert said != sample(4)
    path = call("interpolate", "--random", "--steps", "5", "--json")
    assert [step["t"] for step in json.loads(path.out)["steps"]] == [0, 0.25, 0.5, 0.75, 1]
    assert json.loads(path.out)["path"] == ("spherical" if sphere else "linear")

    codes = [json.loads(line) for line in call("encode", "the cat sees it", "a dog likes people").lines]
    assert [len(code[key]) for code in codes for key in ("mean", "scale")] == [4] * 4
    assert codes[0]["mean"] != codes[1]["mean"]
    lengths = [math.hypot(*code["mean"]) for code in codes]
    assert (lengths == pytest.approx([1, 1], abs=1e-5)) is sphere
    if kind == "vmf":
        assert codes[0]["scale"] == pytest.approx([35**-0.5] * 4, rel=1e-5)

    figures = json.loads(call("eval", "--samples", "5", "--diagnose", "--json").out)
    assert figures["neg_elbo"] == pytest.approx(figures["distortion"] + figures["rate"])
    assert figures["iw_nll"] < figures["neg_elbo"] + 0.5
    assert 0 <= figures["mutual_information"] <= math.log(figures["sentences"])
    assert len(figures["diagnosis"]["rate_by_dimension"]) == 1
    assert figures["diagnosis"]["verdict"]
    if kind == "vmf":
        assert f"{figures['iw_nll']:.2f}" in call("eval", "--samples", "5", "--diagnose").out


def test_settings_without_a_cell_are_those_of_an_lstm(tmp_path: Path) -> None:
    text = layers.dump(layers.resolve("vmf"))
    assert text.count("  cell: lstm\n") == 1
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("  cell: lstm\n", ""), encoding="utf-8")
    assert layers.load(path) == layers.resolve("vmf")
