"""The sentence VAE: shapes, gradients, padding, and the two ways to decode, for every kind of model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import Batch, collate
from seqvae_cli.data.tokenizer import BOS, EOS, PAD, UNK
from seqvae_cli.model import Encoder, RecurrentDecoder, SentenceVAE, Terms
from seqvae_cli.nn.distributions import (
    DiagonalGaussian,
    Mixture,
    Posterior,
    StandardNormal,
    UniformOnSphere,
    VonMisesFisher,
    kl,
)
from tests.trainings import changed, copied

VOCABULARY = 13
LATENT = 3

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two encoder layers": {"encoder_layers": 2},
    "two decoder layers": {"decoder_layers": 2},
    "bidirectional": {"bidirectional": True},
    "deep and bidirectional": {"bidirectional": True, "encoder_layers": 2, "decoder_layers": 2},
    "encoder of another size": {"encoder_size": 8},
    "bidirectional encoder of another size": {"encoder_size": 4, "bidirectional": True},
    "last state": {"pooling": "last"},
    "mean of states": {"pooling": "mean"},
    "bidirectional, last state": {"bidirectional": True, "pooling": "last"},
    "bidirectional, mean of states": {"bidirectional": True, "pooling": "mean"},
    "z in the state alone": {"latent_input": False},
    "z in the inputs alone": {"latent_state": False},
    "z in the output too": {"latent_output": True},
    "z in the output alone": {"latent_state": False, "latent_input": False, "latent_output": True},
    "z nowhere": {"latent_state": False, "latent_input": False},
    "tied": {"tied": True},
    "tied through a projection": {"tied": True, "hidden_size": 7},
    "one group beside the shortlist": {"shortlist": 5},
    "two groups beside the shortlist": {"shortlist": 2},
    "tied, two groups": {"shortlist": 2, "tied": True},
    "dropout": {"dropout": 0.4},
    "locked dropout": {"dropout": 0.4, "locked_dropout": True},
    "weight drop": {"weight_drop": 0.4, "decoder_layers": 2},
    "word dropout": {"word_dropout": 0.3},
    "inputless": {"word_dropout": 1.0, "pooling": "last"},
    "vmf": {"posterior": "vmf", "concentration": 20.0},
    "vmf, concentration learned": {"posterior": "vmf", "concentration": 0.0},
    "mixture": {"prior": "mixture", "components": 4},
    "mixture on the sphere": {"posterior": "vmf", "concentration": 0.0, "prior": "mixture", "components": 4},
    "vamp": {"prior": "vamp", "components": 3},
    "vamp, last state": {"prior": "vamp", "components": 3, "pooling": "last"},
    "vamp on the sphere": {"posterior": "vmf", "concentration": 0.0, "prior": "vamp", "components": 3},
    "rotary": {"pooling": "rotary", "latent_rotary": True, "hidden_size": 6},
    "rotary alone": {"pooling": "rotary", "latent_rotary": True, "latent_state": False, "latent_input": False},
    "rotary, both directions": {"pooling": "rotary", "latent_rotary": True, "bidirectional": True},
    "gru": {"cell": "gru"},
    "gru, two layers": {"cell": "gru", "decoder_layers": 2, "encoder_layers": 2, "weight_drop": 0.4},
    "gru, both directions": {"cell": "gru", "bidirectional": True, "pooling": "last"},
    "gru, z in the inputs alone": {"cell": "gru", "latent_state": False},
    "gru, vamp": {"cell": "gru", "prior": "vamp", "components": 3},
    "everything": {
        **{"bidirectional": True, "encoder_layers": 2, "decoder_layers": 2, "tied": True, "hidden_size": 7},
        **{"dropout": 0.4, "word_dropout": 0.3, "locked_dropout": True, "weight_drop": 0.4, "latent_output": True},
        **{"pooling": "mean", "shortlist": 2, "prior": "vamp", "components": 3, "latent_rotary": True},
    },
}

every_variant = pytest.mark.parametrize("name", [*VARIANTS])


def first_of_each(*keys: str) -> Any:
    """The first variant with each combination of these settings: for what no other setting changes."""
    chosen: dict[tuple[Any, ...], str] = {}
    for name, settings in VARIANTS.items():
        chosen.setdefault(tuple(settings.get(key) for key in keys), name)
    return pytest.mark.parametrize("name", chosen.values())


def build(seed: int = 0, **settings: Any) -> SentenceVAE:
    """A small model whose weights are large enough for every input to matter."""
    torch.manual_seed(seed)
    sizes = {"embed_size": 5, "hidden_size": 5, "latent_size": LATENT, "dropout": 0.0, "tied": False}
    model = SentenceVAE(ModelSettings(**{**sizes, **settings}), VOCABULARY)
    with torch.no_grad():
        for weight in model.parameters():
            weight.uniform_(-0.7, 0.7)
    return model


def variant(name: str) -> SentenceVAE:
    return build(**VARIANTS[name])


def words(*sentences: list[int]) -> Batch:
    return collate([np.array(ids, dtype=np.int64) for ids in sentences])


def ragged() -> Batch:
    return words([4, 5, 6, 7, 8], [9], [], [10, 11, 12, UNK], [5, 5, 4])


def noise_for(count: int, seed: int = 7) -> Tensor:
    return torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))


def row(batch: Batch, i: int) -> Batch:
    """Sentence i alone, without padding."""
    return Batch(batch.ids[i : i + 1, : batch.lengths[i]], batch.lengths[i : i + 1])


def decoder_inputs(batch: Batch) -> Tensor:
    return F.pad(batch.tokens[:, :-1], (1, 0), value=BOS)


def encoder_of(model: SentenceVAE) -> Encoder:
    assert isinstance(model.encoder, Encoder)
    return model.encoder


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return {
        name: torch.zeros_like(weight) if grad is None else grad
        for name, weight, grad in zip(names, weights, found, strict=True)
    }


# --- for every kind of model


@first_of_each("posterior", "concentration", "prior", "shortlist", "cell")
def test_terms_have_their_shapes_and_are_one_a_sentence(name: str) -> None:
    model, batch = variant(name), ragged()
    terms = model(batch)
    assert isinstance(terms, Terms)
    assert terms.distortion.shape == (5,)
    gaussian, closed = model.settings.posterior == "gaussian", model.settings.prior == "standard"
    assert terms.z.shape == (5, LATENT)
    assert terms.kl.shape == (5, LATENT if gaussian and closed else 1)
    assert all(part.dtype == torch.float32 for part in (terms.distortion, terms.kl, terms.z))
    assert bool((terms.distortion > 0).all())
    if closed:  # else it is a sample, which may be below 0
        assert bool((terms.kl > 0).all())
    logits = model.decoder(model.inputs(batch), terms.z)
    assert logits.shape == (*batch.tokens.shape, VOCABULARY)
    posterior = model.encoder(batch)
    assert isinstance(posterior, DiagonalGaussian if gaussian else VonMisesFisher)
    assert posterior.mean.shape == posterior.code.shape == posterior.scale.shape == (5, LATENT)
    assert isinstance(model.prior(), Mixture if not closed else StandardNormal if gaussian else UniformOnSphere)
    if isinstance(posterior, VonMisesFisher):
        torch.testing.assert_close(posterior.direction.norm(dim=1), torch.ones(5))
        torch.testing.assert_close(terms.z.norm(dim=1), torch.ones(5))
        fixed = model.settings.concentration
        assert bool((posterior.concentration == fixed if fixed else posterior.concentration > 1).all())


@first_of_each("posterior", "concentration", "prior")
def test_the_rate_is_the_divergence_from_the_prior_of_the_model(name: str) -> None:
    model, batch, noise = variant(name).eval(), ragged(), noise_for(5)
    terms, posterior = model(batch, noise), model.encoder(batch)
    torch.testing.assert_close(terms.z, posterior.rsample(noise))
    torch.testing.assert_close(terms.kl, kl(posterior, model.prior(), terms.z))
    # On average it is log q - log p, whatever the formula.
    with torch.no_grad():
        count = 1000
        many = posterior.expand(count)
        z = many.rsample(noise_for(5 * count))
        ratios = (many.log_prob(z) - model.prior().log_prob(z)).view(5, count)
        rates = kl(many, model.prior(), z).sum(1).view(5, count).mean(1)
    error = ratios.std(1) / count**0.5
    assert bool(((ratios.mean(1) - rates).abs() < 4 * error + 1e-4).all())


@every_variant
def test_every_parameter_gets_a_gradient(name: str) -> None:
    model, batch = variant(name), ragged()
    torch.manual_seed(1)
    terms = model(batch)
    (terms.distortion + terms.kl.sum(1)).mean().backward()
    read = {*batch.tokens[batch.tokens != PAD].tolist(), BOS}
    for parameter, weight in model.named_parameters():
        assert weight.grad is not None, parameter
        assert bool(weight.grad.isfinite().all()), parameter
        assert bool(weight.grad.any()), parameter
        if parameter == "encoder.embedding.weight" and not model.settings.tied:
            moved = set(weight.grad.any(1).nonzero()[:, 0].tolist())
            assert moved <= read | {UNK}
            assert PAD not in moved
            assert read <= moved
        elif parameter == "vamp.inputs" and model.settings.pooling == "max":
            assert bool(weight.grad[:, 0].ne(0).all())  # later tokens may hold the maximum of nothing
        elif not model.settings.dropout and not model.settings.weight_drop:
            assert bool(weight.grad.ne(0).all()), parameter  # not one number of it lies idle


@pytest.mark.parametrize("name", ["rotary", "everything"])
def test_weights_survive_saving_and_loading(name: str) -> None:
    """The parts that tests/test_variants.py, which writes files, has not."""
    model, other = variant(name).eval(), build(seed=99, **VARIANTS[name]).eval()
    noise = noise_for(5)
    before = model(ragged(), noise)
    assert not torch.equal(before.distortion, other(ragged(), noise).distortion)
    other.load_state_dict({key: value.clone() for key, value in model.state_dict().items()})
    after = other(ragged(), noise)
    assert torch.equal(before.distortion, after.distortion)
    assert torch.equal(before.kl, after.kl)


@every_variant
def test_stepwise_decoding_equals_teacher_forcing(name: str) -> None:
    model = variant(name).eval()
    decoder, inputs, z = model.decoder, decoder_inputs(ragged()), noise_for(5)
    forced = decoder(inputs, z)
    order = torch.arange(5)
    state = decoder.start(z)
    moves = {1: torch.tensor([3, 1, 4, 0, 2]), 3: torch.tensor([4, 0, 0, 2]), 4: torch.tensor([2, 1])}
    for position in range(inputs.size(1)):
        if position in moves:  # rows move, are doubled and leave
            order, state = order[moves[position]], decoder.reorder(state, moves[position])
        logits, state = decoder.step(inputs[order, position], state)
        torch.testing.assert_close(logits, forced[order, position], rtol=1e-5, atol=1e-5)
    assert all(isinstance(part, Tensor) for part in (state.z, state.position, *state.hidden))


@every_variant
def test_padding_changes_neither_loss_nor_code_nor_gradient(name: str) -> None:
    """Each sentence has the terms that it has alone, so that neither its place in a batch nor the others matter."""
    model, batch, noise = variant(name).eval(), ragged(), noise_for(5)
    whole = model(batch, noise)
    expected = gradients(model, (whole.distortion + whole.kl.sum(1)).sum())
    alone = [model(row(batch, i), noise[i : i + 1]) for i in range(5)]
    for key in ("distortion", "kl", "z"):
        torch.testing.assert_close(
            getattr(whole, key), torch.cat([getattr(terms, key) for terms in alone]), rtol=1e-5, atol=1e-6
        )
    summed: Any = sum((terms.distortion + terms.kl.sum(1)).sum() for terms in alone)
    for key, gradient in gradients(model, summed).items():
        torch.testing.assert_close(gradient, expected[key], rtol=1e-4, atol=1e-5)
    # Further padding, also of what is no <pad>: nobody may look.
    torch.manual_seed(3)
    for filler in (torch.full((5, 4), PAD), torch.randint(VOCABULARY, (5, 4))):
        tokens = torch.cat([batch.tokens, filler], dim=1)
        beyond = torch.arange(tokens.size(1)) >= torch.from_numpy(batch.lengths)[:, None]
        tokens = torch.where(beyond & bool((filler != PAD).any()), torch.randint(VOCABULARY, tokens.shape), tokens)
        padded = model(Batch(tokens.numpy(), batch.lengths), noise)
        for key in ("distortion", "kl", "z"):
            torch.testing.assert_close(getattr(padded, key), getattr(whole, key), rtol=1e-5, atol=1e-6)
        for key, gradient in gradients(model, (padded.distortion + padded.kl.sum(1)).sum()).items():
            torch.testing.assert_close(gradient, expected[key], rtol=1e-4, atol=1e-5)


@first_of_each("pooling", "bidirectional")
def test_an_even_batch_gives_the_same_with_and_without_the_masks(name: str) -> None:
    """Of several sentences: one alone has no mask in the test of padding."""
    model, noise = variant(name).eval(), noise_for(3)
    batch = words([4, 5, 6], [7, 8, 9], [10, 11, 12])
    wider = Batch(np.pad(batch.ids, ((0, 0), (0, 1)), constant_values=PAD), batch.lengths)
    assert (batch.ragged, wider.ragged) == (False, True)
    quick, masked = model(batch, noise), model(wider, noise)
    torch.testing.assert_close(quick.distortion, masked.distortion)
    torch.testing.assert_close(quick.kl, masked.kl)


def lstm_by_hand(lstm: nn.LSTM, inputs: list[Tensor], h: Tensor, c: Tensor, reverse: bool = False) -> list[Tensor]:
    """One direction of the LSTM of Hochreiter & Schmidhuber as torch documents it, a step and a layer at a time."""
    assert not (reverse and lstm.num_layers > 1)
    outputs = inputs[::-1] if reverse else inputs
    for layer in range(lstm.num_layers):
        suffix = f"l{layer}" + ("_reverse" if reverse else "")
        w, u, b, d = (getattr(lstm, f"{kind}_{suffix}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        state, cell, layer_outputs = h[layer], c[layer], []
        for x in outputs:
            i, f, g, o = (w @ x + b + u @ state + d).chunk(4)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
            layer_outputs.append(state)
        outputs = layer_outputs
    return outputs


def gru_by_hand(gru: nn.GRU, inputs: list[Tensor], h: Tensor, reverse: bool = False) -> list[Tensor]:
    """One direction of the GRU of Cho et al. as torch documents it, a step and a layer at a time."""
    assert not (reverse and gru.num_layers > 1)
    outputs = inputs[::-1] if reverse else inputs
    for layer in range(gru.num_layers):
        suffix = f"l{layer}" + ("_reverse" if reverse else "")
        w, u, b, d = (getattr(gru, f"{kind}_{suffix}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        state, layer_outputs = h[layer], []
        for x in outputs:
            (r, update, new), (r_state, update_state, new_state) = (w @ x + b).chunk(3), (u @ state + d).chunk(3)
            update = (update + update_state).sigmoid()
            new = (new + (r + r_state).sigmoid() * new_state).tanh()
            state = (1 - update) * new + update * state
            layer_outputs.append(state)
        outputs = layer_outputs
    return outputs


def states_by_hand(network: nn.Module, inputs: list[Tensor], values: Tensor, reverse: bool = False) -> list[Tensor]:
    """The outputs of one direction, from the first state that `values` stand for: tanh of them, and they themselves."""
    if isinstance(network, nn.GRU):
        return gru_by_hand(network, inputs, values.tanh(), reverse)
    assert isinstance(network, nn.LSTM)
    return lstm_by_hand(network, inputs, values.tanh(), values, reverse)


def turned_by_hand(vector: Tensor, position: int) -> Tensor:
    """Pair k, dimensions k and K + k, turned by position times π (k + 1/2) / K, as complex numbers."""
    pairs = len(vector) // 2
    angles = torch.tensor([position * math.pi * (k + 0.5) / pairs for k in range(pairs)])
    numbers = torch.complex(vector[:pairs], vector[pairs : 2 * pairs]) * torch.polar(torch.ones(pairs), angles)
    return torch.cat([numbers.real, numbers.imag, vector[2 * pairs :]])


def summary_by_hand(encoder: Encoder, embedded: list[Tensor], pooling: str) -> Tensor:
    """The summary of one sentence, a row a token."""
    network = encoder.recurrent
    zeros = torch.zeros(network.num_layers, network.hidden_size)
    directions = [states_by_hand(network, embedded, zeros)]
    if network.bidirectional:
        directions.append(states_by_hand(network, embedded, zeros, reverse=True))
    if pooling == "last":
        return torch.cat([states[-1] for states in directions])
    if encoder.words is not None:
        directions[1:] = [states[::-1] for states in directions[1:]]
        joined = [torch.cat(pair) + encoder.words.weight @ x for *pair, x in zip(*directions, embedded, strict=True)]
        bound = [turned_by_hand(vector, position) for position, vector in enumerate(joined)]
        return torch.stack(bound).sum(0) / len(bound) ** 0.5
    states = [torch.stack(states) for states in directions]
    return torch.cat([one.max(0).values if pooling == "max" else one.sum(0) / len(embedded) for one in states])


def posterior_by_hand(model: SentenceVAE, embedded: list[Tensor]) -> Posterior:
    encoder = encoder_of(model)
    state = summary_by_hand(encoder, embedded, model.settings.pooling)
    mean = encoder.mean.weight @ state + encoder.mean.bias
    if model.settings.posterior == "gaussian":
        return DiagonalGaussian(mean, encoder.log_variance.weight @ state + encoder.log_variance.bias)
    concentration = torch.tensor([model.settings.concentration])
    if not model.settings.concentration:
        concentration = 1 + (1 + (encoder.concentration.weight @ state + encoder.concentration.bias).exp()).log()
    return VonMisesFisher(mean / mean.square().sum().sqrt(), concentration)


def rate_by_hand(model: SentenceVAE, q: Posterior, z: Tensor) -> Tensor:
    """The formula of the standard priors, log q(z) - log p(z) for a mixture, its components one after another."""
    if model.settings.prior == "standard":
        if isinstance(q, DiagonalGaussian):
            return ((q.mean.square() + q.log_variance.exp() - 1 - q.log_variance) / 2).sum()
        return kl(q, UniformOnSphere(LATENT), z).sum()
    parts: list[Posterior]
    if model.settings.prior == "vamp":
        parts = [posterior_by_hand(model, list(tokens)) for tokens in model.vamp.inputs]
        weights = torch.full((len(parts),), 1 / len(parts))
    else:
        weights = model.mixture.weight.exp() / model.mixture.weight.exp().sum()
        pairs = list(zip(model.mixture.mean, model.mixture.spread, strict=True))
        parts = [DiagonalGaussian(mean, spread) for mean, spread in pairs]
        if isinstance(q, VonMisesFisher):
            parts = [VonMisesFisher(m / m.square().sum().sqrt(), 1 + (1 + s.exp()).log()) for m, s in pairs]
    density = torch.stack([w * part.log_prob(z).exp() for w, part in zip(weights, parts, strict=True)]).sum()
    return q.log_prob(z) - density.log()


def log_p_by_hand(model: SentenceVAE, output: Tensor, word: int) -> Tensor:
    """log p of a word: that of its group, and that within its group."""
    vocabulary = model.decoder.vocabulary
    logits = vocabulary.weight @ output + vocabulary.bias
    listed = model.settings.shortlist
    if not 0 < listed < VOCABULARY:
        return logits.log_softmax(0)[word]
    assert vocabulary.groups is not None
    first = torch.cat([logits[:listed], vocabulary.groups.weight @ output + vocabulary.groups.bias]).log_softmax(0)
    if word < listed:
        return first[word]
    bounds = [listed * 4**i for i in range(8)]
    group = next(i for i in range(8) if word < bounds[i + 1])
    return first[listed + group] + logits[bounds[group] : bounds[group + 1]].log_softmax(0)[word - bounds[group]]


def reference_terms(model: SentenceVAE, ids: list[int], noise: Tensor) -> tuple[Tensor, Tensor]:
    """Distortion and rate of one sentence, written out: no batch, no padding, no network or loss of torch's."""
    settings, table = model.settings, encoder_of(model).embedding.weight
    sentence = [*ids, EOS]
    posterior = posterior_by_hand(model, [table[word] for word in sentence])
    z = posterior.rsample(noise)
    rate = rate_by_hand(model, posterior, z)

    decoder = model.decoder
    first = torch.zeros(settings.decoder_layers, settings.hidden_size)
    if decoder.first_cell is not None:
        first = (decoder.first_cell.weight @ z + decoder.first_cell.bias).view(settings.decoder_layers, -1)
    inputs = [table[word if settings.word_dropout < 1 else UNK if word != BOS else BOS] for word in [BOS, *ids]]
    if settings.latent_input:
        inputs = [torch.cat([x, z]) for x in inputs]
    recalled: list[Tensor] = []
    if decoder.memory is not None:
        recalled = [turned_by_hand(decoder.memory.weight @ z, -t) for t in range(len(inputs))]
        inputs = [torch.cat(pair) for pair in zip(inputs, recalled, strict=True)]
    distortion = torch.zeros(())
    outputs = states_by_hand(decoder.recurrent, inputs, first)
    for position, (output, word) in enumerate(zip(outputs, sentence, strict=True)):
        if decoder.latent_output is not None:
            output = output + decoder.latent_output.weight @ z
        if decoder.memory_output is not None:
            output = output + decoder.memory_output.weight @ recalled[position]
        if isinstance(decoder.projection, nn.Linear):
            output = decoder.projection.weight @ output + decoder.projection.bias
        distortion = distortion - log_p_by_hand(model, output, word)
    return distortion, rate


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in ("deep and bidirectional", "everything")])
def test_the_terms_are_those_of_a_reference_written_out(name: str) -> None:
    model, noise = variant(name).eval(), noise_for(5)
    batch = ragged()
    terms = model(batch, noise)
    sentences = [row(batch, i).tokens[0, :-1].tolist() for i in range(5)]
    expected = [reference_terms(model, ids, noise[i]) for i, ids in enumerate(sentences)]
    distortions = torch.stack([distortion for distortion, _ in expected])
    rates = torch.stack([rate for _, rate in expected])
    torch.testing.assert_close(terms.distortion, distortions, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms.kl.sum(1), rates, rtol=1e-5, atol=2e-5)


