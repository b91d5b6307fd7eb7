"""Arithmetic with codes: its identities, its streams, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqvae_cli.api import Model, load
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.windows import PAUSE
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.latent import arithmetic
from seqvae_cli.latent.strategy import ANCESTRAL, Strategy
from seqvae_cli.latent.streams import Tally
from tests.trainings import fit, new_run

SENTENCES = ["the cat sees the sea", "a dog likes it", "my sister paints a red house"]


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


def test_the_mean_code_is_the_mean_of_the_codes(model: Model) -> None:
    tally = Tally()
    found = model.mean_code([*SENTENCES, "", "a zebra"], tally=tally)
    np.testing.assert_allclose(found, model.encode([*SENTENCES, "a zebra"]).mean(0), atol=1e-6)
    assert (tally.empty, tally.unknown) == (1, 1)
    np.testing.assert_array_equal(model.mean_code(SENTENCES[:1]), model.encode(SENTENCES[:1])[0])


def test_offsets_add_up(model: Model) -> None:
    a, b, c = ([one] for one in SENTENCES)
    np.testing.assert_array_equal(model.offset(a, a), np.zeros(4))
    np.testing.assert_array_equal(model.offset(a, b), -model.offset(b, a))
    np.testing.assert_allclose(model.offset(a, b) + model.offset(b, c), model.offset(a, c), atol=1e-6)


def test_an_offset_of_nothing_gives_the_reconstruction(model: Model) -> None:
    for strategy in (Strategy(greedy=True), Strategy(beam=3)):
        expected = model.reconstruct(SENTENCES, strategy)
        assert model.shift(SENTENCES, 0 * model.offset(SENTENCES[:1], SENTENCES[1:]), strategy) == expected
        assert model.shift(SENTENCES, model.offset(SENTENCES[:1], SENTENCES[:1]), strategy) == expected


def test_a_sum_is_decoded_as_the_code_that_it_is(model: Model) -> None:
    offset = 2 * model.offset(SENTENCES[:1], SENTENCES[1:2])
    assert model.shift(SENTENCES, offset) == model.decode(model.encode(SENTENCES) + offset)
    there = model.offset(SENTENCES[1:2], SENTENCES[:1])  # B + (A - B)
    np.testing.assert_allclose(model.encode(SENTENCES[:1])[0] + there, model.encode(SENTENCES[1:2])[0], atol=1e-6)


def test_a_stream_answers_in_order_and_keeps_lines_without_words(model: Model) -> None:
    offset = model.offset(SENTENCES[:1], SENTENCES[1:2])
    lines = [SENTENCES[0], "", PAUSE, *SENTENCES[1:]]
    found = list(model.shift_stream(lines, offset))
    assert [line for line, _ in found] == [SENTENCES[0], "", *SENTENCES[1:]]
    assert [made and made.text for _, made in found] == [
        None if not line else model.shift([line], offset)[0] for line, _ in found
    ]


def test_on_the_sphere_sums_stay_on_it(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "sphere", model__posterior="vmf", train__epochs=1)
    fit(run, tiny_corpus)
    model = load("sphere")
    offset = model.offset(SENTENCES[:1], SENTENCES[1:2])
    sums = model.encode(SENTENCES) + offset
    assert model.shift(SENTENCES, offset) == model.decode(sums / np.linalg.norm(sums, axis=1, keepdims=True))
    assert model.decode(100 * sums) == model.shift(SENTENCES, offset), "a code beside the sphere is moved onto it"
    one = np.array([1, 0], np.float32)
    np.testing.assert_allclose(np.linalg.norm(arithmetic.shifted(one, one, sphere=True)), 1)
    np.testing.assert_array_equal(arithmetic.shifted(one, -one, sphere=True), [0, 0])
    np.testing.assert_array_equal(arithmetic.shifted(one, one, sphere=False), [2, 0])


def test_what_has_no_mean_and_no_sum(model: Model) -> None:
    with pytest.raises(DataError, match=r"past\.txt has no sentences"):
        model.mean_code(["", " "], source="past.txt")
    with pytest.raises(UsageError, match="several are meant"):
        model.offset(SENTENCES[0], SENTENCES[1:])
    for wrong in (np.ones(3), np.full(4, np.nan), np.ones((2, 4)), "a"):
        with pytest.raises(UsageError):
            model.shift(SENTENCES, wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="sentence is empty"):
        model.shift([""], np.zeros(4))
    with pytest.raises(UsageError, match="drawn"):
        model.shift(SENTENCES, np.zeros(4), ANCESTRAL)
