"""Row 29: whatever settings, vocabularies and corpora say, errors are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

from seqvae_cli.config import layers, options, presets, schema
from seqvae_cli.data import corpus, prepare
from seqvae_cli.data import tokenizer as tokenizers
from seqvae_cli.data.corpus import Corpus
from seqvae_cli.data.sources import text_source
from seqvae_cli.data.text import read_lines
from seqvae_cli.data.tokenizer import Tokenizer
from seqvae_cli.data.tokenizers import subwords
from seqvae_cli.errors import DataError, SeqvaeError, UsageError
from seqvae_cli.system import files
from tests.faults.mutations import (
    TEXTS,
    TREES,
    YAML,
    CountTries,
    consistent,
    content,
    fill,
    fuzzed_home,
    mistakes,
    mutated_bytes,
    mutated_tree,
    nearly,
    no_disk,
    survive,
    told_briefly,
)

__all__ = ["fuzzed_home", "no_disk"]  # fixtures


# Settings

KEYS = [key for key, _ in options.fields()]
PARTS = st.sampled_from(sorted({part for key in KEYS for part in key.split(".")})) | TEXTS
DOTTED = st.dictionaries(
    st.sampled_from(KEYS) | st.sampled_from(KEYS) | st.lists(PARTS, max_size=3).map(".".join), TREES, max_size=4
)
NESTED = mutated_tree(schema.Settings().model_dump())


def settings_or_typed(file: Path | None, overrides: dict[str, Any] | None) -> None:
    try:
        found = layers.resolve(file=file, overrides=overrides)
    except (DataError, UsageError) as error:
        told_briefly(error, limit=1000)
    else:
        assert layers.resolve(overrides=layers.parse(layers.dump(found), "again")) == found


@pytest.mark.row(29)
def test_random_overrides_are_settings_or_a_typed_error(count_tries: CountTries) -> None:
    mappings = DOTTED | NESTED.filter(lambda tree: isinstance(tree, dict))
    count_tries(survive(mappings, lambda overrides: settings_or_typed(None, overrides)))


@pytest.mark.row(29)
def test_random_yaml_is_settings_or_a_typed_error(tmp_path: Path, count_tries: CountTries) -> None:
    path = tmp_path / "settings.yaml"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        settings_or_typed(path, None)

    whole = [layers.dump(schema.Settings()), presets.text("default"), presets.text("seed")]
    texts = NESTED.map(yaml.safe_dump) | YAML | YAML.map("data: {}".format) | YAML.map("train:\n  lr: {}".format)
    count_tries(
        survive(texts.map(lambda text: text.encode()) | st.one_of(*(mutated_bytes(t.encode()) for t in whole)), attempt)
    )


# Vocabularies


@pytest.mark.row(29)
def test_a_random_vocabulary_is_one_or_a_typed_error(tmp_path: Path, count_tries: CountTries) -> None:
    path = tmp_path / "tokenizer.json"

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        try:
            found = Tokenizer.load(path)
        except DataError as error:
            told_briefly(error, str(path))
            return
        ids = found.encode("the cat, <eos> sees\tthe sea")
        assert all(3 <= index < len(found) for index in ids)
        found.decode(range(len(found)))
        assert Tokenizer.from_json(found.to_json()) == found

    words = (*tokenizers.SPECIALS, "a", "é", ".")
    pieces = (*tokenizers.SPECIALS, *subwords.BYTES, "t", "h", "th")
    details: dict[str, list[dict[str, Any]]] = {
        "char": [{}, {"characters": "graphemes"}],
        "bpe": [{"merges": [["t", "h"]]}],
        "unigram": [{"scores": [-1.5, -2.5, -2.0]}],
        "regex": [{"pattern": "th|[a-c]{1,2}|(?i)E+", "spaces": True}],
        "file": [],
    }
    valid = [
        Tokenizer(kind, lower, pieces if kind in ("bpe", "unigram") else words, form, each)
        for kind in tokenizers.KINDS
        for each in details.get(kind, [{}])
        for lower in (False, True)
        for form in ("none", "nfc")
    ]
    count_tries(survive(st.one_of(*(nearly(json.dumps(each.to_json()).encode()) for each in valid)), attempt))


# Corpora

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "latin-1", "cp1252", "gb18030", "shift_jis", "utf-7", "idna"]
ENCODINGS += [
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "rot13",
    "hex",
    "undefined",
    "big5hkscs",
    "hz",
    "",
    "x\0",
]
LINES = st.lists(
    st.text(max_size=12) | st.sampled_from(["", "a b", "\ufeff", "\r", "\0", "<unk>", "\u2028"]), max_size=9
)
TEXT = st.binary(max_size=60) | LINES.map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))


@pytest.mark.row(29)
def test_any_text_is_a_corpus_or_a_typed_error(tmp_path: Path, home: Path, count_tries: CountTries) -> None:
    path = tmp_path / "text.txt"

    def attempt(drawn: tuple[bytes, dict[str, Any]]) -> None:
        data, options = drawn
        path.write_bytes(data)
        if options["encoding"] == "utf-8":
            read_as_python_does(path)
        try:
            made = prepare.prepare_text(text_source(path), "any", **options).corpus
        except SeqvaeError as error:
            told_briefly(error)
        else:
            made.verify()
            assert all(made.split(split).lengths.min(initial=1) >= 1 for split in made.splits)
        assert not list(home.rglob(f"{files.TEMPORARY}*"))
        shutil.rmtree(home, ignore_errors=True)

    fraction = st.sampled_from([0, 0.05, 0.5, 1, -1, float("nan")]) | st.floats(-0.1, 1.1)
    options = {
        "tokenizer": st.sampled_from([*tokenizers.KINDS, "none"]),
        "lower": st.booleans(),
        "min_count": st.integers(-1, 3),
        "max_len": st.none() | st.integers(-1, 5),
        "valid_fraction": fraction,
        "test_fraction": fraction,
        "seed": st.integers(0),
        "encoding": st.just("utf-8") | st.sampled_from(ENCODINGS),
    }
    count_tries(survive(st.tuples(TEXT, st.fixed_dictionaries(options)), attempt))


def read_as_python_does(path: Path) -> None:
    try:
        lines = list(read_lines(path))
    except DataError as error:
        told_briefly(error)
        return
    text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    bare = "\n" not in text  # lines that end at CR, or one line
    text = text.removesuffix("\r").replace("\r", "\n" if bare else " ")
    assert lines == [line for line in text.split("\n") if line.strip()]


def read_corpus(path: Path) -> None:
    """What verifies can be trained on and evaluated, whoever wrote it."""
    found = Corpus.open(path)
    found.verify()
    assert found.name, found.hash
    assert found.entropy is None or isinstance(found.entropy, float)
    vocabulary = len(found.tokenizer)
    for name in found.splits:
        split = found.split(name)
        assert split.lengths.shape == (len(split),)
        assert split.lengths.min(initial=0) >= 0
        assert split.tokens.max(initial=0) < vocabulary
        assert sum(len(ids) for ids in split) == len(split.tokens)


@pytest.mark.row(29)
def test_a_random_corpus_folder_is_a_corpus_or_a_typed_error(
    fuzzed_home: Path, home: Path, count_tries: CountTries
) -> None:
    (original,) = (fuzzed_home / "corpora").iterdir()
    path, members = home / "corpora" / original.name, content(original)

    def attempt(drawn: tuple[dict[str, bytes], bool]) -> None:
        changed, digests_too = drawn
        files_then = members | changed
        if digests_too:
            consistent(files_then, "corpus.json")
        fill(path, files_then)
        for reader in (lambda: read_corpus(path), lambda: corpus.find("few"), corpus.latest):
            try:
                reader()
            except SeqvaeError as error:
                told_briefly(error)

    count_tries(survive(st.tuples(mistakes(members), st.booleans()), attempt))
