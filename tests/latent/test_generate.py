"""Between text and latent: decoding, sampling, encoding."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from seqvae_cli.config.schema import ModelSettings
from seqvae_cli.data.batching import collate
from seqvae_cli.data.tokenizer import BOS, EOS, PAD, UNK
from seqvae_cli.errors import UsageError
from seqvae_cli.latent import beam, generate, stepwise
from seqvae_cli.latent.beam import beam_search
from seqvae_cli.latent.strategy import GREEDY, Strategy, _ranked
from seqvae_cli.model import SentenceVAE
from seqvae_cli.nn.decoding import DecoderState
from seqvae_cli.system.runtime import stream
from tests.faults.matrix import some

VOCABULARY = 13
LATENT = 3
LENGTH = 12
LAST = 1 - 2.0**-24
"""The largest float32 below 1."""


def build(seed: int = 0, **changed: Any) -> SentenceVAE:
    """A model that says much, and sometimes ends."""
    torch.manual_seed(seed)
    sizes = {"embed_size": 5, "hidden_size": 6, "latent_size": LATENT, "dropout": 0.0, "tied": False}
    model = SentenceVAE(ModelSettings(**{**sizes, **changed}), VOCABULARY).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.uniform_(-1, 1)
        model.decoder.vocabulary.bias[EOS] += 1.2
        model.decoder.vocabulary.bias[[PAD, BOS]] += 2  # tempting, and yet never said
    return model


@pytest.fixture(scope="module")
def model() -> SentenceVAE:
    return build()


KINDS: dict[str, dict[str, Any]] = {
    "gaussian": {"seed": 5},
    "rotary": {"seed": 5, "pooling": "rotary", "latent_rotary": True},
    "vmf": {"seed": 6, "posterior": "vmf", "concentration": 0.0},
    "mixture": {"seed": 8, "prior": "mixture", "components": 3},
    "vamp": {"seed": 9, "prior": "vamp", "components": 3},
    "mixture on the sphere": {"seed": 7, "posterior": "vmf", "prior": "mixture", "components": 3},
}
"""With seeds of models that say many things."""

every_kind = pytest.mark.parametrize("kind", [*KINDS])


def of_kind(kind: str, **changed: Any) -> SentenceVAE:
    """A model whose sentences hang on z."""
    model = build(**KINDS[kind], **changed)
    assert model.decoder.first_cell is not None
    with torch.no_grad():
        model.decoder.first_cell.weight.mul_(4)
        model.decoder.vocabulary.bias[EOS] -= 1
    return model


def codes(count: int, seed: int = 3) -> Tensor:
    return torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))


def streams_of(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [stream(seed, i) for i in range(count)]


def next_logits(model: SentenceVAE, z: Tensor, words: list[int]) -> Tensor:
    """Of the word after `words`, teacher-forced from the beginning: [V]."""
    with torch.no_grad():
        logits: Tensor = model.decoder(torch.tensor([[BOS, *words]]), z[None])[0, -1]
    logits[[PAD, BOS]] = -torch.inf
    return logits


def greedy_by_hand(model: SentenceVAE, z: Tensor, start: tuple[int, ...] = ()) -> list[list[int]]:
    """For each code [N, L]: word after word teacher-forced from the beginning, the sentence cut at its first <eos>."""
    words = torch.tensor([[BOS, *start]] * len(z))
    while words.size(1) <= LENGTH:
        with torch.no_grad():
            logits = model.decoder(words, z)[:, -1]
        logits[:, [PAD, BOS]] = -torch.inf
        words = torch.cat([words, logits.argmax(-1, keepdim=True)], 1)
    return [row[1 : row.index(EOS) if EOS in row else None] for row in words.tolist()]


def some_sentences(count: int, longest: int = 9) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(5)
    return [random.integers(UNK, VOCABULARY, random.integers(0, longest)) for _ in range(count)]


def even(count: int) -> Tensor:
    """Uniforms that fall into every interval in exact proportion to its width."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


