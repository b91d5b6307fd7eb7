"""Text to ids and back."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqvae_cli.data.tokenizer import BOS, EOS, PAD, SPECIALS, UNK, Tokenizer
from seqvae_cli.errors import DataError

SENTENCES = [
    "I don't know.",
    '"I don\'t know," said Mr. Smith, "if the U.S. economy (3.5%) grew by $1,000 in \'90s money."',
    "The well-known dogs' tails wag; is it 10:30?!",
    "See https://example.org/a?b=1. Mail a.b@example.org, e.g. now...",
    "AT&T and/or rock'n'roll: C'est “good” and ‘fine’.",
    "He said 'no way' -- twice.",
    "A 3-year-old #tag by @user costs £3 [sic] {or more}.",
    "¿Qué tal? ¡Bien! Der Fluß ist 5,5 km lang.",
    "``Quoted the old way,'' he said.",
    "cafe\u0301 😀 👩‍👩‍👧 नमस्ते दुनिया",
    "Inc. and Co. are St. Louis' firms, etc. are not.",
]


def fitted(*texts: str, kind: str = "word", lower: bool = False, min_count: int = 1) -> Tokenizer:
    split = Tokenizer(kind, lower, SPECIALS).split
    return Tokenizer.fit(Counter(piece for text in texts for piece in split(text)), kind, lower, min_count)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_words_of_a_sentence_join_to_the_same_sentence(sentence: str) -> None:
    tokenizer = fitted(sentence)
    ids = tokenizer.encode(sentence)
    assert UNK not in ids
    assert tokenizer.decode(ids) == sentence


def test_words_are_split_as_expected() -> None:
    split = Tokenizer("word", False, SPECIALS).split
    assert split('"Don\'t," said U.S. rock-climbers (at 3.5% or $1,000).') == [
        *('"', "Don't", ",", '"', "said", "U.S.", "rock-climbers"),
        *("(", "at", "3.5", "%", "or", "$", "1,000", ")", "."),
    ]
    assert split("The end.Next one") == ["The", "end", ".", "Next", "one"]
    assert Tokenizer("word", True, SPECIALS).split("The U.S. Dr. İ") == ["the", "u.s.", "dr.", "i̇"]


WORD = st.from_regex(r"[A-Za-z]{1,8}(?:['-][a-z]{1,4})?|[1-9][0-9]{0,2}(?:\.[0-9]|,[0-9]{3})?", fullmatch=True)
CLAUSE = st.lists(WORD, min_size=1, max_size=5).map(" ".join)
WRAPPED = st.tuples(CLAUSE, st.sampled_from(["{}", '"{}"', "({})", "[{}]", "“{}”", "{}%", "${}"])).map(
    lambda pair: pair[1].format(pair[0]) if not pair[1].startswith("$") else "$5 " + pair[0]
)
ORDINARY = st.tuples(
    st.lists(st.tuples(WRAPPED, st.sampled_from([",", ";", ":", " --", ""])), min_size=1, max_size=4),
    st.sampled_from(".!?"),
).map(lambda parts: " ".join(clause + mark for clause, mark in parts[0]) + parts[1])


@settings(max_examples=150, deadline=None)
@given(ORDINARY)
def test_ordinary_sentences_round_trip(sentence: str) -> None:
    tokenizer = fitted(sentence)
    assert tokenizer.decode(tokenizer.encode(sentence)) == sentence


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_splitting_words_loses_nothing_but_space(text: str) -> None:
    pieces = Tokenizer("word", False, SPECIALS).split(text)
    assert "".join(pieces) == "".join(text.split())
    assert all(pieces)


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_chars_round_trip_with_their_spaces(text: str) -> None:
    tokenizer = fitted(text, kind="char")
    assert tokenizer.decode(tokenizer.encode(text)) == text.strip(" \t\n\r\f\v")
    if "<unk>" not in text:
        assert tokenizer.tokens(tokenizer.encode(text)) == list(text.strip(" \t\n\r\f\v"))


@settings(max_examples=150, deadline=None)
@given(st.text(), st.booleans())
def test_whitespace_splits_at_ascii_space_alone(text: str, lower: bool) -> None:
    tokenizer = Tokenizer("whitespace", lower, SPECIALS)
    expected = (text.lower() if lower else text).encode("utf-8", "surrogatepass").split()
    assert [piece.encode("utf-8", "surrogatepass") for piece in tokenizer.split(text)] == expected
    assert Tokenizer("whitespace", False, SPECIALS).split("a\u2028b c\u0085d\x1ce\u00a0f") == [
        "a\u2028b",
        "c\u0085d\x1ce\u00a0f",
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5),
    st.sampled_from(["word", "whitespace", "char"]),
    st.booleans(),
)
def test_json_round_trip_keeps_every_id(texts: list[str], kind: str, lower: bool) -> None:
    tokenizer = fitted(*texts, kind=kind, lower=lower)
    again = Tokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again == tokenizer
    assert [again.encode(text) for text in texts] == [tokenizer.encode(text) for text in texts]
    assert again.words[:4] == SPECIALS


@pytest.mark.parametrize("kind", ["word", "whitespace"])
def test_no_text_becomes_a_special_id(kind: str) -> None:
    tokenizer = fitted("a <pad> <bos> <eos> <unk>", kind=kind)
    assert len(tokenizer) == 5
    assert tokenizer.encode("<pad> <bos> <eos> <unk> a") == [UNK, UNK, UNK, UNK, 4]
    assert tokenizer.unknown("<unk> b <eos> a") == ["b", "<eos>"]


def test_chars_know_the_unknown_sign() -> None:
    tokenizer = fitted("ab", kind="char")
    ids = tokenizer.encode("axb")
    assert ids == [4, UNK, 5]
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


def test_vocabulary_is_ordered_by_count_then_word_and_cut_by_count() -> None:
    tokenizer = Tokenizer.fit(Counter({"b": 3, "a": 3, "z": 9, "rare": 1, "<unk>": 99}), "whitespace", False, 2)
    assert tokenizer.words == (*SPECIALS, "z", "a", "b")
    assert tokenizer.encode("a rare z") == [5, UNK, 4]


def test_decoding_stops_at_the_end_and_skips_what_is_no_text() -> None:
    tokenizer = fitted("a b")
    assert tokenizer.decode([BOS, 4, PAD, 5, EOS, 4]) == "a b"
    assert tokenizer.tokens([BOS, 4, UNK, EOS, 99]) == ["a", "<unk>"]
    with pytest.raises(DataError, match="99"):
        tokenizer.decode([99])
    with pytest.raises(DataError, match="-1"):
        tokenizer.decode([-1])


def test_saving_and_loading(tmp_path: Path) -> None:
    tokenizer = fitted('naïve 日本 "q" \\', kind="whitespace")
    digest = tokenizer.save(tmp_path / "tokenizer.json")
    assert digest == fitted('naïve 日本 "q" \\', kind="whitespace").save(tmp_path / "again.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json") == tokenizer


GOOD = {"format": 1, "kind": "whitespace", "lower": False, "words": [*SPECIALS, "a"]}


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], "x", {}, {**GOOD, "format": "1"}, {**GOOD, "format": True}, {**GOOD, "format": 0}),
        *({**GOOD, "kind": "bpe"}, {**GOOD, "kind": None}, {**GOOD, "lower": 1}, {**GOOD, "words": "abc"}),
        *({**GOOD, "extra": 1}, {**GOOD, "words": ["a"]}, {**GOOD, "words": [*SPECIALS, "a", "a"]}),
        *(
            {**GOOD, "words": [*SPECIALS, "<pad>"]},
            {**GOOD, "words": [*SPECIALS, ""]},
            {**GOOD, "words": [*SPECIALS, 7]},
        ),
        *({**GOOD, "words": [*SPECIALS, "a b"]}, {**GOOD, "words": [*SPECIALS, "\ud800"]}, {**GOOD, "words": []}),
        {**GOOD, "kind": "char", "words": [*SPECIALS, "ab"]},
    ],
)
def test_malformed_vocabularies_are_refused(value: object) -> None:
    with pytest.raises(DataError):
        Tokenizer.from_json(value)


def test_a_newer_format_says_so_and_a_bad_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="newer version") as caught:
        Tokenizer.from_json({**GOOD, "format": 3})
    assert "upgrade" in caught.value.hint
    for content in (b"", b"{", b"\x80\x04pickle", b"[" * 100_000, json.dumps({**GOOD, "kind": "x"}).encode()):
        (tmp_path / "t.json").write_bytes(content)
        with pytest.raises(DataError, match=r"t\.json"):
            Tokenizer.load(tmp_path / "t.json")


@pytest.mark.parametrize(
    "text", ["a+" * 50_000, "http://" + "." * 100_000, "a." * 50_000, "'" * 100_000, "s'" * 50_000]
)
def test_splitting_takes_linear_time(text: str) -> None:
    start = time.perf_counter()
    Tokenizer("word", False, SPECIALS).split(text)
    assert time.perf_counter() - start < 5
