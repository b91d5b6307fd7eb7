"""`seqvae arithmetic`: sentences and files in an expression, streams, and malformed expressions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seqvae_cli import api
from tests.conftest import Seqvae

A, B, C = "the cat sees the sea", "a dog likes it", "my sister paints people"

CALL = ["arithmetic", "--threads", "1"]
"""Tiny tensors: threads would only wait for each other."""

pytestmark = pytest.mark.usefixtures("trained_home")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(f"{A}\n\n{C}\n")
    (tmp_path / "b.csv").write_text(f"number,said,who\n1,{B},x\n2,{A},y\n")
    return tmp_path


def test_three_sentences_give_the_decoding_of_their_sum(seqvae: Seqvae) -> None:
    model = api.load("tiny-run")
    answer = seqvae(*CALL, A, "-", B, "+", C, "--scale", "2.5")
    assert answer.code == 0, answer.err
    a, b, c = model.encode([A, B, C])
    assert answer.lines == model.decode(c + np.float32(2.5) * (a - b))
    assert seqvae(*CALL, A, "-", A, "+", C).lines == model.reconstruct([C])
    assert seqvae(*CALL, A, "-", B, "+", C, "--scale", "0").lines == model.reconstruct([C])
    beam = seqvae(*CALL, A, "-", A, "+", C, "--beam", "2")
    assert beam.lines == seqvae("reconstruct", C, "--beam", "2", "--threads", "1").lines


def test_files_stand_for_the_mean_of_their_codes(seqvae: Seqvae, folder: Path) -> None:
    assert folder.is_dir()
    answer = seqvae(*CALL, "a.txt", "-", "b.csv", "+", C, "--text", "said")
    assert answer.code == 0, answer.err
    model = api.load("tiny-run")
    assert answer.lines == model.shift([C], model.offset([A, C], [B, A]))
    assert "1 empty sentence; its row is left out" in answer.err


def test_a_stream_is_answered_in_order_with_its_ids_and_labels(seqvae: Seqvae, folder: Path) -> None:
    assert folder.is_dir()
    rows = [{"said": A, "n": 1, "who": "x"}, {"said": "", "n": 2, "who": "y"}, {"said": B, "n": 3, "who": ""}]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    columns = ["--format", "jsonl", "--text", "said", "--id", "n", "--label", "who"]
    (folder / "a.jsonl").write_bytes(data)
    expression = [*CALL, "a.jsonl", "-", B, "+", "-", *columns]
    found = [json.loads(line) for line in seqvae(*expression, "--json", stdin=data).lines]
    model = api.load("tiny-run")
    (_, first), (_, last) = model.shift_stream([A, B], model.offset([A, B], [B]))
    assert first is not None
    assert last is not None
    assert found == [
        {"id": "1", "labels": {"who": "x"}, "text": A, "result": first.text, "cut": first.cut},
        {"id": "2", "labels": {"who": "y"}, "text": "", "result": None, "cut": False, "reason": "empty sentence"},
        {"id": "3", "labels": {"who": ""}, "text": B, "result": last.text, "cut": last.cut},
    ]
    plain = seqvae(*expression, stdin=data)
    assert [line.split("\t") for line in plain.lines] == [[first.text, "1", "x"], ["", "2", "y"], [last.text, "3", ""]]
    lines = seqvae(*CALL, A, "-", B, "+", "-", stdin=f"{A}\n\n{B}\n".encode()).lines
    assert lines[1] == ""
    assert len(lines) == 3


@pytest.mark.parametrize(
    "expression",
    [
        [],
        [A],
        [f"{A} - {B} + {C}"],
        [A, "-", B],
        [A, "+", B, "-", C],
        [A, "-", B, "-", C],
        [A, "-", B, "+", C, "+", C],
        ["-", "-", B, "+", C],
        [A, "-", "-", "+", C],
    ],
)
def test_another_expression_is_answered_with_the_form(seqvae: Seqvae, expression: list[str]) -> None:
    answer = seqvae(*CALL, *expression)
    assert answer.code == 2
    assert answer.out == ""
    assert "seqvae arithmetic " in answer.err
    assert len(answer.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([A, "-", "gone.txt", "+", C], 2, "no file 'gone.txt'"),
        ([A, "-", "", "+", C], 2, "empty sentence"),
        ([A, "-", B, "+", C, "--text", "said"], 2, "columns go with files"),
        ([A, "-", B, "+", C, "--format", "csv"], 2, "--format goes with files"),
        (["b.csv", "-", B, "+", C, "--label", "who"], 2, "columns go with files"),
        ([A, "-", B, "+", "a.txt", "--text", "said"], 2, "a.txt is text, without columns"),
        (["b.csv", "-", B, "+", C, "--text", "where"], 2, "where"),
        (["blank.txt", "-", B, "+", C], 4, "blank.txt has no sentences"),
        ([A, "-", B, "+", C, "--scale", "-1"], 2, "--scale"),
        ([A, "-", B, "+", C, "--scale", "nan"], 2, "--scale"),
    ],
)
def test_bad_input_is_told_in_a_line(seqvae: Seqvae, folder: Path, arguments: list[str], code: int, said: str) -> None:
    (folder / "blank.txt").write_text("\n \n")
    answer = seqvae(*CALL, *arguments)
    assert answer.code == code
    assert answer.out == ""
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_unknown_words_of_all_terms_are_told(seqvae: Seqvae) -> None:
    answer = seqvae(*CALL, "a zebra", "-", "the gnu", "+", "my okapi")
    assert all(name in answer.err for name in ("'zebra'", "'gnu'", "'okapi'"))
