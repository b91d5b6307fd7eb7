"""Steering on toy: offsets of matched groups, and what a decoder makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seqvae_cli import api
from seqvae_cli.cli import eval_tables
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.toy import build, language
from seqvae_cli.evaluation import metrics, steering
from seqvae_cli.evaluation.encoded import Encoded
from seqvae_cli.evaluation.steering import Steered
from seqvae_cli.evaluation.subset import spread_indices
from seqvae_cli.nn.distributions import DiagonalGaussian
from tests.conftest import Stages
from tests.trainings import fit, new_run

VALUES = list(language.FACTORS.values())
STARTS = np.cumsum([0, *map(len, VALUES)])
FIRST_WORD = 4
"""The id of the first word of the vocabulary."""


@pytest.fixture
def toy(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    assert trained_home.is_dir()
    monkeypatch.setattr(build, "HELD_OUT", 60)
    return api.prepare_corpus("toy", sentences=300)


def one_hot(factors: NDArray[np.int64]) -> NDArray[np.float32]:
    """A code that names each factor: [N, F] -> [N, 18]."""
    codes = np.zeros((len(factors), STARTS[-1]), np.float32)
    for column, start in enumerate(STARTS[:-1]):
        codes[np.arange(len(factors)), start + factors[:, column]] = 1
    return codes


class Perfect:
    """A model whose code is the factors of a sentence, and whose sentence is the factors of a code."""

    def __init__(self, corpus: Corpus) -> None:
        self.tokenizer, self.decoded = corpus.tokenizer, 0
        self.known: dict[tuple[int, ...], list[int]] = {}
        for name in corpus.splits:
            labels = [corpus.labels(name)[factor].indices.tolist() for factor in language.FACTORS]
            self.known |= {
                tuple(ids.tolist()): list(row)
                for ids, row in zip(corpus.split(name), zip(*labels, strict=True), strict=True)
            }

    def posteriors(self, _: Any, split: Any, **options: Any) -> DiagonalGaussian:
        indices = [self.known[tuple(split[i].tolist())] for i in range(len(split))]
        options["watch"](int(split.lengths.sum()) + len(split))
        codes = torch.from_numpy(one_hot(np.array(indices)))
        return DiagonalGaussian(codes, torch.zeros_like(codes))

    def decode(self, _: Any, z: torch.Tensor, *__: Any, **___: Any) -> list[list[int]]:
        self.decoded += len(z)
        blocks = [z[:, start:end].argmax(1) + start for start, end in pairwise(STARTS.tolist())]
        return [[FIRST_WORD + int(i) for i in row] for row in torch.stack(blocks, 1)]

    def infer(self, words: Sequence[str]) -> dict[str, str] | None:
        indices = [i - FIRST_WORD for i in self.tokenizer.encode(" ".join(words))]
        if len(indices) != len(VALUES):
            return None
        found = zip(language.FACTORS.items(), indices, STARTS, strict=False)
        return {name: values[index - start] for (name, values), index, start in found}


def test_offsets_of_matched_groups_see_one_factor_where_factors_depend_on_each_other() -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 3, 400)
    second = np.where(random.random(400) < 0.9, first > 0, first == 0).astype(np.int64)
    effects = random.standard_normal((2, 3, 5))
    means = (effects[0, first] + effects[1, second]).astype(np.float32)
    found = steering.matched_offsets(means, np.stack([first, second], 1), 0, 3)
    for old in range(3):
        for new in range(3):
            np.testing.assert_allclose(found[old, new], effects[0, new] - effects[0, old], atol=1e-5)
    plain = means[first == 0].mean(0) - means[first == 1].mean(0)
    assert np.abs(plain - found[1, 0]).max() > 0.1, "without matching the other factor is in the offset"


def test_groups_that_never_match_are_compared_as_they_are_and_absent_ones_not_at_all() -> None:
    factors = np.array([[0, 0], [0, 0], [1, 1]])
    means = np.array([[1, 0], [3, 0], [5, 7]], np.float32)
    found = steering.matched_offsets(means, factors, 0, 3)
    assert found[0, 1].tolist() == [3, 7]
    assert found[1, 0].tolist() == [-3, -7]
    assert not found[2].any()
    assert not found[:, 2].any()


def test_a_model_that_knows_all_factors_is_steered_wholly(toy: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    network, perfect, stages = api.load("tiny-run").network, Perfect(toy), Stages()
    monkeypatch.setattr(metrics, "posteriors", perfect.posteriors)
    monkeypatch.setattr(steering.generate, "decode", perfect.decode)
    monkeypatch.setattr(language, "infer_factors", perfect.infer)
    found = steering.measure(Encoded(network, toy, stage=stages), "test")
    assert found is not None
    assert stages.done == stages.promised
    assert stages.done["steering"] == perfect.decoded == 60 + 6 * (3 * 60 + 60)
    assert (found.sentences, found.reconstructed, found.invalid) == (60, 1, 0)
    assert found.factors == dict.fromkeys(language.FACTORS, Steered(1.0, 1.0, 1.0, 0.0))
    monkeypatch.setattr(language, "infer_factors", lambda _: None)
    found = steering.measure(Encoded(network, toy), "test")
    assert found is not None
    assert (found.reconstructed, found.invalid) == (0, 1)
    assert found.factors == dict.fromkeys(language.FACTORS, Steered(1.0, 0.0, 0.0, 1.0))


def test_a_tiny_model_has_all_figures_and_they_are_shares(
    toy: Corpus, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steering, "TRIED", 20)
    fit(new_run(toy, "toy-run", train__epochs=1), toy)
    model = api.load("toy-run")
    stages = Stages()
    found = model.diagnose("test", stage=stages)
    assert stages.done == stages.promised
    encoded = {name: count for name, count in stages.done.items() if name.startswith("posteriors")}
    rows = {"test": slice(None), "train": slice(None), "valid": spread_indices(60, 20)}
    lengths = {name: toy.split(name).lengths[chosen] + 1 for name, chosen in rows.items()}
    assert encoded == {f"posteriors of {name}": each.sum() for name, each in lengths.items()}, "each sentence once"
    steered = found.steering
    assert steered is not None
    assert steered.sentences == 60
    for one in steered.factors.values():
        assert 0 <= one.kept <= one.flips <= 1 - one.invalid <= 1
        assert one.scale in steering.SCALES
    figures: Any = found.to_json()["steering"]
    assert figures["factors"]["tense"].keys() == {"scale", "flips", "kept", "invalid"}
    eval_tables.diagnosis(found, 0.0)
    assert "others kept" in capsys.readouterr().out
    for split in ("train", "valid"):
        other = steering.measure(Encoded(model.network, toy), split)
        assert other is not None
        assert other.sentences == min(len(toy.split(split)), steering.STEERED)
    # Where no grammar reads what comes out, there is nothing to say.
    monkeypatch.setattr(language, "VERSION", language.VERSION + 1)
    assert steering.measure(Encoded(model.network, toy), "test") is None
    tiny = api.load("tiny-run")
    assert steering.measure(Encoded(tiny.network, tiny_corpus), "test") is None
    assert "steering" not in tiny.diagnose("test").to_json()