def test_the_negative_elbo_is_summed_over_tokens_and_averaged_over_sentences() -> None:
    from seqvae_cli.config.schema import ObjectiveSettings
    from seqvae_cli.training.objective import Objective
    from seqvae_cli.training.schedule import Clock

    model, batch, noise = build().eval(), ragged(), noise_for(5)
    objective = Objective(ObjectiveSettings(kl_schedule="none", free_bits_total=0.0))
    total = 0.0
    for i in range(5):
        distortion, rate = reference_terms(model, row(batch, i).tokens[0, :-1].tolist(), noise[i])
        total += (distortion + rate).item()
    loss = objective(model(batch, noise), Clock(1, 1))
    assert loss.total.item() == pytest.approx(total / 5, rel=1e-5)


@first_of_each("dropout", "locked_dropout", "weight_drop", "word_dropout", "posterior")
def test_evaluation_draws_nothing_but_the_noise(name: str) -> None:
    model, noise = variant(name).eval(), noise_for(5)
    torch.manual_seed(0)
    first = model(ragged(), noise)
    state = torch.get_rng_state()
    second = model(ragged(), noise)
    assert torch.equal(first.distortion, second.distortion)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(5)
    drawn = model(ragged())
    torch.manual_seed(5)
    assert torch.equal(drawn.z, model(ragged()).z)
    assert not torch.equal(drawn.z, model(ragged()).z)


