"""`seqvae prepare`: how text becomes tokens."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from seqvae_cli import api
from seqvae_cli.data import corpus
from tests.conftest import Seqvae, tiny_text

NEW = ("the cat sees a purple house", "a dog likes people", "my sister paints it")


@pytest.fixture
def new(tmp_path: Path) -> str:
    path = tmp_path / "new.txt"
    path.write_text("\n".join(NEW * 20) + "\n")
    return str(path)


@pytest.mark.usefixtures("trained_home")
@pytest.mark.parametrize("of", ["tiny-run", "latest", "tiny-r", "tiny"])
def test_a_new_corpus_has_the_vocabulary_of_a_run_or_corpus(seqvae: Seqvae, new: str, of: str) -> None:
    answer = seqvae("prepare", new, "--tokenizer-of", of, "--json")
    assert answer.code == 0, answer.err
    found, model = json.loads(answer.out), api.load("tiny-run")
    made = corpus.find("new")
    assert made.tokenizer == model.tokenizer == corpus.find("tiny").tokenizer
    for split, counts in found["splits"].items():
        purple = sum(model.tokenizer.words.index("<unk>") in ids for ids in made.split(split))
        assert counts["unknown"] == purple
    assert found["splits"]["train"]["unknown"] > 0
    assert not json.loads(seqvae("prepare", new, "--tokenizer-of", of, "--json").out)["fresh"]


@pytest.mark.usefixtures("trained_home")
def test_the_vocabulary_of_a_run_takes_no_other_options(seqvae: Seqvae, new: str) -> None:
    for option in (
        ["--tokenizer", "char"],
        ["--lower"],
        ["--min-count", "2"],
        ["--pattern", "a"],
        ["--normalize", "nfc"],
    ):
        answer = seqvae("prepare", new, "--tokenizer-of", "tiny-run", *option)
        assert answer.code == 2
        assert answer.err.startswith(f"error: {option[0]} does not go with")
    answer = seqvae("prepare", new, "--tokenizer-of", "tiny-rum")
    assert answer.code == 3
    assert answer.err == "error: no run and no corpus 'tiny-rum'\nhint: did you mean 'tiny-run'?\n"


def test_the_library_takes_a_tokenizer_as_it_is(new: str) -> None:
    first = api.prepare_corpus(new, tokenizer="bpe", vocab_size=300, lower=True)
    again = api.prepare_corpus(new, name="again", tokenizer=first.tokenizer)
    assert again.tokenizer == first.tokenizer
    assert again.hash == first.hash


def test_subwords_without_their_library_are_one_clear_error(
    seqvae: Seqvae, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    answer = seqvae("prepare", new, "--tokenizer", "bpe")
    assert answer.code == 5
    assert answer.err == (
        'error: tokenizers, which makes subwords, is not installed\nhint: pip install "seqvae[subwords]"\n'
    )
    assert seqvae("prepare", "--help").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pattern", "(a"], "error: the pattern '(a' is not a regular expression: missing ) at position 2"),
        (["--tokenizer", "regex"], "error: --tokenizer regex needs a pattern"),
        (["--tokenizer", "char", "--vocab-size", "300"], "error: --vocab-size does not go with --tokenizer char"),
        (["--normalize", "nfx"], "error: unknown normalization 'nfx'"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(seqvae: Seqvae, options: list[str], message: str) -> None:
    answer = seqvae("prepare", "-", *options, stdin="\n".join(tiny_text()).encode())
    assert answer.code == 2
    assert answer.err.splitlines()[0] == message


def test_the_text_of_every_command_is_normalized_as_the_corpus_was(seqvae: Seqvae) -> None:
    text = "\n".join(["İstanbul cafe\u0301 ﬁne"] * 40).encode()
    assert seqvae("prepare", "-", "--name", "forms", "--lower", "--normalize", "nfkc", stdin=text).code == 0
    tokenizer = corpus.find("forms").tokenizer
    assert tokenizer.words[4:] == ("café", "fine", "i̇stanbul")
    assert tokenizer.encode("İSTANBUL Café fine") == tokenizer.encode("i\u0307stanbul cafe\u0301 ﬁne")
