"""Sentences in and out: streams, lists, samples and paths are the same answers, from any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli.api import Model, load
from seqvae_cli.errors import UsageError
from seqvae_cli.latent import generate
from seqvae_cli.latent.strategy import ANCESTRAL, Strategy
from seqvae_cli.latent.streams import Tally
from seqvae_cli.latent.text_model import TextModel
from seqvae_cli.system.runtime import _supports_bfloat16

SENTENCES = ["the cat sees the sea", "a dog likes it", "my sister paints a red house"]


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


def test_streams_give_what_lists_give_and_keep_empty_lines(model: Model) -> None:
    lines = [SENTENCES[0], "", *SENTENCES[1:], "a zebra"]
    whole = [line for line in lines if line]
    means, scales = model.posterior(whole)
    tally = Tally()
    found = list(model.encode_stream(lines, tally=tally))
    assert [line for line, _ in found] == lines
    assert found[1][1] is None
    codes = [code for _, code in found if code is not None]
    np.testing.assert_array_equal(np.stack([code.mean for code in codes]), means)
    np.testing.assert_array_equal(np.stack([code.scale for code in codes]), scales)
    assert (tally.names, tally.unknown, tally.empty) == ({"zebra": 1}, 1, 1)
    assert tally.words == sum(len(line.split()) for line in whole)
    made = [made.text for _, made in model.reconstruct_stream(lines) if made is not None]
    assert made == model.reconstruct(whole)
    scores = [score for _, score in model.score_stream(whole, samples=3)]
    assert scores == model.score(whole, samples=3)


def test_decoding_depends_on_the_place_of_a_code_not_on_the_batch(model: Model) -> None:
    codes = np.random.default_rng(0).standard_normal((7, model.latent_size)).astype(np.float32)
    expected = model.decode(codes, ANCESTRAL, seed=5)
    assert len(set(expected)) > 1
    rows: list[Any] = [codes[0], None, *codes[2:]]
    for batch_size in (1, 3, 7):
        found = list(model.decode_stream(rows, ANCESTRAL, seed=5, batch_size=batch_size))
        assert [made and made.text for made in found] == [expected[0], None, *expected[2:]]
    assert model.sample(codes=codes, seed=5) == expected
    assert [one.text for one in model.samples(codes=codes, seed=5, batch_size=2)] == expected
    started = model.sample(codes=codes, start="the", seed=5)
    assert all(text.split()[0] == "the" for text in started)


def test_samples_carry_tokens_code_and_log_probability(model: Model) -> None:
    found = list(model.samples(5, seed=3, batch_size=2, log_probs=True))
    assert [one.text for one in found] == model.sample(5, seed=3)
    assert [" ".join(one.tokens) for one in found] == [one.text for one in found]
    assert all(one.log_prob is not None and one.log_prob < 0 for one in found)
    assert len({one.code.tobytes() for one in found}) == 5
    # From the same codes and greedily: the likeliest word each time, so the code alone decides.
    codes = np.stack([one.code for one in found])
    assert model.sample(codes=codes, strategy=Strategy(greedy=True)) == model.decode(codes)
    assert next(iter(model.samples(1))).log_prob is None


def test_what_ends_at_max_len_is_marked_as_cut(model: Model) -> None:
    whole = list(model.samples(20, seed=1, max_len=500))
    for strategy in (ANCESTRAL, Strategy(greedy=True), Strategy(beam=2)):
        for one in model.samples(20, strategy, seed=1, max_len=6):
            assert one.cut == (len(one.tokens) == 6)
    assert [one.cut for one in model.samples(20, seed=1, max_len=6)] == [len(one.tokens) >= 6 for one in whole]
    codes = np.stack([one.code for one in whole])
    expected = [len(one.tokens) >= 6 for one in model.samples(codes=codes, seed=1, max_len=500)]
    assert [made.cut for made in model.decode_stream(codes, ANCESTRAL, seed=1, max_len=6) if made] == expected
    assert len(set(expected)) == 2
    assert all(model.interpolation(*SENTENCES[:2], steps=3, max_len=1).cut)
    assert all(made.cut for _, made in model.reconstruct_stream(SENTENCES, max_len=1) if made)


def test_codes_are_float32_whatever_the_precision(model: Model) -> None:
    whole, rough = model, TextModel("rough", model.tokenizer, model.network, torch.bfloat16)
    for one, other in zip(whole.posterior(SENTENCES), rough.posterior(SENTENCES), strict=True):
        np.testing.assert_array_equal(one, other)
    codes = [code.mean for _, code in rough.encode_stream(SENTENCES) if code is not None]
    np.testing.assert_array_equal(np.stack(codes), whole.encode(SENTENCES))
    assert not np.array_equal(np.stack(codes), torch.from_numpy(np.stack(codes)).bfloat16().float().numpy())


@pytest.mark.skipif(not _supports_bfloat16(), reason="this CPU cannot compute an LSTM in bfloat16")
def test_log_probabilities_are_float32_whatever_the_precision(model: Model) -> None:
    whole, rough = model, TextModel("rough", model.tokenizer, model.network, torch.bfloat16)
    drawn = next(iter(rough.samples(1, log_probs=True, max_len=5)))
    ids = [rough.tokenizer.ids(drawn.tokens)]
    exact = generate.log_probs(whole.network, torch.from_numpy(drawn.code[None]), ids, max_len=5)
    assert drawn.log_prob == float(exact)


def test_an_interpolation_between_draws_of_the_prior(model: Model) -> None:
    found = model.interpolation(random=True, seed=4, start="the")
    assert len(found.sentences) == len(found.positions) == 20
    assert found.positions[0] == 0
    assert found.positions[-1] == 1
    assert found.path == "linear"
    assert all(text.startswith("the") for text in found.sentences)
    assert model.interpolate(random=True, seed=4, start="the") == found.sentences
    assert model.interpolate(*SENTENCES[:2]) == model.interpolation(*SENTENCES[:2]).sentences
    for ends in ({}, {"random": True, "first": "a dog"}, {"first": "a dog"}):
        with pytest.raises(UsageError):
            model.interpolation(**ends)  # type: ignore[arg-type]


def test_unknown_words_are_never_chosen_without_unk(model: Model) -> None:
    with torch.no_grad():
        model.network.decoder.vocabulary.bias[3] = 50.0  # `<unk>` is by far the likeliest
    assert all("<unk>" in text for text in model.sample(5))
    assert not any("<unk>" in text for text in model.sample(5, Strategy(unk=False)))


CALLS: list[Callable[[Model, int], Any]] = [
    lambda model, _: model.encode(SENTENCES).tolist(),
    lambda model, seed: model.sample(6, seed=seed),
    lambda model, seed: model.sample(3, Strategy(beam=3), seed=seed),
    lambda model, seed: model.decode(np.full((4, model.latent_size), seed / 10), ANCESTRAL, seed=seed),
    lambda model, _: model.reconstruct(SENTENCES),
    lambda model, _: model.interpolate(*SENTENCES[:2], steps=4),
    lambda model, seed: model.score(SENTENCES, samples=4, seed=seed),
]


def test_several_threads_at_once_get_the_answers_of_one_after_the_other(model: Model) -> None:
    work = [(call, seed) for seed in range(4) for call in CALLS]
    state = torch.get_rng_state()
    expected = [call(model, seed) for call, seed in work]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda one: one[0](model, one[1]), work))
            assert found == expected
    assert torch.equal(torch.get_rng_state(), state), "a reading call drew from the global random stream"
