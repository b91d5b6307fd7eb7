"""Prepared corpora on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seqvae_cli.data import corpus
from seqvae_cli.data.corpus import Corpus, find, known_names, list_prepared
from seqvae_cli.data.prepare import prepare_text
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import DataError, NotFoundError, UsageError
from seqvae_cli.system import places


@pytest.fixture
def made(tmp_path: Path) -> Corpus:
    return make(tmp_path, "one two three\ntwo three\nfour\n", "small")


def make(folder: Path, text: str, name: str, **settings: object) -> Corpus:
    (folder / "given.txt").write_text(text)
    source = text_source(folder / "given.txt")
    return prepare_text(source, name, valid_fraction=0.0, test_fraction=0.0, **settings).corpus  # type: ignore[arg-type]


def test_sentences_survive_a_round_trip(made: Corpus) -> None:
    train = made.split("train")
    sentences = ["one two three", "two three", "four"]
    assert [made.tokenizer.decode(ids) for ids in train] == sentences
    assert train[-1].tolist() == train[2].tolist() == made.tokenizer.encode("four")
    assert train[0].dtype == np.int64
    assert train.lengths.dtype == np.int64
    assert train.lengths.tolist() == [3, 2, 1]
    with pytest.raises(IndexError):
        train[3]


def test_splits_are_memory_mapped(made: Corpus) -> None:
    train = made.split("train")
    assert isinstance(train.tokens, np.memmap)
    assert isinstance(train.offsets, np.memmap)
    assert train.tokens.dtype == np.uint16


def test_large_vocabularies_take_four_bytes_a_token(tmp_path: Path) -> None:
    made = make(tmp_path, "\n".join(f"w{i} x{i}" for i in range(33_000)), "large")
    train = made.split("train")
    assert train.tokens.dtype.itemsize == 4
    assert made.tokenizer.decode(train[32_999]) == "w32999 x32999"
    made.verify()


def test_an_empty_split_works(made: Corpus) -> None:
    valid = made.split("valid")
    assert len(valid) == 0
    assert list(valid) == []
    assert valid.lengths.shape == (0,)


def test_an_unknown_split_lists_the_known_ones(made: Corpus) -> None:
    with pytest.raises(UsageError) as caught:
        made.split("dev")
    assert "train, valid, test" in caught.value.hint


def test_find_takes_a_folder_name_or_the_corpus_prepared_last(tmp_path: Path) -> None:
    first = make(tmp_path, "a b\n", "news")
    second = make(tmp_path, "a b\n", "news", lower=True)
    assert first.path != second.path
    assert find("news").path == second.path
    assert find(first.path.name).path == first.path
    assert make(tmp_path, "a b\n", "news").path == first.path
    assert find("news").path == first.path
    assert known_names() == ["news", *sorted([first.path.name, second.path.name])]


def test_find_hints_at_the_nearest_corpus_and_at_prepare(made: Corpus) -> None:
    with pytest.raises(NotFoundError) as caught:
        find("smal")
    assert "'small'" in caught.value.hint
    assert "seqvae prepare FILE --name smal" in caught.value.hint
    assert made.path.is_dir()


@pytest.mark.parametrize("name", ["../x", "/x", "a\0b", "a\nb", "-x", "x" * 300, "\x1b[31mred", "", "Upper"])
def test_invalid_names_are_rejected_with_the_rule(name: str) -> None:
    for refuse in (find, corpus.check_name):
        with pytest.raises(UsageError) as caught:
            refuse(name)
        assert corpus.NAME_RULE in caught.value.hint
        assert "\x1b" not in caught.value.message + caught.value.hint


def test_half_written_folders_are_ignored(made: Corpus) -> None:
    (places.corpora() / "half-0123456789ab").mkdir()
    (places.corpora() / "stray.txt").touch()
    assert list_prepared() == [made.path]
    with pytest.raises(NotFoundError):
        find("half")


def test_an_empty_home_has_no_corpora() -> None:
    assert list_prepared() == []
    with pytest.raises(NotFoundError, match="ptb"):
        find("ptb")


@pytest.mark.parametrize("part", ["train.tokens.bin", "train.offsets.bin", "valid.offsets.bin", "tokenizer.json"])
def test_missing_files_are_named(made: Corpus, part: str) -> None:
    (made.path / part).unlink()
    with pytest.raises(DataError, match=part):
        find("small")


@pytest.mark.parametrize("part", ["train.tokens.bin", "train.offsets.bin"])
def test_truncated_files_are_detected_on_opening(made: Corpus, part: str) -> None:
    (made.path / part).write_bytes((made.path / part).read_bytes()[:-1])
    with pytest.raises(DataError, match=part):
        find("small")


@pytest.mark.parametrize("part", ["train.tokens.bin", "train.offsets.bin", "tokenizer.json"])
def test_verify_detects_every_flipped_bit(made: Corpus, part: str) -> None:
    data = bytearray((made.path / part).read_bytes())
    for position in (0, len(data) // 2, len(data) - 1):
        data[position] ^= 4
        (made.path / part).write_bytes(data)
        with pytest.raises(DataError, match=part):
            find("small").verify()
        data[position] ^= 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("format", 2), ("format", "x"), ("dtype", "object"), ("hash", "0"), ("files", None), ("splits", 3)),
        *(("splits", {"../x": {}}), ("splits", {"train": {"words": -1, "sentences": "3"}}), ("name", "../x")),
        ("vocabulary", None),
    ],
)
def test_a_damaged_corpus_json_is_rejected(made: Corpus, key: str, value: object) -> None:
    (made.path / "corpus.json").write_text(json.dumps(made.info | {key: value}))
    with pytest.raises(DataError) as caught:
        find("small")
    assert ("newer" in caught.value.message) == ((key, value) == ("format", 2))


def test_a_damaged_corpus_does_not_hide_a_good_one(tmp_path: Path, made: Corpus) -> None:
    other = make(tmp_path, "x y\n", "small")
    (other.path / "corpus.json").write_text("{")
    assert find("small").path == made.path


def test_hashes_depend_on_the_content_alone(tmp_path: Path, made: Corpus) -> None:
    same = make(tmp_path, "one two three\r\n\r\ntwo three\r\nfour", "other")
    assert same.path != made.path
    assert same.hash == made.hash
    assert same.split("train").hash == made.split("train").hash
    other = make(tmp_path, "one two three\ntwo three\ntwo\n", "small")
    assert other.hash != made.hash
    assert other.split("train").hash != made.split("train").hash


def test_ids_are_counted_block_by_block(tiny_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    split, size = tiny_corpus.split("train"), len(tiny_corpus.tokenizer)
    monkeypatch.setattr(corpus, "COUNTED", 7)
    assert (split.counts(size) == np.bincount(split.tokens, minlength=size)).all()
    with pytest.raises(DataError, match="ids outside the vocabulary"):
        split.counts(int(split.tokens.max()))
