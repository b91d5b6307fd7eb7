"""Figures that do not depend on the tokenizer: of words, characters and bytes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import sacrebleu

from seqvae_cli import api
from seqvae_cli.data import prepare, text_counts
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.text_counts import TextCounts
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.evaluation import metrics
from seqvae_cli.evaluation.words import Words
from seqvae_cli.latent import generate
from tests.conftest import Seqvae, tiny_text
from tests.trainings import fit, new_run

GERMAN = [
    f"{who} {what}, {where}." for who in ("Der Bär", "Die Straße") for what in ("läuft", "lacht") for where in "äbc"
]
CHINESE = [f"{who}{what}。" for who in ("我们", "老师", "学生") for what in ("学习中文", "去北京", "很好")]


def corpus(texts: list[str], name: str = "given", **options: Any) -> Corpus:
    return prepare.prepare(io.BytesIO("\n".join(texts).encode()), name=name, **options).corpus


def tokens(made: Corpus, texts: list[str]) -> list[list[int]]:
    return [made.tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "bpe", "unigram"])
def test_the_counts_are_those_of_the_text_whatever_the_tokenizer(kind: str) -> None:
    made = corpus(GERMAN * 10, tokenizer=kind, lower=True)
    sizes = {split: text_counts.of_split(made, split) for split in made.splits}
    assert sum(counts.words for counts in sizes.values()) == sum(len(text.split()) for text in GERMAN) * 10
    assert sum(counts.characters for counts in sizes.values()) == sum(map(len, GERMAN)) * 10
    assert sum(counts.bytes for counts in sizes.values()) == sum(len(text.encode()) for text in GERMAN) * 10
    if kind != "word":  # old corpora: the same from the decoded tokens
        for split in made.info["splits"].values():
            del split["text"]
        assert {split: text_counts.of_split(made, split) for split in made.splits} == sizes


def test_a_cut_sentence_counts_what_was_kept_and_spaces_around_a_sentence_are_none() -> None:
    made = corpus(["  ab cd ef  "] * 40, tokenizer="char", max_len=5)
    counts, sentences = text_counts.of_split(made, "train"), made.info["splits"]["train"]["sentences"]
    assert (counts.words, counts.characters) == (2 * sentences, 5 * sentences)
    made = corpus(["e\u0301a "] * 40, tokenizer="char")
    assert text_counts.of_split(made, "train") == TextCounts(sentences, 2 * sentences, 3 * sentences), "normalized"


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_bleu_is_of_words_whatever_the_pieces(kind: str) -> None:
    outputs = ["the cat sees it now", "a dog like it very much", "the old man"]
    references = ["the cat sees the sea now", "a dog likes it very much", "the old man"]
    made = corpus([*outputs, *references] * 10, tokenizer=kind)
    words = Words(made.tokenizer, tokens(made, references))
    found = metrics.bleu(words(tokens(made, outputs)), words(tokens(made, references)))
    assert found == pytest.approx(sacrebleu.corpus_bleu(outputs, [references], tokenize="none", force=True).score)
    same = words(tokens(made, references))
    assert metrics.bleu(same, same) == pytest.approx(100)
    joined, apart = words(tokens(made, ["thecat sees"])), words(tokens(made, ["the cat sees"]))
    assert joined != apart


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_bleu_is_of_characters_where_there_are_no_spaces(kind: str) -> None:
    made = corpus(CHINESE * 10, tokenizer=kind)
    words = Words(made.tokenizer, tokens(made, CHINESE))
    outputs, references = CHINESE[:3], CHINESE[3:6]
    found = metrics.bleu(words(tokens(made, outputs)), words(tokens(made, references)))
    spaced, reference = ([" ".join(text) for text in texts] for texts in (outputs, references))
    assert found == pytest.approx(sacrebleu.corpus_bleu(spaced, [reference], tokenize="none", force=True).score)
    assert [len(ids) for ids in words(tokens(made, CHINESE))] == [len(text) for text in CHINESE]
    joined, apart = words(tokens(made, ["我们学习"])), words(tokens(made, ["我们 学习"]))
    assert len(apart[0]) == len(joined[0]) + 1, "a space is a character, known or not"


def test_words_of_words_are_their_ids() -> None:
    made = corpus(GERMAN * 10)
    ids = tokens(made, GERMAN)
    assert Words(made.tokenizer, ids)(ids) == ids


def test_subwords_cut_in_another_way_are_the_same_text() -> None:
    tokenizer: Tokenizer = corpus(GERMAN * 10, tokenizer="bpe").tokenizer
    (whole,) = tokenizer.encode("Bär")
    spelled = tokenizer.ids([" ", *[f"<0x{byte:02X}>" for byte in "Bär".encode()]])
    assert tokenizer.same_text([whole], spelled)
    assert not tokenizer.same_text([whole], spelled[:-1])
    words = corpus(GERMAN * 10).tokenizer
    assert not words.same_text(words.encode("Der Bär"), words.encode("Der Bär lacht"))


@pytest.fixture
def subword_run(home: Any) -> str:
    assert not home.exists()
    made = corpus(tiny_text(), "pieces", tokenizer="bpe", vocab_size=300)
    fit(new_run(made, "pieces", train__epochs=1), made)
    return "pieces"


def test_a_run_on_subwords_answers_and_its_bounds_compare(
    subword_run: str, seqvae: Seqvae, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(seqvae("eval", "--samples", "3", "--json").out)
    counts = text_counts.of_split(api.load(subword_run).corpus(), "test")
    n = found["sentences"]
    for bound, name in (("iw_nll", "iw"), ("neg_elbo", "elbo")):
        nats = found[bound] * n
        assert found[f"{name}_word_ppl"] == pytest.approx(math.exp(nats / (counts.words + n)))
        assert found[f"{name}_bits_per_character"] == pytest.approx(nats / math.log(2) / (counts.characters + n))
        assert found[f"{name}_bits_per_byte"] == pytest.approx(nats / math.log(2) / (counts.bytes + n))
    answer = seqvae("eval", "--samples", "3")
    assert [line for line in answer.lines if "a byte" in line]
    assert max(map(len, answer.lines)) <= 80
    texts = ["the cat sees the sea", "Ωmega — 日本!"]
    rows = [json.loads(line) for line in seqvae("score", *texts, "--samples", "2", "--json").lines]
    for text, row in zip(texts, rows, strict=True):
        assert row["unknown"] == 0
        assert row["nats_per_word"] == pytest.approx(row["nll"] / (len(text.split()) + 1))
        assert row["bits_per_byte"] == pytest.approx(row["nll"] / math.log(2) / (len(text.encode()) + 1))
    for call in (["encode", *texts], ["reconstruct", *texts], ["sample", "-n", "2", "--start", "the cat", "--json"]):
        answer = seqvae(*call)
        assert answer.code == 0, answer.err
        assert "unknown" not in answer.err
    assert all(json.loads(line)["text"].startswith("the cat") for line in answer.lines)

    def repeated(_: object, sentences: Iterable[np.ndarray], *__: object, **___: object) -> Iterator[list[int]]:
        return ([*ids.tolist()] for ids in sentences)

    monkeypatch.setattr(generate, "reconstruct", repeated)
    exact = api.load(subword_run).evaluate(samples=1)
    assert (exact.bleu, exact.exact_match) == (pytest.approx(100), 1)


def test_a_run_on_subwords_is_carried_in_its_archive(subword_run: str, seqvae: Seqvae, tmp_path: Any) -> None:
    archive = str(tmp_path / "run.tar.gz")
    assert seqvae("runs", "export", subword_run, archive).code == 0
    assert seqvae("runs", "import", archive, "--name", "carried").code == 0
    before, after = (seqvae("encode", "-r", name, "the dog läuft").out for name in (subword_run, "carried"))
    assert before == after
