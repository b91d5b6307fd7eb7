"""Rows 14 to 19: text as the world has it, for `prepare` and for the commands that read sentences."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data import corpus as corpora
from seqvae_cli.data import formats
from seqvae_cli.runs.run import Run
from tests.conftest import Answer, Seqvae, tiny_text
from tests.data.binaries import BINARIES
from tests.faults.matrix import FULL, assert_one_line, snapshot, some, still_loads
from tests.faults.processes import measured

READERS = {"encode": "mean", "reconstruct": "reconstruction", "score": "nll"}
"""Commands that read sentences, and what is null where there is none."""

SOME = list(READERS) if FULL else ["encode"]
"""They read by the same code: the default suite tries it through one of them."""

LINES = tiny_text()[::5]
CLEAN = "".join(f"{line}\n" for line in LINES).encode()


@pytest.fixture(autouse=True)
def nothing_is_harmed(trained_home: Path) -> Iterator[None]:
    """Whatever is read: the run that was there is as it was, and nothing half-written is left."""
    before = snapshot(trained_home / "runs")
    yield
    assert snapshot(trained_home / "runs") == before
    assert not [path for path in trained_home.rglob("*") if path.name.startswith(".")]
    still_loads(Run(trained_home / "runs" / "tiny-run"))


@pytest.fixture(params=["file", "stdin"] if FULL else ["stdin"])
def read(request: pytest.FixtureRequest, seqvae: Seqvae, tmp_path: Path) -> Any:
    """Calls a command on bytes, from a file and from stdin; messages call them `label`."""

    def call(command: str, data: bytes, *options: str) -> Answer:
        path = tmp_path / "text.txt"
        path.write_bytes(data)
        if request.param == "stdin":
            return seqvae(command, "-", *options, stdin=data)
        return seqvae(command, str(path), *options)

    call.label = "text.txt" if request.param == "file" else "standard input"  # type: ignore[attr-defined]
    return call


def rows(answer: Answer) -> list[dict[str, Any]]:
    """JSON Lines; only a line feed ends one."""
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.split("\n")[:-1]]


def corpus_hash(answer: Answer) -> str:
    """Of all ids and the vocabulary of a prepared corpus."""
    assert answer.code == 0, answer.err
    return str(json.loads(answer.out)["hash"])


# Row 14

FOREIGN = {
    "latin-1": (b"the cat\nthe d\xf6g\n", ("line 2", "byte 13 (0xf6)", "--encoding"), "latin-1"),
    "cut": (b"the cat\nthe d\xc3", ("line 2", "byte 13 (0xc3)", "--encoding"), None),
    "surrogate": (b"the cat\n\xed\xa0\x80\n", ("line 2", "byte 8", "--encoding"), None),
    "utf-16": ("the cat\nthe dög\n".encode("utf-16"), ("line 1", "byte 0", "--encoding utf-16"), "utf-16"),
    "utf-16-le": ("the cat\nthe dog\n".encode("utf-16-le"), ("line 1", "byte 1", "--encoding"), "utf-16-le"),
    "utf-32": ("the cat\nthe dög\n".encode("utf-32"), ("line 1", "byte 0", "--encoding utf-32"), "utf-32"),
}
"""Bytes, what must be said of them, and the encoding that they are in."""


@pytest.mark.row(14)
@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("command", ["prepare", *SOME])
def test_text_that_is_not_utf_8_is_named_with_file_line_and_byte(
    read: Any, trained_home: Path, command: str, kind: str
) -> None:
    data, words, _ = FOREIGN[kind]
    before = snapshot(trained_home)
    answer = read(command, data)
    assert answer.code == 4
    assert_one_line(answer.err, read.label, *words)
    assert snapshot(trained_home) == before


@pytest.mark.row(14)
@pytest.mark.parametrize("kind", [kind for kind in FOREIGN if FOREIGN[kind][2]])
def test_the_encoding_that_is_named_then_gives_the_very_ids(read: Any, kind: str) -> None:
    encoding = FOREIGN[kind][2] or ""
    text = ("Zoë sees the sea\nder Bär paints it\n" * 20).encode()
    other = text.decode().encode(encoding)
    same = [read("prepare", data, "--json", "--encoding", name) for data, name in ((text, "utf-8"), (other, encoding))]
    assert len({corpus_hash(answer) for answer in same}) == 1
    for command in SOME:
        expected, found = read(command, text), read(command, other, "--encoding", encoding)
        assert expected.code == found.code == 0
        assert found.out == expected.out


@pytest.mark.row(14)
@pytest.mark.parametrize("command", [*READERS, "interpolate", "sample --start"])
def test_an_argument_that_is_not_utf_8_is_wrong_usage(seqvae: Seqvae, command: str) -> None:
    """Python hands over what it cannot decode as halves of surrogate pairs."""
    answer = seqvae(*command.split(), "the d\udcf6g", *(["a dog"] if command == "interpolate" else []))
    assert answer.code == 2
    assert answer.out == ""
    assert_one_line(answer.err)
    answer.err.encode()


# Row 15


@pytest.mark.row(15)
@pytest.mark.parametrize("data", [b"", b"\n \t\r\n\n", b"\xef\xbb\xbf", b"\xc2\xa0\n"], ids=ascii)
def test_text_without_sentences_is_no_corpus(read: Any, trained_home: Path, data: bytes) -> None:
    before = snapshot(trained_home)
    answer = read("prepare", data)
    assert answer.code == 4
    assert_one_line(answer.err, "no sentences", read.label, "the train split is empty")
    assert snapshot(trained_home) == before


@pytest.mark.row(15)
@pytest.mark.parametrize(("count", "split"), [(1, "valid"), (2, "test")])
def test_too_few_lines_say_which_split_is_empty(read: Any, trained_home: Path, count: int, split: str) -> None:
    before = snapshot(trained_home)
    answer = read("prepare", b"the cat sees it\n" * count)
    assert answer.code == 4
    assert_one_line(answer.err, f"{count} sentence", f"the {split} split is empty")
    assert snapshot(trained_home) == before


@pytest.mark.row(15)
@pytest.mark.parametrize("split", ["valid", "test"])
def test_an_empty_file_of_a_split_is_named(read: Any, tmp_path: Path, split: str) -> None:
    (tmp_path / "none.txt").write_bytes(b" \n")
    answer = read("prepare", CLEAN, f"--{split}", str(tmp_path / "none.txt"))
    assert answer.code == 4
    assert_one_line(answer.err, "no sentences", "none.txt", f"the {split} split is empty")


@pytest.mark.row(15)
@pytest.mark.parametrize("command", READERS)
def test_a_filter_gives_as_many_rows_as_it_reads(read: Any, command: str) -> None:
    for data, count in ((b"", 0), (b"\n\n \n", 3), (b"the cat sees it", 1)):
        assert len(rows(read(command, data, "--json"))) == count


# Row 16

LONG = [b"the cat sees it", b"the cat sees " * 800_000, b"a dog likes it", b"x" * 10_000_000, b"it"]


@pytest.mark.row(16)
@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        ("prepare", True),
        *([("prepare", False), *((name, here) for name in READERS for here in (0, 1))] if FULL else []),
    ],
)
def test_a_line_of_10_mb_is_counted_as_too_long_and_never_held(tmp_path: Path, command: str, stdin: bool) -> None:
    data = b"\n".join(LONG) + b"\n"
    (tmp_path / "long.txt").write_bytes(data)
    source = "-" if stdin else str(tmp_path / "long.txt")
    cost = measured(command, source, "--json", stdin=data if stdin else b"")
    assert cost.code == 0, cost.err
    assert cost.bytes < 500_000_000
    if command == "prepare":
        assert cost.bytes < 100_000_000  # without torch
        splits = json.loads(cost.out)["splits"]
        assert sum(split["too_long"] for split in splits.values()) == 2
        assert sum(split["sentences"] for split in splits.values()) == 3
    else:
        found = [row[READERS[command]] is None for row in map(json.loads, cost.out.splitlines())]
        assert found == [False, True, False, True, False]
        assert "2 lines of over 1 MiB were too long" in cost.err


@pytest.mark.row(16)
@pytest.mark.parametrize("command", READERS)
def test_a_line_that_is_too_long_keeps_its_row(read: Any, command: str) -> None:
    answer = read(command, b"\n".join(LONG[:3]), "--json")
    assert [row[READERS[command]] is None for row in rows(answer)] == [False, True, False]
    assert "1 line of over 1 MiB was too long" in answer.err


# Row 17

SAME = {
    "CRLF": CLEAN.replace(b"\n", b"\r\n"),
    "BOM": b"\xef\xbb\xbf" + CLEAN,
    "BOM and CRLF": b"\xef\xbb\xbf" + CLEAN.replace(b"\n", b"\r\n"),
    "lone CR": CLEAN.replace(b"the cat", b"the\rcat").replace(b"a dog", b"a\rdog"),
    "CRLF here and there": CLEAN.replace(b"sea\n", b"sea\r\n"),
    "no last line end": CLEAN[:-1],
    "bare CR": CLEAN.replace(b"\n", b"\r"),
}


@pytest.mark.row(17)
@pytest.mark.parametrize("kind", SAME)
def test_line_ends_and_marks_give_the_very_ids_of_the_clean_file(read: Any, kind: str) -> None:
    assert SAME[kind] != CLEAN
    for tokenizer in ("word", "char"):
        found, expected = (read("prepare", data, "--json", "--tokenizer", tokenizer) for data in (SAME[kind], CLEAN))
        assert corpus_hash(found) == corpus_hash(expected)


@pytest.mark.row(17)
@pytest.mark.parametrize("kind", SAME)
@pytest.mark.parametrize("command", SOME)
def test_line_ends_and_marks_change_no_row(read: Any, command: str, kind: str) -> None:
    expected = rows(read(command, CLEAN, "--json"))
    assert [row["text"] for row in expected] == LINES
    assert rows(read(command, SAME[kind], "--json")) == expected


@pytest.mark.row(17)
@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x1c", "\f", "\v"], ids=ascii)
def test_nothing_but_a_line_end_ends_a_line(read: Any, mark: str) -> None:
    text = f"the cat{mark}a dog\n".encode()
    splits = json.loads(read("prepare", text * 30, "--json").out)["splits"]
    assert sum(split["sentences"] for split in splits.values()) == 30
    for command in SOME:
        (row,) = rows(read(command, text, "--json"))
        assert row["text"] == f"the cat{mark}a dog"
        assert row[READERS[command]] is not None
        assert len(read(command, text).out.split("\n")) == 2


@pytest.mark.row(17)
@pytest.mark.parametrize("command", ["prepare", *SOME])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"the cat\nthe \0dog\n", ("line 2", "byte 12")),
        (b"\0", ("line 1", "byte 0")),
        ((b" " * 99 + b"\n") * 3000 + b"a\0", ("line 3001", "byte 300001")),
    ],
    ids=["within", "alone", "late"],
)
def test_a_nul_is_bad_data_with_line_and_byte(read: Any, command: str, data: bytes, words: tuple[str, ...]) -> None:
    answer = read(command, data)
    assert answer.code == 4
    assert_one_line(answer.err, read.label, *words, "NUL")


# Row 18


@pytest.mark.row(18)
@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("source", ["arguments", "stdin"])
def test_an_unknown_word_is_read_as_unk_with_one_warning(seqvae: Seqvae, command: str, source: str) -> None:
    def call(*texts: str) -> Answer:
        if source == "arguments":
            return seqvae(command, *texts, "--json")
        return seqvae(command, "-", "--json", stdin="\n".join(texts).encode())

    answer = call("the zebra sees the zebra", "a gnu likes it", "the zebra")
    assert answer.err == "warning: 4 of 11 words are unknown, read as <unk>: 'zebra', 'gnu'\n"
    expected = call("the <unk> sees the <unk>", "a <unk> likes it", "the <unk>")
    assert expected.err == ""
    for row, other in zip(rows(answer), rows(expected), strict=True):
        assert row[READERS[command]] == other[READERS[command]]


@pytest.mark.row(18)
def test_interpolate_reads_unknown_words_as_unk_with_one_warning(seqvae: Seqvae) -> None:
    answer = seqvae("interpolate", "the zebra sees it", "a gnu sees the zebra", "--json")
    assert answer.err == "warning: 3 of 9 words are unknown, read as <unk>: 'zebra', 'gnu'\n"
    expected = seqvae("interpolate", "the <unk> sees it", "a <unk> sees the <unk>", "--json")
    assert expected.err == ""
    assert json.loads(answer.out)["steps"] == json.loads(expected.out)["steps"]


@pytest.mark.row(18)
def test_many_unknown_words_are_one_line_that_steers_no_terminal(seqvae: Seqvae) -> None:
    words = ["\x1b[31mred"] + [f"w{number:03}" for number in range(500)]
    answer = seqvae("encode", "-", stdin="\n".join(words * 3).encode())
    assert len(rows(answer)) == len(words) * 3
    (line,) = answer.err.splitlines()
    assert line.startswith(
        "warning: 1,503 of 1,503 words are unknown, read as <unk>, among them '\\x1b[31mred', 'w000', "
    )
    assert line.endswith(", 'w008'")
    assert "\x1b" not in line


# Row 19

ODD = {
    "emoji": "the cat 👩‍👩‍👧‍👦 sees 🇩🇪 👍🏽",
    "right-to-left": "القط sees הבית",
    "marked direction": "\u202ethe cat\u202c sees it",
    "combining marks": "Zoe\u0308 sees the cafe\u0301 n\u0303",
    "many marks": "t" + "\u0301" * 500 + "he cat",
    "no width": "\u200b",
    "variation": "❤️ ✈︎",
}


@pytest.mark.row(19)
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("command", SOME)
def test_odd_sentences_come_back_as_they_went_in(seqvae: Seqvae, command: str, kind: str) -> None:
    text = f"{ODD[kind]}\nthe cat sees it\n".encode()
    first, second = rows(seqvae(command, "-", "--json", stdin=text))
    assert first["text"] == ODD[kind]
    assert first[READERS[command]] is not None
    assert second["text"] == "the cat sees it"
    (row,) = rows(seqvae(command, ODD[kind], "--json"))
    assert row["text"] == ODD[kind]


@pytest.mark.row(19)
@pytest.mark.parametrize("tokenizer", ["word", "whitespace", "char", "bpe", "unigram"])
def test_odd_sentences_are_words_of_a_corpus_like_others(read: Any, tokenizer: str) -> None:
    from seqvae_cli.data import corpus

    answer = read("prepare", "".join(f"{line}\n" for line in ODD.values()).encode() * 20, "--tokenizer", tokenizer)
    assert answer.code == 0, answer.err
    made = corpus.latest()
    assert sum(len(made.split(split)) for split in ("train", "valid", "test")) == 20 * len(ODD)
    for text in ODD.values():
        assert made.tokenizer.unknown(text) == []
        again = made.tokenizer.decode(made.tokenizer.encode(text))
        assert again.replace(" ", "") == unicodedata.normalize("NFC", text).replace(" ", "")


@pytest.mark.row(19)
@pytest.mark.parametrize("empty", ["", " \t\u3000", "\r\n"] if FULL else [""], ids=ascii)
@pytest.mark.parametrize("command", [*READERS, "interpolate"])
def test_an_empty_sentence_as_an_argument_is_wrong_usage(seqvae: Seqvae, command: str, empty: str) -> None:
    for texts in ((empty, "the cat"), ("the cat", empty)):
        answer = seqvae(command, *texts)
        assert answer.code == 2
        assert answer.out == ""
        assert_one_line(answer.err, "empty sentence")


@pytest.mark.row(19)
@pytest.mark.parametrize("command", READERS)
def test_an_empty_sentence_in_a_stream_keeps_its_row_with_the_reason(read: Any, command: str) -> None:
    key = READERS[command]
    text = "\nthe cat sees it\n \t\n\u3000\na dog likes it\n\r\n".encode()
    answer = read(command, text, "--json")
    found = rows(answer)
    assert [row[key] is None for row in found] == [True, False, True, True, False, True]
    assert all(("reason" in row) == (row[key] is None) for row in found)
    assert {row["reason"] for row in found if row[key] is None} == {"empty sentence"}
    assert answer.err == "warning: 4 empty sentences; their rows are kept\n"
    assert len(read(command, text).out.split("\n")) == 7


# Row 38


@pytest.mark.row(38)
@pytest.mark.parametrize("name", some(list(BINARIES), 5))
@pytest.mark.parametrize("command", ["prepare", *SOME])
def test_a_file_that_is_not_text_is_called_what_it_is(seqvae: Seqvae, tmp_path: Path, command: str, name: str) -> None:
    path = tmp_path / "sentences.txt"
    path.write_bytes(BINARIES[name])
    for encoding in ("utf-8", "latin-1"):
        answer = seqvae(command, str(path), "--encoding", encoding)
        assert answer.code == 4
        assert answer.err == f"error: {path} is {name}, not text\nhint: {formats.recognize(BINARIES[name]).advice}\n"  # type: ignore[union-attr]
    assert not list(corpora.list_prepared())[1:]
