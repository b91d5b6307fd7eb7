"""`seqvae corpora`: what is prepared on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqvae_cli.data import corpus
from tests.conftest import Seqvae


def test_a_corpus_is_listed_with_its_sizes(seqvae: Seqvae, trained_home: Path) -> None:
    answer = seqvae("corpora")
    assert (answer.code, answer.err) == (0, "")
    header, row = answer.lines
    assert header.split() == ["corpus", "sentences", "ids", "tokenizer", "size", "prepared"]
    assert row.split()[0] == "tiny"
    (found,) = [json.loads(line) for line in seqvae("corpora", "--json").lines]
    opened = corpus.find("tiny")
    assert Path(found["path"]) == opened.path == trained_home / "corpora" / found["folder"]
    assert (found["name"], found["hash"], found["vocabulary"]) == ("tiny", opened.hash, len(opened.tokenizer))
    assert found["sentences"] == {split: len(opened.split(split)) for split in ("train", "valid", "test")}
    assert found["findings"] == []
    assert row.split()[1] == "80/10/10" == "/".join(map(str, found["sentences"].values()))
    assert found["bytes"] == sum(len(path.read_bytes()) for path in opened.path.iterdir())


@pytest.mark.usefixtures("small_toy")
def test_what_the_first_column_names_is_what_train_takes(seqvae: Seqvae) -> None:
    folders = []
    for sentences in ("100", "200"):
        assert seqvae("prepare", "toy", "--sentences", sentences, "-q").code == 0
        folders.append(corpus.find("toy").path.name)
    named = [line.split()[0] for line in seqvae("corpora").lines[1:]]
    assert named == [folders[0], "toy"]
    assert [corpus.find(name).path.name for name in named] == folders


@pytest.mark.usefixtures("trained_home", "small_toy")
def test_a_damaged_corpus_is_a_warning_beside_the_others(seqvae: Seqvae) -> None:
    assert seqvae("prepare", "toy", "--sentences", "100", "-q").code == 0
    tokens = corpus.find("toy").path / "train.tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    answer = seqvae("corpora")
    assert answer.code == 0
    assert [line.split()[0] for line in answer.lines[1:]] == ["tiny"]
    assert answer.err.startswith(f"warning: corpus {tokens.parent.name} cannot be read: ")
    assert "hint: prepare the corpus again\n" in answer.err


def test_where_there_is_none_the_way_to_one_is_shown(seqvae: Seqvae) -> None:
    for arguments in (["corpora"], ["corpora", "--json"]):
        answer = seqvae(*arguments)
        assert (answer.code, answer.out) == (0, "")
    assert seqvae("corpora").err == "no corpus is prepared yet: seqvae prepare toy, or seqvae prepare FILE\n"