# --- the latent code in the decoder


@pytest.mark.parametrize(
    "name",
    [
        *("plain", "z in the state alone", "z in the inputs alone", "z in the output alone"),
        *("two decoder layers", "two groups beside the shortlist", "rotary alone"),
    ],
)
def test_the_output_depends_on_z_at_every_position(name: str) -> None:
    decoder, inputs = variant(name).decoder, decoder_inputs(words([4, 5, 6], [4, 5, 6]))
    logits = decoder(inputs, noise_for(2))
    assert bool(((logits[0] - logits[1]).abs().amax(-1) > 1e-4).all())


def test_with_the_latent_code_switched_off_z_has_no_say() -> None:
    model, batch = variant("z nowhere"), ragged()
    inputs = decoder_inputs(batch)
    assert torch.equal(model.decoder(inputs, noise_for(5, 1)), model.decoder(inputs, noise_for(5, 2)))
    z = noise_for(5).requires_grad_()
    log_prob = model.decoder.log_prob(inputs, batch, z)
    assert torch.autograd.grad(log_prob.sum(), z, allow_unused=True)[0] is None
    gradient = torch.autograd.grad(model(batch).kl.sum(), encoder_of(model).mean.weight)[0]
    assert gradient.any()  # the rate still has one


def test_later_words_do_not_change_earlier_predictions() -> None:
    decoder, z = build(decoder_layers=2).decoder, noise_for(1)
    inputs = decoder_inputs(words([4, 5, 6, 7]))
    changed = inputs.clone()
    changed[0, 3] = 9
    before, after = decoder(inputs, z), decoder(changed, z)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "name",
    [
        *("plain", "two decoder layers", "tied through a projection", "z in the state alone", "z in the output alone"),
        *("tied, two groups", "rotary", "vmf", "mixture", "mixture on the sphere", "vamp", "vamp on the sphere"),
        *("gru", "gru, vamp"),
    ],
)
def test_the_gradient_of_the_elbo_is_the_numerical_one(name: str) -> None:
    model, batch = variant(name).double(), ragged()
    inputs = decoder_inputs(batch)
    posterior, prior = model.encoder(batch).apply(Tensor.detach), model.prior()
    z = posterior.code.clone().requires_grad_()

    def negative_elbo(z: Tensor) -> Tensor:
        rate: Tensor = posterior.log_prob(z) - prior.log_prob(z)
        distortion: Tensor = -model.decoder.log_prob(inputs, batch, z)
        return distortion + rate

    assert torch.autograd.gradcheck(negative_elbo, z)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "name",
    [
        *("plain", "last state", "mean of states", "bidirectional, mean of states", "two groups beside the shortlist"),
        *("vmf", "mixture", "vamp", "vamp, last state", "gru"),
    ],
)
def test_the_gradient_reaches_the_encoder_through_the_sample(name: str) -> None:
    """And the prior, where that is made of the encoder."""
    model, batch, noise = variant(name).double(), ragged(), noise_for(5).double()
    parameters = dict(model.named_parameters())
    reached = {"encoder.mean.bias", "encoder.log_variance.bias", f"encoder.{model.settings.cell}.bias_ih_l0"}
    reached |= {"mixture.mean", "mixture.weight", "vamp.inputs"}

    def loss(shift: Tensor) -> Tensor:
        changed = {key: weight + shift for key, weight in parameters.items() if key in reached}
        terms = torch.func.functional_call(model, changed, (batch, noise))
        total: Tensor = terms.distortion.sum() + terms.kl.sum()
        return total

    assert torch.autograd.gradcheck(loss, torch.zeros((), dtype=torch.float64, requires_grad=True))


