"""`seqvae traverse`: its three forms of output, the words that it marks, and what it refuses."""

from __future__ import annotations

import json
import re

import pytest

from seqvae_cli import api
from seqvae_cli.cli import boundary, display, marks
from tests.cli.terminal import on_terminal
from tests.conftest import Seqvae

SENTENCE = "the cat sees the sea"

CALL = ["traverse", "--threads", "1"]
"""Tiny tensors: threads would only wait for each other."""

pytestmark = pytest.mark.usefixtures("trained_home")


def test_json_is_what_the_library_finds(seqvae: Seqvae) -> None:
    answer = seqvae(*CALL, SENTENCE, "--dim", "2", "--dim", "0", "--dim", "2", "--steps", "3", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    expected = api.load("tiny-run").traverse(SENTENCE, dimensions=[2, 0], steps=3).to_json()
    assert found == {"run": "tiny-run", "random": False, "from": SENTENCE, **expected}
    assert [one["dimension"] for one in found["dimensions"]] == [2, 0]
    assert [step["quantile"] for step in found["dimensions"][0]["steps"]] == [0.01, 0.5, 0.99]


def test_off_a_terminal_a_value_has_a_row_of_four_columns(seqvae: Seqvae) -> None:
    answer = seqvae(*CALL, SENTENCE, "--top", "2", "--steps", "4")
    rows = [line.split("\t") for line in answer.lines]
    assert {len(row) for row in rows} == {4}
    model = api.load("tiny-run")
    assert rows[:2] == [["from", "", "", SENTENCE], ["original", "", "", model.reconstruct([SENTENCE])[0]]]
    found = model.traverse(SENTENCE, top=2, steps=4)
    assert [row[0] for row in rows[2:]] == [str(one.index) for one in found.dimensions for _ in range(4)]
    assert [row[3] for row in rows[2:]] == [made.text for one in found.dimensions for made in one.sentences]
    assert [float(row[2]) for row in rows[2:6]] == pytest.approx(found.dimensions[0].values, abs=6e-4)
    assert [row[1] for row in rows[2:6]] == ["0.010", "0.337", "0.663", "0.990"]
    assert seqvae(*CALL, "--random", "--seed", "3", "--top", "1").lines[0].startswith("original\t\t\t")


@pytest.mark.usefixtures("fresh_display")
@pytest.mark.parametrize("color", [True, False])
def test_a_terminal_marks_the_words_that_changed(monkeypatch: pytest.MonkeyPatch, color: bool) -> None:
    screen = on_terminal(monkeypatch)
    assert boundary.main([*CALL, SENTENCE, "--steps", "5", *([] if color else ["--no-color"])]) == 0
    lines = screen.getvalue()[screen.getvalue().index("from ") :].splitlines()
    found = api.load("tiny-run").traverse(SENTENCE, steps=5)
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert all(len(line) <= 80 for line in plain)
    assert f"dimension {found.dimensions[0].index}, {found.dimensions[0].rate:.2f} nats" in " ".join(plain)
    same = [line for line, bare in zip(lines, plain, strict=True) if bare.endswith(found.original.text)]
    assert all("\x1b" not in line for line in same)
    assert len(plain) >= 2 + 4 * 7
    assert any("\x1b" in line for line in lines)
    assert any("\x1b[1;33m" in line for line in lines) == color


def test_words_are_marked_where_they_differ_and_characters_where_there_are_no_words() -> None:
    assert list(marks.changed("a b c", "a x c d")) == [("a", False), ("x", True), ("c", False), ("d", True)]
    assert not any(new for _, new in marks.changed("a b c", "a c")), "a word that is left out has no place"
    assert list(marks.changed("abc", "abd")) == [("a", False), ("b", False), ("d", True)]


@pytest.mark.usefixtures("fresh_display")
def test_long_sentences_are_wrapped_below_their_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    monkeypatch.setattr(display.settings, "color", False)
    text = "one two three four five six seven"
    found = marks.lines("head  ", text, text, 20)
    assert found == ["head  one two three", "      four five six", "      seven"]
    assert marks.lines("x ", "a", "a \x1b[31m", 80)[0].count("\x1b") == 2, "only those of the mark"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--random"),
        (["a", "b"], 2, "2 sentences"),
        (["--random", "the cat"], 2, "--random"),
        ([""], 2, "empty"),
        (["text.txt"], 2, "looks like a file"),
        (["-"], 2, "standard input (-) is not read"),
        (["the cat", "--dim", "4"], 2, "no dimension 4"),
        (["the cat", "--dim", "1", "--top", "2"], 2, "--top"),
        (["the cat", "--steps", "1"], 2, "--steps"),
        (["the cat", "--dim", "-1"], 2, "--dim"),
    ],
)
def test_wrong_usage_is_told_in_a_line(seqvae: Seqvae, arguments: list[str], code: int, said: str) -> None:
    answer = seqvae(*CALL, *arguments)
    assert answer.code == code
    assert answer.out == ""
    assert said in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_unknown_words_are_told(seqvae: Seqvae) -> None:
    answer = seqvae(*CALL, "a zebra", "--top", "1", "--steps", "2", "--json")
    assert "'zebra'" in answer.err
    assert json.loads(answer.out)["from"] == "a zebra"
