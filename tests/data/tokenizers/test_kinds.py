"""Tokenizers of every kind, learned from text: exact, repeatable, bounded, and as old files have them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from seqvae_cli.data import vocabulary
from seqvae_cli.data.tokenizer import EOS, KINDS, SPECIALS, UNK, Tokenizer
from seqvae_cli.data.tokenizers import characters, foreign, patterns, subwords
from seqvae_cli.errors import DataError, MachineError, UsageError

GERMAN = [
    f"{who} {what} {where}."
    for who in ("Der Bürgermeister", "Die Bürgermeisterin", "Das Kind")
    for what in ("läuft", "fährt 12 km", "lacht", "sitzt")
    for where in ("am Fluss", "im Bürgeramt", "über die Straße", "- „heute“")
]
CHINESE = [
    f"{who}{when}{what}。" for who in ("我们", "老师") for when in ("今天", "明天") for what in ("学习中文", "去北京")
]
ODD = ["İstanbul cafe\u0301 👩‍👩‍👧 नमस्ते", "a  b\tc ▁x <0xE4> Ġ 12ab", "  lead", "日本 x", "\u00adsoft"]
LEARNED = ["bpe", "unigram"]


def learned(texts: Iterable[str], *, max_len: int | None = None, **options: Any) -> Tokenizer:
    return vocabulary.tokenizer_settings(**options).learn(texts, max_len)[0]


OPTIONS: dict[str, dict[str, Any]] = {
    "word": {},
    "whitespace": {},
    "char": {},
    "bpe": {"vocab_size": 300},
    "unigram": {"vocab_size": 300},
    "regex": {"pattern": r"\w+|[^\w\s]"},
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("form", ["none", "nfc", "nfkc"])
def test_a_file_gives_the_same_tokenizer_and_the_same_text_the_same_file(kind: str, form: str, tmp_path: Path) -> None:
    made = learned(GERMAN, tokenizer=kind, normalize=form, **OPTIONS[kind])
    again = learned(iter(GERMAN), tokenizer=kind, normalize=form, **OPTIONS[kind])
    assert made.save(tmp_path / "tokenizer.json") == again.save(tmp_path / "again.json")
    opened = Tokenizer.load(tmp_path / "tokenizer.json")
    assert opened == made
    assert opened.words[:4] == SPECIALS
    for text in [*GERMAN, *ODD]:
        ids = opened.encode(text)
        assert ids == made.encode(text)
        assert all(UNK <= index < len(opened) for index in ids)
        assert opened.decode([*ids, EOS]) == made.decode(ids)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["format"] == (
        1 if form == "none" and kind in ("word", "whitespace") else 2
    )


def test_every_kind_is_tried_here() -> None:
    assert KINDS.keys() == OPTIONS.keys() | {"file"}


# Subwords


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("size", [310, 8_000])
@pytest.mark.parametrize("texts", [GERMAN, CHINESE], ids=["german", "chinese"])
def test_subwords_know_every_text_and_give_it_back(kind: str, size: int, texts: list[str]) -> None:
    tokenizer = learned(texts, tokenizer=kind, vocab_size=size)
    assert 260 < len(tokenizer) <= size
    for text in [*texts, *ODD, "ein nie gesehenes Wort: Ωmega 🦉"]:
        ids = tokenizer.encode(text)
        assert UNK not in ids
        assert tokenizer.unknown(text) == []
        assert tokenizer.decode(ids) == text.strip(" \t\n\r\f\v")
    assert tokenizer.encode(" \t ") == tokenizer.encode("") == []


def test_a_vocabulary_below_the_characters_spells_them_or_says_so() -> None:
    tokenizer = learned(GERMAN, tokenizer="bpe", vocab_size=261)
    assert len(tokenizer) == 261
    assert tokenizer.decode(tokenizer.encode(GERMAN[0])) == GERMAN[0]
    with pytest.raises(DataError, match="a vocabulary of 261 cannot hold the 33 characters"):
        learned(GERMAN, tokenizer="unigram", vocab_size=261)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(LEARNED))
def test_any_text_comes_back_from_subwords(text: str, kind: str) -> None:
    tokenizer = TRAINED[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == text.strip(" \t\n\r\f\v")


TRAINED = {kind: learned(GERMAN, tokenizer=kind, vocab_size=320) for kind in LEARNED}


def test_frequent_words_are_one_subword_and_rare_ones_are_spelled() -> None:
    tokenizer = learned(GERMAN, tokenizer="bpe")
    assert tokenizer.split("Das Kind lacht.") == [" Das", " Kind", " lacht", "."]
    assert tokenizer.split("Kind")[0] == " Kind"
    assert tokenizer.split("Ω") == [" ", "<0xCE>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.ids(["<0xCE>"])) == "\ufffd"


def test_a_written_special_is_unknown_or_plain_text() -> None:
    tokenizer = TRAINED["bpe"]
    ids = tokenizer.encode("Das <unk> Kind <eos>")
    assert ids.count(UNK) == 1
    assert EOS not in ids
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


def test_an_error_of_the_text_comes_out_of_the_training() -> None:
    def broken() -> Iterable[str]:
        yield "Das Kind"
        raise DataError("line 2 is not text")

    for kind in LEARNED:
        with pytest.raises(DataError, match="line 2 is not text"):
            learned(broken(), tokenizer=kind)


@pytest.mark.parametrize("kind", LEARNED)
def test_subwords_without_their_library_name_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer.from_json(TRAINED[kind].to_json())
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    for use in (lambda: learned(GERMAN, tokenizer=kind), lambda: tokenizer.encode("a")):
        with pytest.raises(MachineError) as caught:
            use()
        assert caught.value.hint == 'pip install "seqvae[subwords]"'
    assert tokenizer.decode([4 + ord("a")]) == "a", "decoding does not need it"


WRONG: list[dict[str, Any]] = [
    {"merges": "t h"},
    {"merges": [["t"]]},
    {"merges": [["t", 1]]},
    {"merges": [["t", "x"]]},
    {"merges": [["th", "h"]]},
    {},
    {"merges": [], "more": 1},
    {"words": [*SPECIALS, "t", "h", "th"]},
    {"kind": "unigram"},
]


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_damaged_subwords_are_refused(change: dict[str, Any]) -> None:
    good = {"format": 2, "kind": "bpe", "lower": False, "normalize": "nfc", "merges": [["t", "h"]]}
    good["words"] = [*SPECIALS, *subwords.BYTES, "t", "h", "th"]
    assert Tokenizer.from_json(good).split("th") == [*(["<0x20>"]), "th"]
    with pytest.raises(DataError):
        Tokenizer.from_json({**good, **change} if change else {key: good[key] for key in good if key != "merges"})


@pytest.mark.parametrize("scores", [[-1.0], [-1.0, 0.5], [-1.0, float("nan")], [-1.0, "x"], None])
def test_damaged_scores_are_refused(scores: object) -> None:
    value = {"format": 2, "kind": "unigram", "lower": False, "normalize": "none", "scores": scores}
    with pytest.raises(DataError, match="score"):
        Tokenizer.from_json({**value, "words": [*SPECIALS, *subwords.BYTES, "a", "b"]})


# Patterns


def test_atoms_and_bonds_of_smiles_are_tokens() -> None:
    molecules = ["c1cc[nH]c1Cl", "N[C@@H](CBr)C(=O)O", "C%10CC@@C%10", "F/C=C/[13CH3]>>CCl"]
    tokenizer = learned(molecules, pattern="smiles")
    assert tokenizer.kind == "regex"
    assert tokenizer.split(molecules[0]) == ["c", "1", "c", "c", "[nH]", "c", "1", "Cl"]
    assert tokenizer.split(molecules[1])[:3] == ["N", "[C@@H]", "("]
    assert tokenizer.split(molecules[2]) == ["C", "%10", "C", "C", "@@", "C", "%10"]
    assert [tokenizer.decode(tokenizer.encode(text)) for text in molecules] == molecules


def test_tokens_are_joined_by_spaces_unless_they_cover_them() -> None:
    apart, covering = learned(GERMAN, pattern=r"\w+"), learned(GERMAN, pattern=r" ?\w+")
    assert (apart.details["spaces"], covering.details["spaces"]) == (True, False)
    assert apart.decode(apart.encode("Das Kind lacht.")) == "Das Kind lacht ."
    assert covering.decode(covering.encode("Das Kind lacht.")) == "Das Kind lacht."


@settings(max_examples=100, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from([r"\w+", "a*", "(?<=b)", ".", "x|y"]),
)
def test_a_pattern_loses_nothing_but_space(text: str, pattern: str) -> None:
    pieces = Tokenizer("regex", False, SPECIALS, "none", {"pattern": pattern, "spaces": True}).split(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(pieces)


HOSTILE = [
    *("(a", "[", "a{2}{3}{", "(?P<n>a)(?P<n>b", r"\L<x>", "*", "(?(9)a)", "(?:" * 3_000, "(" * 900 + ")" * 900),
    *(
        "(?:(?:a{1000}){1000}){1000}",
        "a{1000}" * 3,
        "a" * 3_000,
        "(a(?R)?b)",
        "(a)(?1)",
        "(?P<n>a(?&n)?)",
        "(?P<n>a)(?P>n)",
    ),
]


@pytest.mark.parametrize("pattern", HOSTILE, ids=range(len(HOSTILE)))
def test_a_wrong_or_hostile_pattern_is_told_in_one_line(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        learned([], pattern=pattern)
    assert "\n" not in caught.value.message + caught.value.hint
    assert len(caught.value.message) < 250
    with pytest.raises(DataError):
        Tokenizer("regex", False, SPECIALS, "none", {"pattern": pattern, "spaces": True})


def test_a_pattern_that_would_take_years_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.05)
    tokenizer = learned(["b"], pattern="(a|aa)+b")
    with pytest.raises(DataError, match="one sentence of 5,000 characters"):
        tokenizer.encode("a" * 5_000)


# Characters and normalization


def test_a_character_is_what_a_reader_takes_for_one() -> None:
    tokenizer = learned(["İ e\u0301 👩‍👩‍👧 नमस्ते"], tokenizer="char")
    assert tokenizer.split("e\u0301👩‍👩‍👧स्ते🇩🇪") == ["e\u0301", "👩‍👩‍👧", "स्ते", "🇩🇪"]
    assert tokenizer.noun == "character"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_clusters_are_those_of_unicode(text: str) -> None:
    assert characters.clusters(text) == regex.findall(r"\X", text)


def test_what_is_split_without_looking_never_joins_its_neighbour() -> None:
    alone = [chr(i) for i in range(0x10000) if not 0xD800 <= i < 0xE000 and not characters._MAY_CLUSTER.search(chr(i))]
    assert len(alone) > 20_000
    assert regex.fullmatch(r"[\p{GCB=Other}\p{GCB=Control}\p{GCB=LF}]+", "".join(alone))


def test_old_vocabularies_of_code_points_encode_as_before() -> None:
    old = Tokenizer.from_json({"format": 1, "kind": "char", "lower": False, "words": [*SPECIALS, "e", "\u0301", " "]})
    assert old.encode("e\u0301 e") == [4, 5, 6, 4]
    assert old.to_json()["format"] == 1
    assert learned(["e\u0301 e"], tokenizer="char", code_points=True).encode("e\u0301") == [4, 6]


@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "bpe", "regex"])
def test_a_text_is_the_same_however_it_was_typed(kind: str) -> None:
    typed = [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in GERMAN]
    tokenizer = learned(typed, tokenizer=kind, normalize="nfc", lower=True, **OPTIONS[kind])
    for text in GERMAN:
        ids = tokenizer.encode(text)
        assert ids == tokenizer.encode(unicodedata.normalize("NFD", text)) == tokenizer.encode(text.lower())
        assert UNK not in ids
    assert not any(word != word.lower() for word in tokenizer.words if not word.startswith("<0x"))


@settings(max_examples=200, deadline=None)
@given(st.text(), st.sampled_from(["none", "nfc", "nfkc"]), st.booleans())
def test_normalizing_twice_changes_nothing(text: str, form: str, lower: bool) -> None:
    tokenizer = Tokenizer("whitespace", lower, SPECIALS, form)
    once = tokenizer.normalized(text)
    assert tokenizer.normalized(once) == once


def test_compatibility_forms_are_one_with_nfkc_alone() -> None:
    assert Tokenizer("whitespace", False, SPECIALS, "nfkc").split("ﬁne ２") == ["fine", "2"]
    assert Tokenizer("whitespace", False, SPECIALS, "nfc").split("ﬁne ２") == ["ﬁne", "２"]
    assert Tokenizer("word", True, SPECIALS, "nfc").split("İ İstanbul") == ["i̇", "i̇stanbul"]


def test_text_without_a_piece_to_keep_is_told() -> None:
    for options, message, hint in (
        ({}, "the training text has no word but <pad>, <bos>, <eos>, <unk>", "give text that has others"),
        ({"min_count": 2}, "no word occurs 2 times in the training text", "lower --min-count"),
        (
            {"min_count": 2, "tokenizer": "char"},
            "no character occurs 2 times in the training text",
            "lower --min-count",
        ),
    ):
        with pytest.raises(DataError) as caught:
            learned(["<unk>" if "tokenizer" not in options else "abc"], **options)
        assert (caught.value.message, caught.value.hint) == (message, hint)


def test_the_key_of_repeats_is_what_the_tokenizer_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "I\u0307 Cafe\u0301 \ufb01"
    for form in ("none", "nfc", "nfkc"):
        for lower in (False, True):
            settings = vocabulary.tokenizer_settings(lower=lower, normalize=form)
            tokenizer = settings.learn([text], None)[0]
            with monkeypatch.context() as patch:
                patch.setattr(vocabulary, "Tokenizer", None)  # none is made for a sentence
                assert settings.normalized(text) == tokenizer.normalized(text)
            given = vocabulary.tokenizer_settings(tokenizer=tokenizer)
            assert given.normalized(text) == tokenizer.normalized(text)


# Options that do not go together


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": "word", "vocab_size": 300}, "--vocab-size does not go with --tokenizer word"),
        ({"tokenizer": "bpe", "pattern": "a"}, "--pattern does not go with --tokenizer bpe"),
        ({"tokenizer": "bpe", "min_count": 2}, "--min-count does not go with --tokenizer bpe"),
        ({"tokenizer": "bpe", "vocab_size": 260}, "vocab_size is 260"),
        ({"tokenizer": "regex"}, "--tokenizer regex needs a pattern"),
        ({"tokenizer": "file"}, "--tokenizer file needs a file"),
        ({"pattern": "a", "tokenizer_file": "x"}, "--tokenizer-file does not go with --tokenizer regex"),
        ({"normalize": "nfd"}, "unknown normalization 'nfd'"),
        ({"tokenizer": "bep"}, "unknown tokenizer 'bep'"),
        ({"tokenizer": TRAINED["bpe"], "lower": True}, "--lower does not go with the tokenizer of a run"),
        ({"tokenizer": TRAINED["bpe"], "vocab_size": 300}, "--vocab-size does not go with the tokenizer of a run"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        vocabulary.tokenizer_settings(**options)


# Files of the tokenizers library


def library_file(path: Path, **parts: Any) -> Path:
    """A small file in the form of the library: a word-level model, unless parts say otherwise."""
    value: dict[str, Any] = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 50},
            "direction": "Right",
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        }
        | {"pad_to_multiple_of": None},
        "added_tokens": [
            {"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
            | {"special": True}
            for i, name in enumerate(["[PAD]", "[UNK]", "[SEP]"])
        ],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {"[PAD]": 0, "[UNK]": 1, "[SEP]": 2, "das": 3, "kind": 4, "<eos>": 5, ".": 6},
            "unk_token": "[UNK]",
        },
    }
    path.write_text(json.dumps(value | parts))
    return path


def test_special_tokens_of_a_file_give_way_to_ours(tmp_path: Path) -> None:
    tokenizer = learned([], tokenizer_file=library_file(tmp_path / "t.json"))
    assert tokenizer.kind == "file"
    assert tokenizer.words == (*SPECIALS, "das", "kind", ".")
    assert tokenizer.encode("Das Kind [SEP] [PAD] lacht .") == [4, 5, UNK, UNK, UNK, 6]
    assert tokenizer.unknown("Das Haus") == ["[UNK]"]
    assert tokenizer.decode([4, UNK, 5, EOS, 6]) == "das <unk> kind"
    assert Tokenizer.from_json(json.loads(tokenizer.to_bytes())) == tokenizer


@pytest.mark.parametrize("kind", ["byte level", "llama", "unigram"])
def test_files_of_known_makes_give_the_text_back(kind: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    made, special = Library(models.BPE(byte_fallback=True)), ["<s>", "</s>", "<pad>", "<unk>"]
    trainer: Any = trainers.BpeTrainer(special_tokens=[*special, *subwords.BYTES], vocab_size=400, show_progress=False)
    if kind == "byte level":
        made, alphabet = Library(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    elif kind == "llama":
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        made.decoder = decoders.Sequence(steps)
    else:
        made = Library(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(special_tokens=special, unk_token="<unk>", show_progress=False)
    made.train_from_iterator(GERMAN, trainer)
    made.save(str(tmp_path / "t.json"))
    tokenizer = learned([], tokenizer_file=tmp_path / "t.json")
    assert len(tokenizer) == made.get_vocab_size()
    for text in GERMAN:
        assert UNK not in tokenizer.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


LIBRARY_WRONG: dict[str, dict[str, Any]] = {
    "no model": {"model": None},
    "unknown model": {"model": {"type": "Markov"}},
    "no vocabulary": {"model": {"type": "WordLevel", "unk_token": "[UNK]"}},
    "specials alone": {
        "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "[UNK]": 1, "[SEP]": 2}, "unk_token": "[UNK]"}
    },
    "dropout": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}},
    "long words": {"model": {"type": "WordPiece", "max_input_chars_per_word": 10**6}},
    "long pieces": {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a" * 1000, -1.0]]}},
    "slow expression": {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|aa)+b"}, "behavior": "Isolated"}},
    "growing text": {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}},
    "growing start": {"normalizer": {"type": "Prepend", "prepend": "a" * 1000}},
    "nested": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [{"type": "X"}]}]}
    },
    "many parts": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 100}},
    "unknown decoder": {"decoder": {"type": "CTC"}},
    "a word as decoder": {"decoder": "x"},
    "damaged pattern": {"normalizer": {"type": "Replace", "pattern": "a", "content": "a"}},
    "damaged tokens": {"added_tokens": [7]},
}


@pytest.mark.parametrize("name", LIBRARY_WRONG)
def test_a_file_that_cannot_be_used_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    path = library_file(tmp_path / "t.json", **LIBRARY_WRONG[name])
    with pytest.raises(DataError) as caught:
        learned([], tokenizer_file=path)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\x80\x04pickle", b"[" * 100_000, b'{"model": 1}', b'{"words": []}']
)
def test_what_is_no_file_of_the_library_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.json"):
        learned([], tokenizer_file=tmp_path / "t.json")
    with pytest.raises(DataError, match="missing"):
        learned([], tokenizer_file=tmp_path / "missing.json")


def test_a_file_is_read_up_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "MOST_BYTES", 1 << 20)
    (tmp_path / "t.json").write_bytes(b" " * (1 << 21))
    with pytest.raises(DataError, match="more than 1 MiB"):
        learned([], tokenizer_file=tmp_path / "t.json")
