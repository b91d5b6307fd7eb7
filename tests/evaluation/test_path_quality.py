"""Paths between sentences of a split: how many they pass, how evenly they change, and whether their ends hold."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.config import layers
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation.path_quality import path_figures
from seqvae_cli.latent import generate
from seqvae_cli.latent.paths import PATHS
from seqvae_cli.latent.strategy import Strategy
from seqvae_cli.training import session
from tests.conftest import TINY, Stages


@pytest.fixture
def model(tiny_corpus: Corpus) -> Model:
    assert tiny_corpus.name == "tiny"
    return api.load("tiny-run")


@pytest.fixture
def lively(model: Model) -> Model:
    """A model to which the code matters: two short epochs have not taught it to."""
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(6)
    return model


def test_a_path_by_hand() -> None:
    path = [[4], [4], [5, 6], [5, 6, 7]]  # edits: 0, 2, 1
    still = [[4, 5]] * 4
    found = path_figures([path, still], [([4], [5, 6, 7]), ([4, 5], [9])])
    assert (found.pairs, found.steps, found.unchanged) == (2, 4, 1)
    assert found.distinct == (3 + 1) / 2
    assert found.ends == 3 / 4
    assert found.largest_jump == pytest.approx(2 / 3)  # the still one has none


def test_paths_that_never_change_have_no_jump_in_json() -> None:
    found = path_figures([[[4]] * 3, [[]] * 3], [([4], [4]), ([], [])])
    assert math.isnan(found.largest_jump)
    assert found.unchanged == 2
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == {
        "pairs": 2,
        "steps": 3,
        "distinct": 1.0,
        "ends": 1.0,
        "largest_jump": None,
        "unchanged": 2,
    }


def test_paths_lead_from_one_sentence_to_another_by_the_reconstructions(
    lively: Model, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    honest = generate.reconstruct

    def reconstruct(model: Any, sentences: Iterable[Any], strategy: Strategy, **options: Any) -> Iterator[list[int]]:
        asked.extend(ids.tolist() for ids in sentences)
        return honest(model, [np.array(ids, dtype=np.int64) for ids in asked], strategy, **options)

    monkeypatch.setattr(generate, "reconstruct", reconstruct)
    found, even = lively.path_quality(pairs=30, steps=5)
    assert (found.pairs, found.steps, len(asked)) == (30, 5, 60)
    assert found.ends == 1
    assert 1 < found.distinct <= 5
    assert 1 / 4 <= found.largest_jump <= 1
    sentences = [ids.tolist() for ids in tiny_corpus.split("test")]
    assert all(ids in sentences for ids in asked)
    assert all(first != last for first, last in zip(asked[::2], asked[1::2], strict=True))
    monkeypatch.setattr(generate, "reconstruct", lambda _, sentences, *__, **___: ([] for _ in sentences))
    expected = tuple(dataclasses.replace(figures, ends=0) for figures in (found, even))
    assert lively.path_quality(pairs=30, steps=5) == expected


def test_even_paths_jump_less(lively: Model) -> None:
    equal, even = lively.path_quality(pairs=40, steps=5)
    assert even.ends == equal.ends == 1
    assert even.unchanged <= equal.unchanged  # of more codes one may differ
    assert even.largest_jump < equal.largest_jump


def test_the_first_paths_do_not_depend_on_how_many_there_are(lively: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[list[int]]] = []
    real = generate.encode

    def encode(model: Any, sentences: Any, **options: Any) -> Any:
        asked.append([ids.tolist() for ids in sentences])
        return real(model, sentences, **options)

    monkeypatch.setattr(generate, "encode", encode)
    three, _ = (lively.path_quality(pairs=n, steps=11, seed=5) for n in (3, 4))
    first, second = asked[0], asked[2]  # the others are those of the ends' reconstructions
    assert (len(first), len(second)) == (6, 8)
    assert second[:6] == first
    assert lively.path_quality(pairs=3, steps=11, seed=6) != three


@pytest.mark.parametrize(("posterior", "name"), [("gaussian", "linear"), ("vmf", "spherical")])
def test_the_path_is_straight_or_on_the_sphere(
    lively: Model, monkeypatch: pytest.MonkeyPatch, posterior: str, name: str
) -> None:
    def stay(first: torch.Tensor, _: torch.Tensor, steps: int) -> torch.Tensor:
        return first.expand(steps, -1)

    model = lively.network.settings.model_copy(update={"posterior": posterior})
    monkeypatch.setattr(lively.network, "settings", model)
    monkeypatch.setitem(PATHS, name, stay)
    for found in lively.path_quality(pairs=4):
        assert (found.distinct, found.unchanged) == (1, 4)


def test_progress_tells_of_every_path(model: Model) -> None:
    stage = Stages()
    model.path_quality(pairs=30, stage=stage)
    assert stage.promised == stage.done == {"paths": 30}


def test_there_are_no_paths_without_codes_or_two_sentences_of_the_corpus(
    model: Model, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    (tmp_path / "other.txt").write_text("the cat sees it\na dog likes people\nthe sea\n")
    source = text_source(tmp_path / "other.txt")
    other = prepare.prepare_text(source, "other", valid_fraction=0.34, test_fraction=0.0).corpus
    model.run.info["corpus"]["folder"] = other.path.name
    with pytest.raises(DataError, match=other.hash[:12]):
        model.path_quality()
    model.run.info["corpus"]["hash"] = other.hash
    for split in ("test", "valid"):  # of no sentence, and of one
        with pytest.raises(UsageError, match=f"'{split}' of corpus other has fewer than two sentences"):
            model.path_quality(split)
    run = session.start(layers.resolve(overrides=TINY | {"model.latent_size": 0, "train.epochs": 1}), tiny_corpus)
    for _ in session.fit(run, tiny_corpus):
        pass
    with pytest.raises(UsageError, match="language model"):
        api.load(run).path_quality()