def counts(strategy: Strategy, probabilities: list[float], draws: int = 20_000) -> list[int]:
    """How often each word is chosen from these probabilities."""
    logits = torch.tensor(probabilities).log()[None].expand(draws, -1)
    return torch.bincount(strategy.draw(logits, even(draws)), minlength=len(probabilities)).tolist()


# --- choosing a word


def test_words_are_chosen_in_proportion_to_their_probabilities() -> None:
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)) * 2
    draws = 100_000
    chosen = Strategy().draw(logits.expand(draws, -1), even(draws))
    expected = logits[0].double().softmax(0) * draws
    assert float((torch.bincount(chosen, minlength=50) - expected).abs().max()) < 1.1  # even draws: no chance in it


def test_random_draws_have_softmax_frequencies() -> None:
    probabilities = [0.4, 0.05, 0.3, 0.0, 0.25]
    uniforms = torch.from_numpy(np.random.default_rng(0).random(20_000, dtype=np.float32))
    chosen = Strategy().draw(torch.tensor(probabilities).log()[None].expand(20_000, -1), uniforms)
    found = torch.bincount(chosen, minlength=5).tolist()
    assert found[3] == 0
    chi_square = sum((n - 20_000 * p) ** 2 / (20_000 * p) for n, p in zip(found, probabilities, strict=True) if p)
    assert chi_square < 16.3  # 3 degrees of freedom: 1 in 1000


@pytest.mark.parametrize(
    "strategy",
    [Strategy(top_k=1), Strategy(top_p=1e-6), Strategy(temperature=0.001), Strategy(top_k=1, top_p=0.5)],
    ids=str,
)
def test_limits_of_every_strategy_are_greedy(strategy: Strategy) -> None:
    logits = torch.randn(200, 40, generator=torch.Generator().manual_seed(0))
    uniforms = torch.rand(200, generator=torch.Generator().manual_seed(1))
    assert torch.equal(strategy.draw(logits, uniforms), logits.argmax(-1))


def test_ties_are_broken_alike_by_greedy_and_top_1() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0, 3.0, 0.0]] * 3)
    uniforms = torch.tensor([0.0, 0.5, LAST])
    assert torch.equal(Strategy(top_k=1).draw(logits, uniforms), logits.argmax(-1))


def test_temperature_flattens_and_sharpens() -> None:
    probabilities = [0.6, 0.3, 0.1]
    for temperature in (0.5, 2.0):
        powers = [p ** (1 / temperature) for p in probabilities]
        expected = [20_000 * power / sum(powers) for power in powers]
        assert counts(Strategy(temperature=temperature), probabilities) == pytest.approx(expected, abs=1.1)
    assert counts(Strategy(temperature=1e6), [0.7, 0.2, 0.1, 0.0]) == pytest.approx([6667, 6667, 6667, 0], abs=3)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        *((1.0, [0, 1, 2, 3, 4]), (0.96, [0, 1, 2, 3, 4]), (0.93, [0, 2, 3, 4]), (0.86, [0, 2, 3, 4])),
        *((0.84, [0, 3, 4]), (0.66, [0, 3, 4]), (0.6, [3, 4]), (0.41, [3, 4]), (0.39, [3]), (0.001, [3])),
    ],
)
def test_top_p_keeps_exactly_the_nucleus(top_p: float, kept: list[int]) -> None:
    probabilities = [0.2, 0.05, 0.1, 0.4, 0.25]
    # 0.4, 0.65, 0.85, 0.95, 1: the smallest set that reaches p
    total = sum(probabilities[i] for i in kept)
    expected = [20_000 * probabilities[i] / total if i in kept else 0 for i in range(5)]
    assert counts(Strategy(top_p=top_p), probabilities) == pytest.approx(expected, abs=1.1)


