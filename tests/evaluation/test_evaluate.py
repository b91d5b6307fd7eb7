"""The evaluation of a trained run: complete, consistent, repeatable, and refused where it would mislead."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import math
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import torch

from seqvae_cli import __version__, api
from seqvae_cli.api import Model
from seqvae_cli.data import prepare
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.sources import text_source
from seqvae_cli.data.tokenizer import EOS, UNK
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.evaluation import bounds, metrics, path_quality
from seqvae_cli.evaluation.evaluate import Evaluation, reconstructions
from seqvae_cli.evaluation.figures import FIGURES
from seqvae_cli.latent import generate
from seqvae_cli.latent.strategy import Strategy
from tests.conftest import InMemory, Stages, tiny_text
from tests.trainings import fit, new_run

NAMES = (
    "split sentences tokens truncated neg_elbo distortion rate elbo_ppl iw_nll iw_ppl iw_samples mutual_information"
    " active_units bleu exact_match signature"
)


@pytest.fixture
def model(tiny_corpus: Corpus) -> Model:
    assert tiny_corpus.name == "tiny"
    return api.load("tiny-run")


@pytest.fixture
def result(model: Model) -> Evaluation:
    return model.evaluate(samples=40)


def other_corpus(folder: Path, text: str = "the cat sees it\na dog likes people\n") -> Corpus:
    (folder / "other.txt").write_text(text)
    return prepare.prepare_text(
        text_source(folder / "other.txt"), "other", valid_fraction=0.0, test_fraction=0.0
    ).corpus


def test_every_figure_is_finite_and_they_agree(result: Evaluation, tiny_corpus: Corpus, model: Model) -> None:
    for name, value in result.to_json().items():
        assert isinstance(value, str) or math.isfinite(float(value)), name  # type: ignore[arg-type]
    split = tiny_corpus.split("test")
    assert result.sentences == len(split) == 10
    assert result.tokens == sum(len(ids) + 1 for ids in split)
    assert result.truncated == 0
    assert result.neg_elbo == result.distortion + result.rate
    assert result.rate >= 0
    assert result.distortion > 0
    assert result.iw_nll <= result.neg_elbo + 0.1
    assert result.iw_ppl == pytest.approx(math.exp(result.iw_nll * result.sentences / result.tokens))
    assert result.elbo_ppl == pytest.approx(math.exp(result.neg_elbo * result.sentences / result.tokens))
    assert 1 < result.iw_ppl < 2 * len(model.tokenizer)  # hardly trained
    assert result.mutual_information <= math.log(result.sentences)
    assert 0 <= result.active_units <= 4
    assert 0 <= result.bleu <= 100
    assert 0 <= result.exact_match <= 1
    assert (result.exact_match * result.sentences).is_integer()
    assert result.iw_samples == 40


def test_json_has_the_names_of_the_design_in_their_order(result: Evaluation) -> None:
    head, of_source = ["split", "sentences", "tokens", "truncated"], ("entropy", "excess")
    known = [key for key in FIGURES if key not in of_source]
    assert list(result.to_json()) == [*head, *known, "signature"]
    assert [name for name in result.to_json() if name in NAMES.split()] == NAMES.split()
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
    assert result.entropy is result.excess is None
    toy = dataclasses.replace(result, figures={**result.figures, "entropy": 0.0, "excess": 0.0})
    assert toy.to_json()["entropy"] == toy.to_json()["excess"] == 0.0
    assert list(toy.to_json()) == [*head, *FIGURES, "signature"]
    overflowed = dataclasses.replace(result, figures={**result.figures, "iw_ppl": math.inf})
    assert overflowed.to_json()["iw_ppl"] is None


def test_every_figure_is_an_attribute_and_nothing_else_is(result: Evaluation) -> None:
    assert {key: getattr(result, key) for key in result.figures} == result.figures
    assert copy.deepcopy(result) == pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(AttributeError, match="iw_pl"):
        _ = result.iw_pl


def test_the_same_seed_gives_the_very_same_figures(result: Evaluation, model: Model) -> None:
    assert model.evaluate(samples=40) == result
    assert api.load("tiny-run").evaluate(samples=40) == result
    other = model.evaluate(samples=40, seed=1)
    assert other.distortion != result.distortion
    assert other.iw_nll != result.iw_nll
    assert (other.rate, other.bleu, other.exact_match) == (result.rate, result.bleu, result.exact_match)
    assert other.signature != result.signature


def test_the_signature_names_everything_that_the_figures_depend_on(model: Model, tiny_corpus: Corpus) -> None:
    result = model.evaluate("valid", samples=3, elbo_samples=2, seed=7)
    parts = dict(part.split(":", 1) for part in result.signature.split("|"))
    assert parts == {
        "data": f"tiny@{tiny_corpus.hash[:12]}",
        "split": f"valid@{tiny_corpus.split('valid').hash[:12]}",
        "run": f"tiny-run@{model.step}",
        "K": "3",
        "elbo_samples": "2",
        "seed": "7",
        "tok": tiny_corpus.tokenizer.kind,
        "precision": "float32" if "float32" in result.signature else "bfloat16",
        "version": __version__,
    }
    assert result.split == "valid"


def test_figures_are_those_of_metrics_and_free_decoding(model: Model, tiny_corpus: Corpus) -> None:
    result = model.evaluate("valid", samples=5, elbo_samples=3, seed=2)
    split, tokenizer = tiny_corpus.split("valid"), model.tokenizer
    assert "float32" in result.signature
    assert result.neg_elbo == metrics.elbo(model.network, split, seed=2, samples=3).neg_elbo
    assert result.iw_nll == bounds.iw_nll(model.network, split, seed=2, samples=5).mean()
    longest = int(split.lengths.max())
    outputs = list(generate.reconstruct(model.network, split, max_len=2 * longest))
    exact = [words == ids.tolist() for words, ids in zip(outputs, split, strict=True)]
    assert result.exact_match == np.mean(exact)
    assert result.bleu == metrics.bleu(outputs, [ids.tolist() for ids in split])
    sentences = [" ".join(tokenizer.tokens(ids)) for ids in split]
    decoded = [" ".join(tokenizer.tokens(words)) for words in outputs]
    assert result.bleu == sacrebleu.corpus_bleu(decoded, [sentences], tokenize="none", force=True).score


def test_a_lost_space_of_characters_is_no_exact_reconstruction(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not home.exists()
    text = io.BytesIO("\n".join(tiny_text()).encode())
    corpus = prepare.prepare(text, name="letters", tokenizer="char").corpus
    run = new_run(corpus, "letters", train__epochs=1)
    fit(run, corpus)
    space = corpus.tokenizer.words.index(" ")

    def spaceless(_: object, sentences: Iterable[np.ndarray], *__: object, **___: object) -> Iterator[list[int]]:
        return ([index for index in ids.tolist() if index != space] for ids in sentences)

    monkeypatch.setattr(generate, "reconstruct", spaceless)
    result = api.load("letters").evaluate(samples=1)
    assert (result.exact_match, result.bleu) == (0, 0), "BLEU is of words, and none is left"


def test_one_long_sentence_does_not_let_the_others_run_on(model: Model) -> None:
    """Of a model that never ends a sentence."""
    with torch.no_grad():
        model.network.decoder.vocabulary.bias[EOS] = -1000
    sentences = [np.array([4, 5, 6])] * 60 + [np.array([7] * 150)] + [np.array([5, 4])] * 60
    split = InMemory(sentences)
    steps, step = 0, model.network.decoder.likeliest

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(*arguments)

    model.network.decoder.likeliest = counted
    heard: list[int] = []
    found = reconstructions(model.network, split, watch=heard.append)
    assert [len(words) for words in found] == [200] * 60 + [300] + [200] * 60
    assert found[1:60] == [found[0]] * 59
    assert sum(heard) == sum(len(ids) + 1 for ids in sentences)
    heard.clear()
    steps = 0
    reconstructions(model.network, InMemory(sentences * 2), watch=heard.append)
    assert steps == 200 + 300, "two batches, the long sentences in the last"


def test_a_model_that_gives_everything_back_reconstructs_exactly(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "reconstruct", lambda _, sentences, *__, **___: (ids.tolist() for ids in sentences))
    result = model.evaluate(samples=1)
    assert result.exact_match == 1
    assert result.bleu == pytest.approx(100)
    monkeypatch.setattr(generate, "reconstruct", lambda _, sentences, *__, **___: ([] for _ in sentences))
    result = model.evaluate(samples=1)
    assert (result.exact_match, result.bleu) == (0, 0)


def test_progress_tells_of_every_unit(model: Model) -> None:
    stage = Stages()
    model.evaluate(samples=7, stage=stage)
    assert len(stage.promised) == 3
    assert stage.done == stage.promised


def test_another_corpus_is_refused_with_both_hashes(model: Model, tmp_path: Path) -> None:
    other = other_corpus(tmp_path)
    model.run.info["corpus"]["folder"] = other.path.name
    with pytest.raises(DataError) as caught:
        model.evaluate()
    assert caught.value.exit_code == 4
    assert other.hash[:12] in caught.value.message
    assert model.run.info["corpus"]["hash"][:12] in caught.value.message


def test_a_corpus_whose_words_were_changed_in_place_is_refused(model: Model, tiny_corpus: Corpus) -> None:
    path = tiny_corpus.path / "test.tokens.bin"
    data = bytearray(path.read_bytes())
    data[0] = 4 + (data[0] == 4)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"test\.tokens\.bin"):
        model.evaluate(samples=1)


def test_an_unknown_split_is_wrong_usage_and_the_splits_are_named(model: Model) -> None:
    with pytest.raises(UsageError) as caught:
        model.evaluate("dev")
    assert "dev" in caught.value.message
    assert "train, valid, test" in caught.value.hint


def test_an_empty_split_is_wrong_usage(model: Model, tmp_path: Path) -> None:
    other = other_corpus(tmp_path)
    model.run.info["corpus"] |= {"folder": other.path.name, "hash": other.hash}
    with pytest.raises(UsageError, match=r"'test' of corpus other is empty"):
        model.evaluate()


def test_a_model_that_does_not_choose_unk_is_not_evaluated_with_it(
    tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reconstructions, samples and paths are those that `reconstruct`, `sample` and `interpolate` print."""
    model = api.load("tiny-run")
    with torch.no_grad():
        model.network.decoder.vocabulary.bias[UNK] = 50.0
    model.unk = True
    assert model.evaluate("valid", samples=1).bleu == 0
    assert model.sample_quality("valid", count=8).samples.distinct_2 < 0.1
    ends = path_quality.paths(model.network, tiny_corpus, "valid", pairs=4)[0]
    assert (ends.distinct, ends.unchanged) == (1, 4)
    model.unk = False
    split = tiny_corpus.split("valid")
    max_len = 2 * int(split.lengths.max())
    said = list(generate.reconstruct(model.network, split, Strategy(greedy=True, unk=False), max_len=max_len))
    assert model.evaluate("valid", samples=1).bleu == metrics.bleu(said, [ids.tolist() for ids in split]) > 0
    assert model.sample_quality("valid", count=8).samples.distinct_2 > 0.1
    heard = []
    monkeypatch.setattr(path_quality, "path_figures", lambda walked, ends: heard.extend([*walked, *ends]))
    model.path_quality("valid", pairs=4)
    assert heard
    assert not any(UNK in ids for sentences in heard for ids in sentences)
