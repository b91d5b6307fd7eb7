"""Repeated sentences: what counts as the same, and `prepare --dedupe`."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from seqvae_cli.data.prepare import prepare, prepare_text
from seqvae_cli.data.repeats import Fingerprints, fingerprint, firsts
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import DataError
from tests.conftest import Seqvae
from tests.data.corpora import prepared, sentences


def test_a_fingerprint_is_that_of_the_words_in_their_order() -> None:
    assert fingerprint(" a \t b\u3000c\n") == fingerprint("a b c")
    texts = ["a b", "b a", "ab", "A b", "a b c", "", *map(str, range(1000))]
    assert len({fingerprint(text) for text in texts}) == len(texts)
    assert all(0 <= fingerprint(text) < 2**64 for text in texts)


def test_fingerprints_are_a_set_while_they_grow() -> None:
    draw = random.Random(0)
    values = [draw.choice([draw.getrandbits(64), draw.getrandbits(11), draw.getrandbits(3) << 61]) for _ in range(9000)]
    ours, reference = Fingerprints(), set[int]()
    for value in values:
        new = (value or 1) not in reference
        reference.add(value or 1)
        assert ours.add(value) is new
    assert len(ours) == len(reference) > 2 << 10
    assert not any(ours.add(value) for value in values)


def test_the_first_of_each_text_is_kept_and_none_of_elsewhere() -> None:
    texts = ["a b", "c", "A  B", "d", "c", "e "]
    assert list(firsts(texts, ["e"], str.lower)) == [True, True, False, True, False, False]
    assert list(firsts(texts)) == [True, True, True, True, False, True]
    assert list(firsts([])) == []


def test_no_sentence_is_left_twice_and_none_in_two_splits(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("".join(f"sentence {i % 50} \n\nSentence {i % 40}\n" for i in range(100)))
    plain = prepared(path, valid_fraction=0.1, test_fraction=0.1).corpus
    assert "dedupe" not in plain.info["recipe"]
    assert "repeated" not in plain.info["splits"]["train"]
    options = {"valid_fraction": 0.1, "test_fraction": 0.1, "tokenizer": "char", "lower": True, "dedupe": True}
    first = prepared(path, **options)
    parts = {split: sentences(first.corpus, split) for split in ("train", "valid", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 40, "valid": 5, "test": 5}
    assert sorted(itertools.chain.from_iterable(parts.values())) == sorted(f"sentence {i}" for i in range(50))
    counts = first.corpus.info["splits"]["train"]
    assert (counts["repeated"], counts["empty"]) == (150, 100)
    again = prepared(path, **options)
    assert (again.fresh, again.corpus.path) == (False, first.corpus.path)


def test_without_fractions_train_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("b\na\nb\nc\na\n")
    corpus = prepared(path, valid_fraction=0.0, test_fraction=0.0, dedupe=True).corpus
    assert sentences(corpus) == ["b", "a", "c"]


def test_files_of_held_out_splits_stay_whole_and_train_loses_what_stands_in_them(tmp_path: Path) -> None:
    texts = {"train": "a\nb\nc\nd\nd\nf\ng\n", "valid": "b\nb\nx\n", "test": "b\nc\n"}
    for split, text in texts.items():
        (tmp_path / f"{split}.txt").write_text(text)
    whole = prepared(tmp_path, dedupe=True).corpus
    assert sentences(whole) == ["a", "d", "f", "g"]
    assert [len(whole.split(split)) for split in ("valid", "test")] == [3, 2]
    assert whole.info["splits"]["train"]["repeated"] == 3
    source = text_source(tmp_path / "train.txt", valid=tmp_path / "valid.txt")
    cut = prepare_text(source, "cut", dedupe=True).corpus
    assert [len(cut.split(split)) for split in ("train", "valid", "test")] == [4, 3, 1]
    assert cut.info["splits"]["train"]["repeated"] == 2
    assert "b" not in sentences(cut)
    with pytest.raises(DataError, match=r"every sentence of .* held-out"):
        prepare(tmp_path / "valid.txt", test=tmp_path / "valid.txt", dedupe=True)


def test_each_file_is_looked_through_once_for_repeats(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text(f"a\nb\n{split}\n")
    seen: list[tuple[str, int, int | None]] = []
    prepare(tmp_path, dedupe=True, watch=lambda *told: seen.append(told))
    sizes = {split: (tmp_path / f"{split}.txt").stat().st_size for split in ("train", "valid", "test")}
    done = {stage: (done, total) for stage, done, total in seen}
    assert done["held out"] == (sizes["valid"] + sizes["test"],) * 2
    assert done["repeats"] == (sizes["train"],) * 2
    assert all(done <= (total or 0) for _, done, total in seen)


def test_the_command_tells_how_many_were_left_out(seqvae: Seqvae) -> None:
    text = "\n".join([f"sentence {i % 1500}" for i in range(3000)] * 2).encode()
    for _ in range(2):
        answer = seqvae("prepare", "-", "--dedupe", stdin=text)
        assert answer.code == 0
        assert "4,500 repeated sentences left out\n" in answer.err
        assert "earlier" not in answer.err
    assert seqvae("prepare", "toy", "--dedupe").code == 2