# --- dropout


def test_word_dropout_of_one_leaves_no_word() -> None:
    model, batch, z = build(word_dropout=1.0).train(), ragged(), noise_for(5)
    inputs = model.inputs(batch)
    assert bool((inputs[:, 0] == BOS).all())
    assert bool((inputs[:, 1:] == UNK).all())
    others = Batch(np.where(batch.ids > UNK, 16 - batch.ids, batch.ids), batch.lengths)
    assert not torch.equal(batch.tokens, others.tokens)
    assert torch.equal(model.decoder(inputs, z), model.decoder(model.inputs(others), z))


def test_word_dropout_takes_its_share_of_words_and_never_bos() -> None:
    model = build(word_dropout=0.3).train()
    batch = words(*[[4] * 200] * 100)
    torch.manual_seed(0)
    inputs = model.inputs(batch)
    assert inputs.shape == batch.tokens.shape
    assert bool((inputs[:, 0] == BOS).all())
    assert set(inputs[:, 1:].flatten().tolist()) == {4, UNK}
    share = float((inputs[:, 1:] == UNK).float().mean())
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5
    assert not torch.equal(inputs, model.inputs(batch))


@pytest.mark.parametrize("word_dropout", [0.0, 0.5, 1.0])
def test_evaluation_drops_no_word(word_dropout: float) -> None:
    model, batch = build(word_dropout=word_dropout).eval(), ragged()
    assert torch.equal(model.inputs(batch), decoder_inputs(batch))
    if word_dropout == 0:
        assert torch.equal(model.train().inputs(batch), decoder_inputs(batch))