@pytest.mark.parametrize(
    ("top_k", "kept"), [(1, [3]), (2, [3, 4]), (3, [0, 3, 4]), (5, None), (0, None), (10**9, None)]
)
def test_top_k_keeps_exactly_k_words(top_k: int, kept: list[int] | None) -> None:
    probabilities = [0.2, 0.05, 0.1, 0.4, 0.25]
    kept = [0, 1, 2, 3, 4] if kept is None else kept
    total = sum(probabilities[i] for i in kept)
    expected = [20_000 * probabilities[i] / total if i in kept else 0 for i in range(5)]
    assert counts(Strategy(top_k=top_k), probabilities) == pytest.approx(expected, abs=1.1)


def test_of_equal_words_top_k_keeps_the_first() -> None:
    logits = torch.randn(40, 300, generator=torch.Generator().manual_seed(0)).mul(4).round()
    expected, words = logits.sort(stable=True, dim=-1, descending=True)
    for k in (1, 7, 299, 300, 301):
        ranked, found = _ranked(logits, k)
        assert torch.equal(ranked, expected[:, :k])
        assert torch.equal(found, words[:, :k])


def test_top_p_counts_within_top_k_and_after_temperature() -> None:
    probabilities = [0.4, 0.3, 0.2, 0.1]
    # of three: 4/9, 7/9, 1
    assert counts(Strategy(top_k=3, top_p=0.75), probabilities)[2:] == [0, 0]
    assert counts(Strategy(top_k=3, top_p=0.8), probabilities)[2] > 0
    # squared: 16/30, 25/30
    assert counts(Strategy(temperature=0.5, top_p=0.8), probabilities)[2:] == [0, 0]
    assert counts(Strategy(top_p=0.8), probabilities)[2] > 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.just(-math.inf), st.floats(-200, 200, width=32)), min_size=1, max_size=12).filter(
        lambda values: max(values) > -math.inf
    ),
    st.sampled_from([0.0, 2.0**-149, 0.5, LAST]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([1.0, 0.5, 0.01]),
    st.sampled_from([0.001, 1.0, 1000.0]),
)
def test_no_uniform_chooses_an_impossible_word(
    values: list[float], uniform: float, top_k: int, top_p: float, temperature: float
) -> None:
    logits, uniforms = torch.tensor([values]), torch.tensor([uniform])
    chosen = int(Strategy(temperature=temperature, top_k=top_k, top_p=top_p).draw(logits, uniforms))
    assert 0 <= chosen < len(values)
    assert values[chosen] > -math.inf


def test_choosing_leaves_the_logits_alone() -> None:
    logits = torch.randn(3, 5)
    before = logits.clone()
    for strategy in (Strategy(temperature=0.5), Strategy(top_k=2), Strategy(top_p=0.5)):
        strategy.draw(logits, torch.rand(3))
    assert torch.equal(logits, before)


# --- decoding


@pytest.mark.parametrize("start", [(), (5,), (7, 8, UNK)])
@pytest.mark.parametrize("changed", [{}, {"decoder_layers": 2}, {"latent_state": False}, {"tied": True}], ids=str)
def test_greedy_is_the_argmax_of_teacher_forcing(changed: dict[str, Any], start: tuple[int, ...]) -> None:
    model, z = build(**changed), codes(20)
    assert generate.decode(model, z, start=start, max_len=LENGTH) == greedy_by_hand(model, z, start)


