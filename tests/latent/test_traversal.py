"""Traversals: one dimension moves over the quantiles of its aggregate posterior, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.api import Model, load
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.errors import UsageError
from seqvae_cli.evaluation import dimensions, metrics
from seqvae_cli.evaluation.subset import Subset, spread_indices
from seqvae_cli.latent import traversal
from seqvae_cli.latent.strategy import ANCESTRAL, Strategy
from tests.conftest import Stages
from tests.trainings import fit, new_run

SENTENCE = "the cat sees the sea"


@pytest.fixture
def model(trained_home: Path) -> Model:
    assert trained_home.is_dir()
    return load("tiny-run")


def test_a_traversal_decodes_the_code_with_one_dimension_at_its_quantiles(model: Model) -> None:
    found = model.traverse(SENTENCE, steps=5)
    code = model.encode([SENTENCE])[0]
    np.testing.assert_array_equal(found.code, code)
    assert found.original.text == model.reconstruct([SENTENCE])[0]
    assert [one.index for one in found.dimensions] == list(found.profile.order)
    rates = [one.rate for one in found.dimensions]
    assert rates == sorted(rates, key=lambda rate: -(rate or 0))
    for one in found.dimensions:
        assert one.values == sorted(one.values)
        assert one.values == found.profile.values[one.index].tolist()
        assert one.value == code[one.index]
        codes = np.repeat(code[None], 5, 0)
        codes[:, one.index] = one.values
        assert [made.text for made in one.sentences] == model.decode(codes)


def test_a_dimension_at_the_value_of_the_code_gives_the_original(model: Model) -> None:
    code = model.encode([SENTENCE])[0]
    for index in range(4):
        (row,) = traversal.moved(code, index, code[[index]], sphere=False)
        np.testing.assert_array_equal(row, code)


def test_on_the_sphere_codes_keep_their_length_and_the_other_dimensions_their_directions() -> None:
    code = np.array([0.6, 0.0, 0.8], np.float32)
    codes = traversal.moved(code, 1, np.array([-1.5, -0.5, 0.0, 0.5], np.float32), sphere=True)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-6)
    assert codes[:, 1].tolist() == [-1, -0.5, 0, 0.5]
    np.testing.assert_allclose(codes[:, 0] * 0.8, codes[:, 2] * 0.6, atol=1e-7)


def test_the_profile_has_the_rates_and_the_quantiles_of_the_corpus(model: Model, tiny_corpus: Corpus) -> None:
    stages = Stages()
    found = dimensions.profile(model.network, tiny_corpus, 3, seed=2, stage=stages)
    assert stages.done == stages.promised
    assert (found.split, found.levels) == ("train", (0.01, 0.5, 0.99)), "valid has 10 sentences"
    elbo = metrics.elbo(model.network, tiny_corpus.split("train"), seed=2)
    assert found.rates == pytest.approx(elbo.rate_by_dimension, rel=1e-5)
    means, scales = model.posterior([tiny_corpus.tokenizer.decode(ids.tolist()) for ids in tiny_corpus.split("train")])
    deviation = np.sqrt(means.var(0) + (scales**2).mean(0))
    np.testing.assert_allclose(found.values[:, 1], means.mean(0), atol=0.6)
    reach = (found.values[:, 2] - found.values[:, 0]) / deviation
    assert (reach > 3).all(), "a normal distribution has 4.65 deviations between these quantiles"
    assert (reach < 7).all()


def test_a_code_on_the_sphere_has_no_rate_of_a_dimension(tiny_corpus: Corpus) -> None:
    run = new_run(tiny_corpus, "sphere", model__posterior="vmf", train__epochs=1)
    fit(run, tiny_corpus)
    found = load("sphere").traverse(SENTENCE, top=2, steps=3)
    assert found.profile.rates is None
    assert [one.rate for one in found.dimensions] == [None, None]
    assert len(found.dimensions[0].sentences) == 3


def test_a_subset_of_a_split_has_its_sentences_in_order(tiny_corpus: Corpus) -> None:
    split = tiny_corpus.split("train")
    some = Subset(split, spread_indices(len(split), 7))
    assert len(some) == 7
    assert some.lengths.tolist() == [len(some[i]) for i in range(7)]
    np.testing.assert_array_equal(some[0], split[0])
    assert spread_indices(10, 3).tolist() == [0, 3, 6]
    assert spread_indices(3, 10).tolist() == [0, 1, 2]
    assert spread_indices(0, 10).tolist() == []


def test_random_codes_are_draws_of_the_seed(model: Model) -> None:
    options: dict[str, Any] = {"random": True, "steps": 2, "top": 1}
    first, again, other = (model.traverse(seed=seed, **options) for seed in (1, 1, 2))
    assert first.to_json() == again.to_json()
    assert not np.array_equal(first.code, other.code)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one sentence, or random"),
        ({"sentence": SENTENCE, "random": True}, "one sentence, or random"),
        ({"sentence": SENTENCE, "dimensions": [4]}, "no dimension 4"),
        ({"sentence": SENTENCE, "dimensions": [-1]}, "no dimension -1"),
        ({"sentence": SENTENCE, "dimensions": 2}, "dimensions are 2"),
        ({"sentence": SENTENCE, "steps": 1}, "steps"),
        ({"sentence": SENTENCE, "steps": 10**6}, "steps"),
        ({"sentence": SENTENCE, "top": 0}, "top"),
        ({"sentence": " "}, "sentence is empty"),
        ({"sentence": SENTENCE, "strategy": ANCESTRAL}, "drawn"),
    ],
)
def test_what_cannot_be_traversed(model: Model, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        model.traverse(**options)


def test_a_beam_may_decode(model: Model) -> None:
    found = model.traverse(SENTENCE, dimensions=[2, 0], steps=2, strategy=Strategy(beam=2))
    assert [one.index for one in found.dimensions] == [2, 0]
    assert found.original.text == model.reconstruct([SENTENCE], Strategy(beam=2))[0]
