"""Labels and ids beside a corpus: what prepare writes, how it is read, and that damage is noticed."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae_cli.data import labels, prepare, sources
from seqvae_cli.data.corpus import Corpus, find
from seqvae_cli.data.toy import build as toy_build
from seqvae_cli.errors import DataError, UsageError
from tests.data.corpora import left_behind, sentences

SENTIMENTS = ("good", "bad", "")


def rows(count: int = 60) -> list[dict[str, Any]]:
    return [
        {"id": f"r{i}", "text": f"sentence number {i}", "sentiment": SENTIMENTS[i % 3], "stars": 10 - i % 10}
        for i in range(count)
    ]


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def told(corpus: Corpus, split: str) -> list[tuple[str, str, str, str]]:
    """Id, text, and the values of both labels of each sentence."""
    found = corpus.labels(split)
    values = [[label.values[index] for index in label.indices] for label in found.values()]
    ids = corpus.ids(split)
    assert ids is not None
    return list(zip(ids, sentences(corpus, split), *values, strict=True))


def test_labels_and_ids_follow_their_sentences_into_the_splits(reviews: Path) -> None:
    options: Any = {"label": ["sentiment", "stars"], "id": "id", "valid_fraction": 0.2, "tokenizer": "char"}
    corpus = prepare.prepare(reviews, **options).corpus
    assert corpus.label_names() == ("sentiment", "stars")
    found = [one for split in corpus.splits for one in told(corpus, split)]
    expected = [(row["id"], row["text"], row["sentiment"], str(row["stars"])) for row in rows()]
    assert sorted(found) == sorted(expected)
    assert len(told(corpus, "valid")) == 12
    train = corpus.labels("train")
    assert train["sentiment"].values == ("", "bad", "good")
    assert train["stars"].values == tuple(str(number) for number in range(1, 11)), "numbers by size"
    assert train["stars"].indices.dtype == np.int64
    corpus.verify()
    assert find("reviews").labels("test")["stars"].indices.tolist() == corpus.labels("test")["stars"].indices.tolist()
    assert not prepare.prepare(reviews, **options).fresh


def test_the_tokens_of_a_corpus_do_not_depend_on_its_labels(reviews: Path, tmp_path: Path) -> None:
    plain = tmp_path / "reviews.txt"
    plain.write_text("".join(row["text"] + "\n" for row in rows()))
    without = prepare.prepare(plain).corpus
    for corpus in (prepare.prepare(reviews).corpus, prepare.prepare(reviews, label="stars", id="id").corpus):
        assert all(corpus.info["files"][name] == digest for name, digest in without.info["files"].items())
    assert prepare.prepare(reviews).corpus.hash == without.hash
    assert without.label_names() == ()
    assert without.labels("train") == {}
    assert without.ids("train") is None


def test_a_column_of_splits_makes_the_splits(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    parts = ["train", "dev", "train", "test", "train", "validation"]
    path.write_text("text,part,n\n" + "".join(f"word{i},{part},{i}\n" for i, part in enumerate(parts)))
    corpus = prepare.prepare(path, split="part", label="n").corpus
    assert {split: sentences(corpus, split) for split in ("train",)} == {"train": ["word0", "word2", "word4"]}
    values = {split: corpus.labels(split)["n"].indices.tolist() for split in corpus.splits}
    assert values == {"train": [0, 2, 4], "valid": [1, 5], "test": [3]}
    path.write_text("text,part\n" + "".join(f"word{i},{'test' if i % 4 == 0 else 'train'}\n" for i in range(40)))
    corpus = prepare.prepare(path, split="part", valid_fraction=0.1).corpus
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [27, 3, 10]
    with pytest.raises(UsageError, match="the source has its own test split"):
        prepare.prepare(path, split="part", test_fraction=0.1)
    with pytest.raises(UsageError, match="column of splits does not go with files of splits"):
        prepare.prepare(path, split="part", valid=path)


@pytest.mark.parametrize(
    "options", [{}, {"tokenizer": "bpe"}, {"valid_fraction": 0.0, "test_fraction": 0.0}, {"dedupe": True}], ids=str
)
@pytest.mark.parametrize("parts", ["valid test", "test test", "valid valid train"])
def test_a_column_of_splits_without_train_is_told(tmp_path: Path, options: dict[str, Any], parts: str) -> None:
    path = tmp_path / "a.csv"
    words = {"train": ""}  # a row of train without a text is none
    path.write_text("text,part\n" + "".join(f"{words.get(p, f'word {i}')},{p}\n" for i, p in enumerate(parts.split())))
    with pytest.raises(DataError) as caught:
        prepare.prepare(path, split="part", **options)
    assert caught.value.message == f"no row of {path} with a text says train in the column 'part'"
    assert left_behind() == []


@pytest.mark.parametrize("damage", ["train.label1.bin", "labels.json", "train.ids.jsonl"])
def test_damage_is_noticed_and_repaired(reviews: Path, damage: str) -> None:
    first = prepare.prepare(reviews, label="sentiment", id="id").corpus
    path = first.path / damage
    data = path.read_bytes()
    path.write_bytes(data.replace(b"good", b"gone") if damage == "labels.json" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(DataError, match="is damaged"):
        told(Corpus.open(first.path), "train")
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match=r"damaged|bytes, not"):
        Corpus.open(first.path).verify()
    assert prepare.prepare(reviews, label="sentiment", id="id").fresh
    assert left_behind() == []


def test_a_label_is_refused_before_the_corpus_is_encoded(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MOST_VALUES", 59)
    stages: list[str] = []
    for options in ({}, {"dedupe": True}, {"valid_fraction": 0.0, "test_fraction": 0.0}):
        with pytest.raises(DataError, match="label 'id' has over 59"):
            prepare.prepare(reviews, label="id", watch=lambda stage, *_: stages.append(stage), **options)
    assert {"lines", "count", "repeats"} <= set(stages)
    assert not {"encode", "labels"} & set(stages)


def test_every_table_has_the_columns_before_one_is_read(reviews: Path, tmp_path: Path) -> None:
    other, text = tmp_path / "b.csv", tmp_path / "c.txt"
    other.write_text("text,n\na b,1\n")
    text.write_text("a b\n")
    stages: list[str] = []
    for more, said in ((other, r"b\.csv has no column 'stars'"), (text, r"c\.txt is text, without columns")):
        with pytest.raises(UsageError, match=said):
            prepare.prepare([reviews, more], label="stars", watch=lambda stage, *_: stages.append(stage))
    assert stages == []


def test_a_label_is_no_id_and_no_text(reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MOST_VALUES", 59)
    with pytest.raises(DataError, match="label 'id' has over 59 different values") as caught:
        prepare.prepare(reviews, label="id")
    assert caught.value.hint == "is it an id? --id id"
    monkeypatch.setattr(labels, "MAX_VALUE", 10)
    with pytest.raises(DataError, match="label 'text' has a value of 17 characters"):
        prepare.prepare(reviews, label="text", text="text")
    assert left_behind() == []


def test_documents_of_a_table_give_their_labels_and_ids_to_each_sentence(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    fields = [
        {"text": f"It is number {i}. The sun shines on {i}. It is warm.", "mood": f"m{i % 3}", "id": i, "part": "train"}
        for i in range(20)
    ]
    fields += [{"text": "It is number 3. Nothing like it.", "mood": "m9", "id": 99, "part": "test"}]
    path.write_text("".join(json.dumps(field) + "\n" for field in fields))
    options: dict[str, Any] = {"label": "mood", "id": "id", "split": "part", "valid_fraction": 0.0}
    corpus = prepare.prepare(path, sentences="document", language="en", **options).corpus
    found = list(zip(sentences(corpus), corpus.ids("train") or [], strict=True))
    label = corpus.labels("train")["mood"]
    assert len(found) == 60
    assert ("The sun shines on 7.", "7") in found
    assert all(label.values[label.indices[row]] == f"m{int(number) % 3}" for row, (_, number) in enumerate(found))
    once = prepare.prepare(path, sentences="document", language="en", dedupe=True, **options).corpus
    assert once.hash != corpus.hash
    kept = list(zip(sentences(once), once.ids("train") or [], strict=True))
    expected = dict[str, str]()
    for text, number in found:
        expected.setdefault(text, number)
    del expected["It is number 3."]  # it stands in test, which stays whole
    assert dict(kept) == expected
    assert len(kept) == len(expected)
    assert [len(corpus.split("test")), len(once.split("test")), sentences(once, "test")[0]] == [2, 2, "It is number 3."]
    assert once.info["splits"]["train"]["repeated"] == 60 - len(expected)


def test_several_files_and_compressed_ones_are_one_corpus(reviews: Path, tmp_path: Path) -> None:
    lines = reviews.read_text().splitlines(keepends=True)
    parts = [tmp_path / "Part-1.jsonl.gz", tmp_path / "part-2.jsonl"]
    parts[0].write_bytes(gzip.compress("".join(lines[:20]).encode()))
    parts[1].write_text("".join(lines[20:]))
    corpus = prepare.prepare(parts, label="stars").corpus
    assert corpus.name == "part-1"
    assert corpus.hash == prepare.prepare(reviews, label="stars").corpus.hash
    parts[1].write_text('{"sentence": "a"}\n')
    with pytest.raises(UsageError, match=r"part-2\.jsonl has no column 'text'"):
        prepare.prepare(parts)
    with pytest.raises(UsageError, match="toy is a corpus of its own"):
        prepare.prepare([str(parts[0]), "toy"])


def test_the_factors_of_toy_are_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_build, "HELD_OUT", 100)
    corpus = toy_build.prepare_toy(sentences=100).corpus
    assert corpus.label_names() == tuple(corpus.info["toy"]["factors"])
    first = json.loads((corpus.path / "valid.factors.jsonl").read_text().splitlines()[0])
    assert {name: label.values[label.indices[0]] for name, label in corpus.labels("valid").items()} == first


# Folders


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".txt").write_text(text)
    return root


def test_no_label_has_the_name_that_pictures_give_to_tokens(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,length\na b,short\nc d e,long\n")
    with pytest.raises(UsageError, match="cannot have the name 'length'"):
        prepare.prepare(path, label="length")


def test_folders_in_a_folder_are_labels(tmp_path: Path) -> None:
    root = tree(tmp_path / "films", pos__a="good film\nfine film\n", pos__b="great\n", neg__old__a="bad film\n")
    corpus = prepare.prepare(root, valid_fraction=0.0, test_fraction=0.0).corpus
    assert corpus.name == "films"
    found = corpus.labels("train")["folder"]
    said = dict(zip(sentences(corpus), (found.values[index] for index in found.indices), strict=True))
    assert said == {"good film": "pos", "fine film": "pos", "great": "pos", "bad film": "neg/old"}


def test_folders_of_splits_are_splits(tmp_path: Path) -> None:
    root = tree(tmp_path / "films", train__pos__a="good\n", train__neg__a="bad\n", test__pos__a="fine\n")
    corpus = prepare.prepare(root, valid_fraction=0.5).corpus
    assert [len(corpus.split(split)) for split in ("train", "valid", "test")] == [1, 1, 1]
    label = corpus.labels("test")["folder"]
    assert [label.values[index] for index in label.indices] == ["pos"]


def test_the_files_of_a_folder_have_one_format(tmp_path: Path) -> None:
    for name, data in (("a.csv", "text\na\n"), ("b.csv", "text\nb\n"), ("c.jsonl", '{"text": "c"}\n')):
        (tmp_path / name).write_text(data)
    with pytest.raises(UsageError, match=r"has \.csv and \.jsonl files"):
        sources.text_source(tmp_path)
    with pytest.raises(DataError, match=r"has no \.tsv files"):
        sources.text_source(tmp_path, form="tsv")
    corpus = prepare.prepare(tmp_path, format="csv", name="two", valid_fraction=0.0, test_fraction=0.0).corpus
    assert sentences(corpus) == ["a", "b"]


def test_the_parts_of_a_split_belong_together(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "validation-00000-of-00001.jsonl"):
        (tmp_path / name).write_text(json.dumps({"text": name}) + "\n")
    found = sources.text_source(tmp_path).files
    assert {split: len(paths) for split, paths in found.items()} == {"train": 2, "valid": 1}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("1", "-2.5", "1e3"), [1, -2.5, 1000]),
        (("0,5", "12"), [0.5, 12]),
        (("999", "1,234", "1,000,000"), [999, 1234, 1_000_000]),
        (("1,234.5", "7"), [1234.5, 7]),
        (("1,234", "1,5"), [1.234, 1.5]),
        (("0,123", "1,234"), [0.123, 1.234]),
        (("3", "x"), None),
    ],
)
def test_commas_stand_before_decimals_or_between_thousands(values: tuple[str, ...], found: list[float] | None) -> None:
    assert labels.numbers(values) == found
    assert labels.numbers(()) == []


def test_what_is_no_finite_number_is_missing() -> None:
    found = labels.numbers(("3", "nan", "", "inf"))
    assert found is not None
    assert found[0] == 3
    assert all(math.isnan(number) for number in found[1:])


def test_numbers_are_in_their_order_and_a_missing_one_is_first() -> None:
    label = labels.in_order(("999", "1,234", "", "1000"), np.array([0, 1, 2, 3]))
    assert label.values == ("", "999", "1000", "1,234")
    assert label.indices.tolist() == [1, 3, 0, 2]
    assert labels.in_order(("3", "nan", "10", ""), np.arange(4)).values == ("", "nan", "3", "10")