@pytest.mark.parametrize("strategy", [GREEDY, Strategy()], ids=str)
def test_a_sentence_that_ends_gives_its_row_to_the_next_code(
    model: SentenceVAE, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, start, read = codes(40), (5,), model.decoder.read
    together = generate.decode(model, z, strategy, start=start, streams=streams_of(40), max_len=LENGTH)
    rows: list[int] = []

    def watched(inputs: Tensor, state: DecoderState) -> Any:
        rows.append(len(inputs))
        return read(inputs, state)

    monkeypatch.setattr(model.decoder, "read", watched)
    monkeypatch.setattr(generate, "MOST_ROWS", 6)
    assert generate.decode(model, z, strategy, start=start, streams=streams_of(40), max_len=LENGTH) == together
    steps = [min(len(words) + 1, LENGTH) for words in together]
    assert sum(rows) == sum(steps), "a step for each word and each <eos>"
    assert max(rows) == 6
    assert rows[: sum(steps) // 6 - LENGTH] == [6] * (sum(steps) // 6 - LENGTH), "full until no code waits"
    assert len(rows) < sum(max(steps[first : first + 6]) for first in range(0, 40, 6))


@pytest.mark.parametrize("strategy", [GREEDY, Strategy(), Strategy(beam=2)], ids=str)
def test_memory_is_what_sentences_take_not_what_they_may(strategy: Strategy) -> None:
    """Room for 10^12 words would be terabytes."""
    brief = build()
    with torch.no_grad():
        brief.decoder.vocabulary.bias[EOS] += 5
    z = codes(30)
    found = generate.decode(brief, z, strategy, streams=streams_of(30), max_len=10**12)
    assert found == generate.decode(brief, z, strategy, streams=streams_of(30), max_len=1000)


def test_the_greedy_test_sees_short_and_long_sentences(model: SentenceVAE) -> None:
    lengths = Counter(len(words) for words in generate.decode(model, codes(40), max_len=LENGTH))
    assert len(lengths) > 2
    assert max(lengths) == LENGTH
    assert min(lengths) == 0


@pytest.mark.parametrize("strategy", [Strategy(top_k=1), Strategy(top_p=1e-6), Strategy(temperature=1e-6)], ids=str)
def test_limits_of_sampling_decode_greedily(model: SentenceVAE, strategy: Strategy) -> None:
    z = codes(30)
    sampled = generate.decode(model, z, strategy, streams=streams_of(30), max_len=LENGTH)
    assert sampled == generate.decode(model, z, max_len=LENGTH)


@pytest.mark.parametrize("drawn_at_once", [1, 5, 100])
@pytest.mark.parametrize("strategy", [Strategy(), Strategy(temperature=1.7, top_k=6, top_p=0.9)], ids=str)
def test_sampling_is_choosing_from_teacher_forcing(
    model: SentenceVAE, strategy: Strategy, drawn_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepwise, "DRAWN", drawn_at_once)
    z, uniforms = codes(15), stepwise.draw(streams_of(15), LENGTH)
    for i, words in enumerate(generate.decode(model, z, strategy, streams=streams_of(15), max_len=LENGTH)):
        for position, word in enumerate([*words, EOS][:LENGTH]):
            logits = next_logits(model, z[i], words[:position])[None]
            assert int(strategy.draw(logits, uniforms[i, position : position + 1])) == word


@pytest.mark.parametrize("strategy", [GREEDY, Strategy(temperature=1000.0), Strategy(top_p=0.5)], ids=str)
@pytest.mark.parametrize("max_len", [0, 1, 2, 7])
def test_sentences_hold_words_alone_and_not_too_many(model: SentenceVAE, strategy: Strategy, max_len: int) -> None:
    sentences = list(generate.sample(model, 150, strategy, max_len=max_len))
    assert len(sentences) == 150
    assert all(len(words) <= max_len for words in sentences)
    assert not {PAD, BOS, EOS} & {word for words in sentences for word in words}
    if strategy.temperature == 1000 and max_len == 7:
        assert {word for words in sentences for word in words} == set(range(UNK, VOCABULARY))
        assert any(not words for words in sentences)


@pytest.mark.parametrize("strategy", [GREEDY, Strategy()], ids=str)
def test_start_words_are_kept(model: SentenceVAE, strategy: Strategy) -> None:
    sentences = list(generate.sample(model, 50, strategy, start=[9, UNK, 4], max_len=8))
    assert all(words[:3] == [9, UNK, 4] for words in sentences)
    assert len({tuple(words) for words in sentences}) > 3
    assert all(words == [9, UNK, 4] for words in generate.sample(model, 3, strategy, start=[9, UNK, 4], max_len=3))


def test_no_codes_decode_to_no_sentences(model: SentenceVAE) -> None:
    assert generate.decode(model, codes(0), max_len=LENGTH) == []
    assert list(generate.sample(model, 0)) == []
    assert list(generate.reconstruct(model, [])) == []
    assert list(generate.encode(model, [])) == []


def test_decoding_needs_no_gradient_and_leaves_the_model_alone(model: SentenceVAE) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    z = codes(4).requires_grad_()
    assert generate.decode(model, z, max_len=3) == generate.decode(model, z.detach(), max_len=3)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


# --- sampling


@pytest.mark.parametrize(
    "wrong", [{"greedy": True, "beam": 2}, {"greedy": True, "top_k": 3}, {"beam": 2, "temperature": 0.5, "top_p": 0.9}]
)
def test_ways_to_choose_words_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    first, second, *_ = wrong
    with pytest.raises(UsageError, match=f"{first} does not go with {second}"):
        Strategy(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"temperature": 1e-38}, {"top_p": 1e-46}, {"top_k": 2.5}, {"beam": 2.0}, {"beam": -1}, {"top_p": 1.5}]
)
def test_what_is_no_strategy_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Strategy(**wrong)


