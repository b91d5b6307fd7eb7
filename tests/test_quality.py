"""Figures of samples and of paths: known values, identities, and refusals where they would mislead."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch

from seqvae_cli import checkpoint, config, generate, prepare, train
from seqvae_cli.checkpoint import Bundle
from seqvae_cli.corpus import Corpus
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.ngrams import KneserNey
from seqvae_cli.paths import KINDS
from seqvae_cli.quality import distinct, path_figures, paths, quality, self_bleu
from seqvae_cli.sources import text_source
from tests.conftest import TINY, Stages

VARIED = [[4, 5, 6, 7, 8], [4, 5, 6, 9], [9, 8, 4, 5, 6, 7, 4, 5], [4, 4, 4, 5], [5], [], [10, 11, 12], [10, 11]]


@pytest.fixture
def bundle(tiny_corpus: Corpus) -> Bundle:
    assert tiny_corpus.name == "tiny"
    return checkpoint.load("tiny-run")


@pytest.fixture
def lively(bundle: Bundle) -> Bundle:
    """A model to which the code matters: two short epochs have not taught it to."""
    with torch.no_grad():
        for parameter in bundle.model.parameters():
            parameter.mul_(6)
    return bundle


def say(monkeypatch: pytest.MonkeyPatch, sentences: list[list[int]]) -> None:
    """Lets every model sample these."""
    monkeypatch.setattr(
        generate, "sample", lambda _, count, **__: (sentences[i % len(sentences)] for i in range(count))
    )


# text


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
    bundle: Bundle, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, [ids.tolist() for ids in tiny_corpus.split("test")])
    found = quality(bundle, tiny_corpus, count=10)
    assert dataclasses.astuple(found.samples)[2:] == pytest.approx(dataclasses.astuple(found.real)[2:])
    assert found.samples.perplexity == pytest.approx(found.real.perplexity)
    assert found.samples.reverse_perplexity < found.real.reverse_perplexity  # it has learned the very sentences


def test_samples_that_are_the_training_text_cover_as_much_as_it(
    bundle: Bundle, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, [ids.tolist() for ids in tiny_corpus.split("train")])
    found = quality(bundle, tiny_corpus, count=80)
    assert found.modelled == 80
    assert found.samples.reverse_perplexity == pytest.approx(found.real.reverse_perplexity)
    assert found.samples.perplexity < found.real.perplexity


def test_a_model_that_says_one_sentence_is_found_out(
    bundle: Bundle, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = tiny_corpus.split("train")[0].tolist()
    say(monkeypatch, [sentence])
    found = quality(bundle, tiny_corpus, count=60)
    assert found.samples.distinct_2 == pytest.approx(1 / 10)
    assert found.samples.self_bleu == pytest.approx(100)
    assert found.samples.length == len(sentence)
    assert found.samples.perplexity < found.real.perplexity  # fluent it is
    assert found.samples.reverse_perplexity > 1.5 * found.real.reverse_perplexity


def test_figures_are_of_the_samples_that_the_seed_gives(bundle: Bundle, tiny_corpus: Corpus) -> None:
    found = quality(bundle, tiny_corpus, "valid", count=70, seed=3)
    data, size = tiny_corpus.split("valid"), len(bundle.tokenizer)
    max_len = 2 * int(data.lengths.max())
    texts = list(generate.sample(bundle.model, 70, seed=3, max_len=max_len, precision=bundle.precision))
    language = KneserNey.fit(tiny_corpus.split("train"), size)
    assert found.samples.perplexity == language.perplexity(texts)
    assert found.real.perplexity == pytest.approx(language.perplexity(data))
    assert found.samples.reverse_perplexity == pytest.approx(KneserNey.fit(texts, size).perplexity(data))
    assert found.samples.length == np.mean([len(words) for words in texts])
    assert (found.sampled, found.modelled, found.compared, found.bleu_sentences) == (70, 70, len(data), len(data))
    assert found.samples.distinct_2 == distinct(texts[: len(data)])
    assert found.samples.self_bleu == self_bleu(texts[: len(data)])
    assert quality(bundle, tiny_corpus, "valid", count=70, seed=3) == found
    assert quality(bundle, tiny_corpus, "valid", count=70, seed=4).samples != found.samples
    assert quality(bundle, tiny_corpus, "valid", count=200, seed=3).modelled == len(tiny_corpus.split("train")) == 80


# paths


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
    lively: Bundle, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    honest = generate.reconstruct

    def reconstruct(model: Any, sentences: Iterable[Any], **options: Any) -> Iterator[list[int]]:
        asked.extend(ids.tolist() for ids in sentences)
        return honest(model, [np.array(ids, dtype=np.int64) for ids in asked], **options)

    monkeypatch.setattr(generate, "reconstruct", reconstruct)
    found, even = paths(lively, tiny_corpus, pairs=30, steps=5)
    assert (found.pairs, found.steps, len(asked)) == (30, 5, 60)
    assert found.ends == 1
    assert 1 < found.distinct <= 5
    assert 1 / 4 <= found.largest_jump <= 1
    sentences = [ids.tolist() for ids in tiny_corpus.split("test")]
    assert all(ids in sentences for ids in asked)
    assert all(first != last for first, last in zip(asked[::2], asked[1::2], strict=True))
    monkeypatch.setattr(generate, "reconstruct", lambda _, sentences, **__: ([] for _ in sentences))
    expected = tuple(dataclasses.replace(figures, ends=0) for figures in (found, even))
    assert paths(lively, tiny_corpus, pairs=30, steps=5) == expected


def test_even_paths_jump_less(lively: Bundle, tiny_corpus: Corpus) -> None:
    equal, even = paths(lively, tiny_corpus, pairs=40, steps=5)
    assert even.ends == equal.ends == 1
    assert even.unchanged <= equal.unchanged  # of more codes one may differ
    assert even.largest_jump < equal.largest_jump


def test_the_first_paths_do_not_depend_on_how_many_there_are(
    lively: Bundle, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[list[int]]] = []
    real = generate.encode

    def encode(model: Any, sentences: Any, **options: Any) -> Any:
        asked.append([ids.tolist() for ids in sentences])
        return real(model, sentences, **options)

    monkeypatch.setattr(generate, "encode", encode)
    three, _ = (paths(lively, tiny_corpus, pairs=n, steps=11, seed=5) for n in (3, 4))
    first, second = asked[0], asked[2]  # the others are those of the ends' reconstructions
    assert (len(first), len(second)) == (6, 8)
    assert second[:6] == first
    assert paths(lively, tiny_corpus, pairs=3, steps=11, seed=6) != three


@pytest.mark.parametrize(("posterior", "name"), [("gaussian", "linear"), ("vmf", "spherical")])
def test_the_path_is_straight_or_on_the_sphere(
    lively: Bundle, tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, posterior: str, name: str
) -> None:
    def stay(first: torch.Tensor, _: torch.Tensor, steps: int) -> torch.Tensor:
        return first.expand(steps, -1)

    model = lively.model.settings.model_copy(update={"posterior": posterior})
    monkeypatch.setattr(lively.model, "settings", model)
    monkeypatch.setitem(KINDS, name, stay)
    for found in paths(lively, tiny_corpus, pairs=4):
        assert (found.distinct, found.unchanged) == (1, 4)


# both


def test_progress_tells_of_every_unit(bundle: Bundle, tiny_corpus: Corpus) -> None:
    stage = Stages()
    quality(bundle, tiny_corpus, count=20, stage=stage)
    paths(bundle, tiny_corpus, pairs=30, stage=stage)
    assert stage.promised == {"samples": 20, "n-gram models": 3, "paths": 30}
    assert stage.done == stage.promised


def test_a_language_model_has_samples_but_no_paths(tiny_corpus: Corpus) -> None:
    run = train.start(config.resolve(overrides=TINY | {"model.latent_size": 0, "train.epochs": 1}), tiny_corpus)
    for _ in train.fit(run, tiny_corpus):
        pass
    bundle = checkpoint.load(run)
    found = quality(bundle, tiny_corpus, count=20)
    assert 1 < found.samples.perplexity < math.inf
    with pytest.raises(UsageError, match="language model"):
        paths(bundle, tiny_corpus)


def test_misleading_splits_are_refused(bundle: Bundle, tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model of train"):
        quality(bundle, tiny_corpus, "train")
    (tmp_path / "other.txt").write_text("the cat sees it\na dog likes people\nthe sea\n")
    source = text_source(tmp_path / "other.txt")
    other = prepare.prepare_text(source, "other", valid_fraction=0.34, test_fraction=0.0).corpus
    for figures in (quality, paths):
        with pytest.raises(DataError, match=other.hash[:12]):
            figures(bundle, other)
    bundle.run.info["corpus"]["hash"] = other.hash
    for figures in (quality, paths):
        with pytest.raises(UsageError, match="'test' of corpus other is empty"):
            figures(bundle, other)
    with pytest.raises(UsageError, match="one sentence"):
        paths(bundle, other, "valid")
