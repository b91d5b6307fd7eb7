"""Hints: the name that was meant, and counts with their nouns."""

from __future__ import annotations

import itertools

import pytest

from seqvae_cli.errors import counted, edits, meant, nearest


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("ab", "ba", 1), ("list", "lsit", 1), ("kitten", "sitting", 3), ("a", "", 1), ("ca", "abc", 3)],
)
def test_edits_are_those_of_optimal_string_alignment(first: str, second: str, distance: int) -> None:
    assert edits(first, second, 5) == edits(second, first, 5) == distance
    assert edits(first, second, max(0, distance - 1)) == max(0, distance - 1) + (distance > 0)


def test_edits_of_one_operation_are_one() -> None:
    word = "abcd"
    for i in range(len(word)):
        assert edits(word, word[:i] + word[i + 1 :], 3) == 1
        assert edits(word, word[:i] + "x" + word[i:], 3) == 1
        assert edits(word, word[:i] + "x" + word[i + 1 :], 3) == 1
    for i, j in itertools.pairwise(range(len(word))):
        assert edits(word, word[:i] + word[j] + word[i] + word[j + 1 :], 3) == 1


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("smaple", "sample"),
        ("Sample", "sample"),
        ("recontsruct", "reconstruct"),
        ("interp", "interpolate"),
        ("generate", ""),
        ("help", ""),
        ("list", ""),
        ("s", ""),
        ("", ""),
        ("in", ""),
    ],
)
def test_a_name_is_meant_only_where_it_is_near(name: str, found: str) -> None:
    assert meant(name, ["sample", "reconstruct", "interpolate", "score", "eval"]) == found


def test_a_beginning_of_several_names_is_none_of_them() -> None:
    assert meant("toy-def", ["toy-default-1", "toy-default-2", "ptb"]) == ""
    assert meant("toy-def", ["toy-default-1", "toy-best", "ptb"]) == "toy-default-1"


def test_names_that_are_known_are_all_told_but_of_many() -> None:
    assert nearest("x", ["c", "b", "a"]) == "known: a, b, c"
    assert nearest("nothing", [f"n{i:02}" for i in range(20)]).count(",") == 19
    assert nearest("nothing", [f"n{i:02}" for i in range(21)]).endswith("n07 and 13 more")
    assert nearest("nothing", []) == ""


def test_one_of_a_kind_is_singular() -> None:
    assert [counted(count, "sentence") for count in (0, 1, 2, 1234)] == [
        *("0 sentences", "1 sentence", "2 sentences", "1,234 sentences")
    ]