@pytest.mark.parametrize("strategy", [GREEDY, Strategy(beam=2)])
def test_a_start_is_never_cut(model: SentenceVAE, strategy: Strategy) -> None:
    with pytest.raises(UsageError, match="3 start words are more than 2"):
        generate.decode(model, codes(1), strategy, start=[4, 5, 6], max_len=2)


def test_words_are_not_drawn_without_random_numbers(model: SentenceVAE) -> None:
    for strategy in (Strategy(), Strategy(temperature=0.5), Strategy(top_k=3)):
        with pytest.raises(UsageError, match="random numbers"):
            generate.decode(model, codes(2), strategy)
        with pytest.raises(UsageError, match="random numbers"):
            next(generate.reconstruct(model, some_sentences(2), strategy))


@pytest.mark.parametrize("strategy", [GREEDY, Strategy(), Strategy(temperature=0.7, top_k=5, top_p=0.9)], ids=str)
def test_a_seed_gives_the_same_sentences_at_any_batch_size(model: SentenceVAE, strategy: Strategy) -> None:
    made = [
        list(generate.sample(model, 30, strategy, seed=4, max_len=LENGTH, batch_size=batch_size))
        for batch_size in (1, 3, 16, 1000)
    ]
    assert made[0] == made[1] == made[2] == made[3]
    torch.manual_seed(99)
    np.random.default_rng(1).random()
    assert list(generate.sample(model, 30, strategy, seed=4, max_len=LENGTH)) == made[0]
    assert list(generate.sample(model, 10, strategy, seed=4, max_len=LENGTH)) == made[0][:10]  # nor on how many


def test_another_seed_gives_other_sentences(model: SentenceVAE) -> None:
    made = [list(generate.sample(model, 30, seed=seed, max_len=LENGTH)) for seed in (0, 1, 2**63 - 1)]
    assert made[0] != made[1] != made[2] != made[0]
    assert len({tuple(words) for sentences in made for words in sentences}) > 60


def test_codes_of_the_prior_are_standard_normal_and_a_stream_each(model: SentenceVAE) -> None:
    z = generate.prior_codes(model, [stream(0, i) for i in range(4000)])
    assert z.shape == (4000, LATENT)
    assert z.dtype == torch.float32
    assert float(z.mean(0).abs().max()) < 5 / 4000**0.5
    torch.testing.assert_close(torch.cov(z.T), torch.eye(LATENT), rtol=0, atol=0.1)
    assert torch.equal(z[7:9], generate.prior_codes(model, [stream(0, 7), stream(0, 8)]))
    assert not torch.equal(z[:5], generate.prior_codes(model, [stream(1, i) for i in range(5)]))


@every_kind
def test_codes_of_every_prior_are_its_draws_a_stream_each(kind: str) -> None:
    model = of_kind(kind)
    count = 1000
    z = generate.prior_codes(model, [stream(0, i) for i in range(count)])
    assert z.shape == (count, LATENT)
    assert torch.equal(z[7:9], generate.prior_codes(model, [stream(0, 7), stream(0, 8)]))
    with torch.no_grad():
        prior = model.prior()
        size = prior.noise_size
        noise = np.stack([stream(0, i).standard_normal(size, dtype=np.float32) for i in range(count)])
        torch.testing.assert_close(z.clone(), prior.sample(torch.from_numpy(noise)))
    if model.settings.posterior == "vmf":
        torch.testing.assert_close(z.norm(dim=1), torch.ones(count))