def test_an_inputless_decoder_sees_no_word_in_use_either() -> None:
    model, batch, noise = build(word_dropout=1.0).eval(), ragged(), noise_for(5)
    trained = model.train()(batch, noise).distortion
    torch.testing.assert_close(model.eval()(batch, noise).distortion, trained)
    words = decoder_inputs(batch)
    logits, state = model.decoder(words, noise), model.decoder.start(noise)
    assert torch.equal(logits, model.decoder(words.where(words == BOS, words.flip(0)), noise))
    for t in range(words.size(1)):
        step, state = model.decoder.step(words[:, t], state)
        torch.testing.assert_close(step, logits[:, t])


def test_word_dropout_spares_the_targets_and_the_encoder() -> None:
    model, batch, noise = build(word_dropout=1.0), ragged(), noise_for(5)
    before = batch.tokens.clone()
    trained, evaluated = model.train()(batch, noise), model.eval()(batch, noise)
    assert torch.equal(batch.tokens, before)
    assert torch.equal(trained.z, evaluated.z)
    unread = torch.full_like(batch.tokens, UNK)
    unread[:, 0] = BOS
    expected = -model.decoder.log_prob(unread, batch, evaluated.z)
    torch.testing.assert_close(trained.distortion, expected)


# --- tied weights


