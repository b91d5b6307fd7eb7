"""Figures of samples and of paths: known values, identities, and refusals where they would mislead."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from seqvae_cli import api
from seqvae_cli.api import Model
from seqvae_cli.config import layers
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation.ngrams import KneserNey
from seqvae_cli.evaluation.samples import distinct, self_bleu
from seqvae_cli.latent import generate
from seqvae_cli.training import session
from tests.conftest import TINY, Stages

VARIED = [[4, 5, 6, 7, 8], [4, 5, 6, 9], [9, 8, 4, 5, 6, 7, 4, 5], [4, 4, 4, 5], [5], [], [10, 11, 12], [10, 11]]


@pytest.fixture
def model(tiny_corpus: Corpus) -> Model:
    assert tiny_corpus.name == "tiny"
    return api.load("tiny-run")


def say(monkeypatch: pytest.MonkeyPatch, sentences: list[list[int]]) -> None:
    """Lets every model sample these."""
    monkeypatch.setattr(
        generate, "sample", lambda _, count, *__, **___: (sentences[i % len(sentences)] for i in range(count))
    )


def test_distinct_by_hand() -> None:
    assert distinct([[4, 5, 4, 5], [5, 4], [6]]) == 2 / 4
    assert distinct([[4, 5, 4, 5], [5, 4], [6]], 1) == 3 / 7
    assert distinct([[4, 5, 6, 7]] * 10) == pytest.approx(1 / 10)
    assert math.isnan(distinct([[4], []]))


def test_self_bleu_is_what_sacrebleu_says_of_each_sentence_against_the_others() -> None:
    texts = [" ".join(map(str, words)) for words in VARIED]
    scores = [
        sacrebleu.sentence_bleu(text, texts[:i] + texts[i + 1 :], tokenize="none").score for i, text in enumerate(texts)
    ]
    assert 20 < np.mean(scores) < 80
    assert self_bleu(VARIED) == pytest.approx(np.mean(scores))
    assert self_bleu(VARIED[::-1]) == pytest.approx(np.mean(scores))


def test_self_bleu_of_repetition_and_of_strangers() -> None:
    assert self_bleu([[4, 5, 6, 7, 8]] * 3) == pytest.approx(100)
    assert self_bleu([[4, 5, 6, 7], [8, 9, 10, 11]]) == 0
    assert math.isnan(self_bleu([[4, 5]]))


def test_samples_that_are_the_real_sentences_get_their_figures(
    model: Model, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, [ids.tolist() for ids in tiny_corpus.split("test")])
    found = model.sample_quality(count=10)
    assert dataclasses.astuple(found.samples)[2:] == pytest.approx(dataclasses.astuple(found.real)[2:])
    assert found.samples.perplexity == pytest.approx(found.real.perplexity)
    assert found.samples.reverse_perplexity < found.real.reverse_perplexity  # it has learned the very sentences


def test_samples_that_are_the_training_text_cover_as_much_as_it(
    model: Model, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, [ids.tolist() for ids in tiny_corpus.split("train")])
    found = model.sample_quality(count=80)
    assert found.modelled == 80
    assert found.samples.reverse_perplexity == pytest.approx(found.real.reverse_perplexity)
    assert found.samples.perplexity < found.real.perplexity


def test_a_model_that_says_one_sentence_is_found_out(
    model: Model, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = tiny_corpus.split("train")[0].tolist()
    say(monkeypatch, [sentence])
    found = model.sample_quality(count=60)
    assert found.samples.distinct_2 == pytest.approx(1 / 10)
    assert found.samples.self_bleu == pytest.approx(100)
    assert found.samples.length == len(sentence)
    assert found.samples.perplexity < found.real.perplexity  # fluent it is
    assert found.samples.reverse_perplexity > 1.5 * found.real.reverse_perplexity


def test_figures_are_of_the_samples_that_the_seed_gives(model: Model, tiny_corpus: Corpus) -> None:
    found = model.sample_quality("valid", count=70, seed=3)
    data, size = tiny_corpus.split("valid"), len(model.tokenizer)
    max_len = 2 * int(data.lengths.max())
    texts = list(generate.sample(model.network, 70, seed=3, max_len=max_len, precision=model.precision))
    language = KneserNey.fit(tiny_corpus.split("train"), size)
    assert found.samples.perplexity == language.perplexity(texts)
    assert found.real.perplexity == pytest.approx(language.perplexity(data))
    assert found.samples.reverse_perplexity == pytest.approx(KneserNey.fit(texts, size).perplexity(data))
    assert found.samples.length == np.mean([len(words) for words in texts])
    assert (found.sampled, found.modelled, found.compared, found.bleu_sentences) == (70, 70, len(data), len(data))
    assert found.samples.distinct_2 == distinct(texts[: len(data)])
    assert found.samples.self_bleu == self_bleu(texts[: len(data)])
    assert model.sample_quality("valid", count=70, seed=3) == found
    assert model.sample_quality("valid", count=70, seed=4).samples != found.samples
    assert model.sample_quality("valid", count=200, seed=3).modelled == len(tiny_corpus.split("train")) == 80


def test_progress_tells_of_every_unit(model: Model) -> None:
    stage = Stages()
    model.sample_quality(count=20, stage=stage)
    assert stage.promised == {"samples": 20, "n-gram models": 3}
    assert stage.done == stage.promised


def test_a_language_model_has_samples(tiny_corpus: Corpus) -> None:
    run = session.start(layers.resolve(overrides=TINY | {"model.latent_size": 0, "train.epochs": 1}), tiny_corpus)
    for _ in session.fit(run, tiny_corpus):
        pass
    model = api.load(run)
    found = model.sample_quality(count=20)
    assert 1 < found.samples.perplexity < math.inf


def test_misleading_splits_are_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model of train"):
        model.sample_quality("train")
    (tmp_path / "other.txt").write_text("the cat sees it\na dog likes people\nthe sea\n")
    source = text_source(tmp_path / "other.txt")
    other = prepare.prepare_text(source, "other", valid_fraction=0.34, test_fraction=0.0).corpus
    model.run.info["corpus"]["folder"] = other.path.name
    with pytest.raises(DataError, match=other.hash[:12]):
        model.sample_quality()
    model.run.info["corpus"]["hash"] = other.hash
    with pytest.raises(UsageError, match="'test' of corpus other is empty"):
        model.sample_quality()