@every_kind
@pytest.mark.parametrize("shortlist", [0, 2])
def test_samples_of_every_kind_are_the_decoding_of_their_codes(kind: str, shortlist: int) -> None:
    model = of_kind(kind, shortlist=shortlist)
    batches = list(generate.sample_batches(model, 20, GREEDY, seed=3, max_len=LENGTH, batch_size=7))
    z = torch.cat([codes for codes, _ in batches])
    assert torch.equal(z, generate.prior_codes(model, [stream(3, i) for i in range(20)]))
    said = [words for _, batch in batches for words in batch]
    assert said == greedy_by_hand(model, z)
    assert len({tuple(words) for words in said}) > 1
    drawn = list(generate.sample(model, 20, seed=3, max_len=LENGTH, batch_size=7))
    assert drawn == list(generate.sample(model, 20, seed=3, max_len=LENGTH, batch_size=20))
    assert drawn != said


@pytest.mark.parametrize("shortlist", [0, 2, 5])
def test_first_words_of_samples_have_the_frequencies_of_the_model(shortlist: int) -> None:
    # p(w1) is known: z has no say
    model = build(latent_state=False, latent_input=False, shortlist=shortlist)
    expected = next_logits(model, torch.zeros(LATENT), []).double().softmax(0)
    draws = 6000
    found = Counter((words or [EOS])[0] for words in generate.sample(model, draws, max_len=1, batch_size=1000))
    possible = [word for word in range(VOCABULARY) if word not in (PAD, BOS)]
    chi_square = sum((found[w] - draws * float(expected[w])) ** 2 / (draws * float(expected[w])) for w in possible)
    assert chi_square < 29.6  # 10 degrees of freedom: 1 in 1000
    assert sum(found[w] for w in possible) == draws


# --- encoding and reconstructing