@pytest.mark.parametrize("name", ["tied", "tied through a projection", "tied, two groups", "everything"])
def test_tied_weights_stay_one_tensor(name: str) -> None:
    model = variant(name)

    def tied() -> bool:
        weights = (model.encoder.embedding.weight, model.decoder.embedding.weight, model.decoder.vocabulary.weight)
        return len({weight.data_ptr() for weight in weights}) == len({id(weight) for weight in weights}) == 1

    assert tied()
    model.load_state_dict({key: value.clone() for key, value in variant(name).state_dict().items()})
    assert tied()
    model.load_state_dict(build(seed=4, **VARIANTS[name]).state_dict())
    assert tied()
    before = model.encoder.embedding.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    terms = model(ragged())
    (terms.distortion.sum() + terms.kl.sum()).backward()
    optimizer.step()
    assert tied()
    assert not torch.equal(before, model.encoder.embedding.weight)
    assert "decoder.vocabulary.weight" not in dict(model.named_parameters())  # an optimizer sees it once
    model.to(torch.float64)
    assert tied()


def test_untied_weights_are_two_tensors_and_embeddings_always_one() -> None:
    model = build()
    assert model.decoder.vocabulary.weight.data_ptr() != model.encoder.embedding.weight.data_ptr()
    assert model.decoder.embedding is model.encoder.embedding


