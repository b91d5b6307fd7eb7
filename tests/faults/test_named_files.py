"""Row 37: names of files that are none, several files, text that is not one sentence a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seqvae_cli.runs.run import Run
from tests.conftest import Seqvae, tiny_text
from tests.faults.matrix import assert_one_line, snapshot, still_loads

READERS = ["encode", "reconstruct", "score"]
WITH_SIGNS = ["and/or", "C/C=C/C", "CC*", "*"]


@pytest.fixture(autouse=True)
def nothing_is_harmed(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = snapshot(trained_home)
    yield
    assert snapshot(trained_home) == before
    still_loads(Run(trained_home / "runs" / "tiny-run"))


@pytest.mark.row(37)
@pytest.mark.parametrize(
    "name", ["missing.csv", "missing.JSONL", "codes.npy", "some/where", "./x", "/no/x", "a.txt.gz", "news*.txt"]
)
@pytest.mark.parametrize("command", READERS)
def test_what_looks_like_a_file_and_is_none_is_no_sentence(seqvae: Seqvae, command: str, name: str) -> None:
    Path("here.txt").write_text("the cat\n")
    Path("some").mkdir()
    for arguments in ([name], ["the cat", name], [name, "the cat"], ["here.txt", name], [name, "here.txt"]):
        answer = seqvae(command, *arguments)
        assert (answer.code, answer.out) == (2, "")
        assert_one_line(answer.err, f"no file {name!r}")
        assert f"echo SENTENCE | seqvae {command} -" in answer.err


@pytest.mark.row(37)
@pytest.mark.parametrize(
    "text",
    ["Hello.", "the cat / a dog", "It costs 3.50.", "it", "I like node.js", "see a.txt now", *WITH_SIGNS],
)
def test_a_sentence_is_no_name_of_a_file(seqvae: Seqvae, text: str) -> None:
    (line,) = seqvae("encode", text).lines
    assert json.loads(line)["text"] == text


@pytest.mark.row(37)
@pytest.mark.parametrize("command", READERS)
def test_several_files_are_all_their_lines_in_order(seqvae: Seqvae, command: str) -> None:
    Path("german.txt").write_text("the cat\n\na dog likes it")  # without a last line end
    Path("other").write_text("my sister\n")
    expected = seqvae(command, "-", "--json", stdin=b"the cat\n\na dog likes it\nmy sister\n")
    answer = seqvae(command, "german.txt", "other", "--json")
    assert answer.code == 0
    assert answer.out == expected.out
    assert len(answer.lines) == 4


@pytest.mark.row(37)
@pytest.mark.parametrize("command", READERS)
def test_files_and_sentences_do_not_mix(seqvae: Seqvae, command: str) -> None:
    Path("german.txt").write_text("the cat\n")
    for arguments in (["german.txt", "the cat"], ["the cat", "german.txt"]):
        answer = seqvae(command, *arguments)
        assert (answer.code, answer.out) == (2, "")
        assert_one_line(answer.err, "'german.txt' is a file, 'the cat' is not a file")


@pytest.mark.row(37)
def test_a_folder_without_text_is_told(seqvae: Seqvae) -> None:
    Path("texts").mkdir()
    for name in ("./texts", "texts"):
        answer = seqvae("encode", name)
        assert (answer.code, answer.out) == (4, "")
        assert_one_line(answer.err, "texts has no .txt")
        answer = seqvae("encode", name, "the cat")
        assert (answer.code, answer.out) == (2, "")
        assert_one_line(answer.err, f"{name!r} is a folder, 'the cat' is not a file")


@pytest.mark.row(37)
@pytest.mark.parametrize("name", ["german.txt", "missing.txt", "./x"])
def test_interpolate_takes_no_files(seqvae: Seqvae, name: str) -> None:
    Path("german.txt").write_text("the cat\n")
    answer = seqvae("interpolate", "the cat", name)
    assert (answer.code, answer.out) == (2, "")
    assert_one_line(answer.err, f"{name!r} looks like a file")


@pytest.mark.row(37)
def test_several_files_of_codes_are_one_stream(seqvae: Seqvae) -> None:
    codes = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    np.save("first.npy", codes[:2])
    Path("second.jsonl").write_text(json.dumps(codes[2].tolist()) + "\n")
    np.save("whole.npy", codes)
    answer = seqvae("decode", "first.npy", "second.jsonl", "--temperature", "2")
    assert answer.code == 0
    assert answer.out == seqvae("decode", "whole.npy", "--temperature", "2").out
    assert len(set(answer.lines)) == 3
    answer = seqvae("decode", "first.npy", "missing.npy")
    assert (answer.code, answer.out) == (4, "")
    assert_one_line(answer.err, "missing.npy: no such file")
    assert seqvae("decode", "first.npy", "-").code == 2


@pytest.mark.row(37)
@pytest.mark.parametrize("arguments", [["prepare"], ["train", "--config"], ["runs", "import"]])
def test_other_commands_name_the_missing_file(seqvae: Seqvae, arguments: list[str]) -> None:
    answer = seqvae(*arguments, "missing.txt")
    assert answer.code == 4
    assert answer.out == ""
    assert_one_line(answer.err, "missing.txt")


@pytest.mark.row(37)
@pytest.mark.parametrize("stdin", [False, True], ids=["file", "stdin"])
def test_a_book_on_one_line_is_named_for_what_it_is(seqvae: Seqvae, stdin: bool) -> None:
    book = b"It was the best of times. " * 80_000
    Path("book.txt").write_bytes(book)
    answer = seqvae("prepare", "-" if stdin else "book.txt", stdin=book)
    assert answer.code == 4
    label = "standard input" if stdin else "book.txt"
    assert_one_line(answer.err, f"{label} is one line of 2.1 MB, not a sentence a line", "sentence splitter")


@pytest.mark.row(37)
@pytest.mark.parametrize("command", READERS)
def test_lines_that_end_at_bare_cr_are_sentences(seqvae: Seqvae, command: str) -> None:
    lines = tiny_text()[:5]
    expected = seqvae(command, "-", "--json", stdin="\n".join(lines).encode())
    answer = seqvae(command, "-", "--json", stdin="\r".join(lines).encode())
    assert answer.out == expected.out
    assert len(answer.lines) == 5