@pytest.mark.parametrize(("batch_size", "window"), some([(4, 7), (3, 8192), (1, 1), (128, 10), (7, 5)], 2))
@pytest.mark.parametrize(
    "changed",
    [{"bidirectional": b, "pooling": p} for b in (False, True) for p in ("last", "max", "mean")]
    + [{"posterior": "vmf", "concentration": 0.0}, {"posterior": "vmf", "bidirectional": True}],
    ids=lambda changed: " ".join(map(str, changed.values())),
)
def test_codes_come_in_order_and_as_if_one_at_a_time(changed: dict[str, Any], batch_size: int, window: int) -> None:
    model, sentences = build(**changed), some_sentences(41)
    found = list(generate.encode(model, iter(sentences), batch_size=batch_size, window=window))
    assert len(found) == 41
    with torch.no_grad():
        for ids, (code, scale) in zip(sentences, found, strict=True):
            posterior = model.encoder(collate([ids]))
            torch.testing.assert_close(code, posterior.code[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(scale, posterior.scale[0], rtol=1e-5, atol=1e-5)
    assert all(code.shape == scale.shape == (LATENT,) for code, scale in found)
    assert float(torch.stack([code for code, _ in found]).var(0).max()) > 1e-3
    if model.settings.posterior == "vmf":
        assert all(float(code.norm()) == pytest.approx(1, abs=1e-5) for code, _ in found)


@every_kind
@pytest.mark.parametrize("batch_size", some([4, 1, 128], 1))
def test_reconstructing_is_decoding_the_code(kind: str, batch_size: int) -> None:
    model, sentences = of_kind(kind), some_sentences(30)
    found = list(generate.reconstruct(model, iter(sentences), max_len=LENGTH, batch_size=batch_size))
    with torch.no_grad():
        z = torch.cat([model.encoder(collate([ids])).code for ids in sentences])
    assert found == greedy_by_hand(model, z)
    assert len({tuple(words) for words in found}) > 2


def test_a_learned_sentence_is_reconstructed() -> None:
    torch.manual_seed(0)
    settings_ = ModelSettings(embed_size=8, hidden_size=16, latent_size=LATENT, dropout=0.0)
    model = SentenceVAE(settings_, VOCABULARY)
    sentences = [np.array(ids) for ids in ([4, 5, 6], [7, 8], [9])]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        terms = model(collate(sentences))
        optimizer.zero_grad()
        terms.distortion.mean().backward()  # an autoencoder
        optimizer.step()
    assert list(generate.reconstruct(model.eval(), sentences)) == [ids.tolist() for ids in sentences]


@pytest.mark.parametrize(
    "strategy", [GREEDY, Strategy(), Strategy(temperature=0.5, top_k=4), Strategy(top_p=0.7)], ids=str
)
def test_without_unk_the_rest_is_chosen_from(strategy: Strategy) -> None:
    z = codes(40)
    tempted = build()
    with torch.no_grad():
        tempted.decoder.vocabulary.bias[UNK] += 3

    def decode(strategy: Strategy) -> list[list[int]]:
        return generate.decode(tempted, z, strategy, start=(5, UNK), streams=streams_of(40, seed=3), max_len=LENGTH)

    said = decode(strategy)
    assert sum(words[2:].count(UNK) for words in said) > 20
    known = decode(replace(strategy, unk=False))
    assert all(words[:2] == [5, UNK] and UNK not in words[2:] for words in known), "its start is the user's"
    with torch.no_grad():
        tempted.decoder.vocabulary.bias[UNK] = -1000.0
    assert known == decode(strategy), "as if it had no probability"


# beam search, log-probabilities


def log_p_by_hand(model: SentenceVAE, z: Tensor, words: list[int], *, ended: bool = True) -> float:
    """Word by word, under the model itself."""
    with torch.no_grad():
        log_p = model.decoder(torch.tensor([[BOS, *words]]), z[None])[0].log_softmax(-1)
    return sum(float(log_p[i, word]) for i, word in enumerate([*words, EOS] if ended else words))


def test_a_beam_of_one_is_greedy(model: SentenceVAE) -> None:
    z = codes(20)
    expected = generate.decode(model, z, max_len=LENGTH)
    assert beam_search(model, z, Strategy(beam=1), max_len=LENGTH) == expected
    assert generate.decode(model, z, Strategy(beam=1), max_len=LENGTH) == expected


@pytest.mark.parametrize("unk", [True, False])
def test_a_beam_that_prunes_nothing_finds_the_likeliest_sentence_of_all(unk: bool) -> None:
    """By log p a token, `<eos>` counted, of every sentence of one word or none, and of two, where it is cut."""
    model = build()
    with torch.no_grad():
        model.decoder.vocabulary.bias[UNK] += 0.5  # much of what is likely must not be said without it
    allowed = [word for word in range(VOCABULARY) if word not in (PAD, BOS, EOS) and (unk or word != UNK)]
    z, found = codes(60, seed=8), []
    words = torch.tensor([[BOS, word] for word in range(VOCABULARY)])
    for code in z:
        with torch.no_grad():
            log_p = model.decoder(words, code.expand(VOCABULARY, -1)).log_softmax(-1)
        first, second = log_p[0, 0].tolist(), log_p[:, 1].tolist()
        worths = {(): first[EOS]}
        for a in allowed:
            worths |= {(a,): (first[a] + second[a][EOS]) / 2} | {(a, b): (first[a] + second[a][b]) / 2 for b in allowed}
        found.append(list(max(worths, key=lambda sentence: worths[sentence])))
    assert beam_search(model, z, Strategy(beam=200, unk=unk), max_len=2) == found
    assert len(set(map(tuple, found))) > 3


@pytest.mark.parametrize("start", [(), (9,), (9, UNK, 4)])
def test_a_wider_beam_rarely_finds_less(model: SentenceVAE, start: tuple[int, ...]) -> None:
    def worth(width: int) -> list[float]:
        found = beam_search(model, z, Strategy(beam=width), start=start, max_len=LENGTH)
        assert all(tuple(words[: len(start)]) == start for words in found)
        worths = []
        for code, words in zip(z, found, strict=True):
            ended = len(words) < LENGTH
            said = log_p_by_hand(model, code, words, ended=ended) - log_p_by_hand(model, code, list(start), ended=False)
            worths.append(said / (len(words) + ended - len(start)))
        return worths

    z = codes(12)
    narrow, wide = worth(1), worth(6)
    assert sum(b >= a - 1e-6 for a, b in zip(narrow, wide, strict=True)) >= 10


def test_a_beam_does_not_depend_on_what_else_is_decoded(model: SentenceVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    z = codes(30)
    together = beam_search(model, z, Strategy(beam=4), max_len=LENGTH)
    monkeypatch.setattr(beam, "BEAM_ROWS", 4)
    assert beam_search(model, z, Strategy(beam=4), max_len=LENGTH) == together


@pytest.mark.parametrize("max_len", [1, 2, 5])
def test_a_beam_is_cut_at_max_len(model: SentenceVAE, max_len: int) -> None:
    never = build()
    with torch.no_grad():
        never.decoder.vocabulary.bias[EOS] = -1000
    assert {len(words) for words in beam_search(never, codes(5), Strategy(beam=3), max_len=max_len)} == {max_len}
    assert beam_search(model, codes(2), Strategy(beam=3), start=[9, 4, 5], max_len=2) == [[9, 4]] * 2


def test_a_beam_wider_than_the_vocabulary(model: SentenceVAE) -> None:
    found = beam_search(model, codes(3), Strategy(beam=10 * VOCABULARY), max_len=1)
    best = [
        max(
            [[], *([w] for w in range(UNK, VOCABULARY))],
            key=lambda words: log_p_by_hand(model, z, words, ended=not words),
        )
        for z in codes(3)
    ]
    assert found == best


@pytest.mark.parametrize("shortlist", [0, 2, 5])
def test_log_probs_are_those_of_the_words_and_their_end(shortlist: int) -> None:
    plain = build(shortlist=shortlist)
    with torch.no_grad():
        plain.decoder.vocabulary.bias[[PAD, BOS]] -= 1000  # so that by hand nothing need be left out
    z, sentences = codes(5), [[], [4], [9, UNK, 4], [7] * LENGTH, [5, 6]]
    found = generate.log_probs(plain, z, sentences, max_len=LENGTH)
    expected = [log_p_by_hand(plain, c, w, ended=len(w) < LENGTH) for c, w in zip(z, sentences, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_log_probs_of_many_sentences_are_made_some_at_a_time(
    model: SentenceVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, sentences = codes(30), [ids.tolist() for ids in some_sentences(30)]
    together = generate.log_probs(model, z, sentences, max_len=8)
    sizes: list[int] = []
    log_prob = model.decoder.log_prob

    def watched(inputs: Tensor, *rest: Any) -> Tensor:
        sizes.append(inputs.numel())
        return log_prob(inputs, *rest)

    monkeypatch.setattr(model.decoder, "log_prob", watched)
    monkeypatch.setattr(generate, "TOKENS_AT_ONCE", 20)
    torch.testing.assert_close(generate.log_probs(model, z, sentences, max_len=8), together)
    assert max(sizes) <= 20


def test_the_batches_of_a_sample_hold_their_codes(model: SentenceVAE) -> None:
    batches = list(generate.sample_batches(model, 10, seed=3, max_len=LENGTH, batch_size=4))
    assert [len(z) for z, _ in batches] == [4, 4, 2]
    expected = generate.prior_codes(model, (stream(3, i) for i in range(10)))
    assert torch.equal(torch.cat([z for z, _ in batches]), expected)
    assert [words for _, batch in batches for words in batch] == list(
        generate.sample(model, 10, seed=3, max_len=LENGTH)
    )