@pytest.mark.parametrize(("hidden_size", "projected"), [(5, False), (7, True)])
def test_only_tied_weights_of_another_width_are_projected(hidden_size: int, projected: bool) -> None:
    assert isinstance(build(tied=True, hidden_size=hidden_size).decoder.projection, nn.Linear) is projected
    assert isinstance(build(hidden_size=hidden_size).decoder.projection, nn.Identity)


# --- what it takes to train


def test_a_few_steps_learn_two_sentences_by_heart() -> None:
    model, batch = build(hidden_size=16, embed_size=8), words([4, 5, 6], [7, 8])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    torch.manual_seed(0)
    losses = []
    for _ in range(120):
        terms = model(batch)
        loss = (terms.distortion + terms.kl.sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Two sentences, equally likely: no model can do better than log 2.
    assert 0.6 < np.mean(losses[-20:]) < 1.2 < losses[0]


def test_a_reset_decoder_keeps_the_embeddings_and_what_is_tied() -> None:
    model = build(tied=True)
    before = copied(model)
    model.reset_decoder()
    new = changed(before, model)
    assert "decoder.lstm.weight_ih_l0" in new
    assert "decoder.first_cell.weight" in new
    assert not any(name.startswith("encoder.") or "embedding" in name for name in new)
    assert model.decoder.vocabulary.weight is model.encoder.embedding.weight


def test_a_seed_gives_the_same_model() -> None:
    settings = ModelSettings(embed_size=5, hidden_size=5, latent_size=3)
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(SentenceVAE(settings, VOCABULARY).state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert not torch.equal(made[0]["encoder.embedding.weight"], made[2]["encoder.embedding.weight"])


def test_the_model_knows_its_device_and_the_decoder_is_one() -> None:
    model = build()
    assert model.device == torch.device("cpu")
    assert isinstance(model.decoder, RecurrentDecoder)
    assert SentenceVAE(ModelSettings(), VOCABULARY, "meta").device.type == "meta"
