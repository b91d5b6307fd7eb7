"""The commands that read sentences: tables, several files, ids and labels that are passed through, streams."""

from __future__ import annotations

import csv
import gzip
import json
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seqvae_cli.cli import sentences
from seqvae_cli.cli.commands import encode
from seqvae_cli.data.readers import Reading
from seqvae_cli.data.records import Columns, Record
from seqvae_cli.data.windows import Pause
from seqvae_cli.errors import UsageError
from tests.conftest import Seqvae

ROWS = [("7", "the cat sees the sea", "good"), ("8", "", "bad"), ("9", 'a dog\n"likes" it', "")]


@pytest.fixture
def reviews(tmp_path: Path, trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of three rows, the second without text, the third of two lines, in a folder to work in."""
    assert trained_home.is_dir()
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "review", "mood"), *ROWS])
    return path


PASSED = ("--id", "id", "--label", "mood")
QUICK = {"score": ("--samples", "2")}


@pytest.mark.parametrize("command", ["encode", "score", "reconstruct"])
def test_ids_and_labels_reach_the_answer(reviews: Path, seqvae: Seqvae, command: str) -> None:
    quick = QUICK.get(command, ())
    answer = seqvae(command, *quick, str(reviews), *PASSED, "--json")
    found = [json.loads(line) for line in answer.lines]
    assert [row["text"] for row in found] == ["the cat sees the sea", "", 'a dog "likes" it']
    assert [row["id"] for row in found] == ["7", "8", "9"]
    assert [row["labels"] for row in found] == [{"mood": "good"}, {"mood": "bad"}, {"mood": ""}]
    assert found[1]["reason"] == "empty sentence"
    bare = [json.loads(line) for line in seqvae(command, *quick, str(reviews), "--json").lines]
    assert bare == [{key: value for key, value in row.items() if key not in ("id", "labels")} for row in found]
    piped = seqvae(
        command, *quick, "-", *PASSED, "--json", "--format", "csv", stdin=gzip.compress(reviews.read_bytes())
    )
    assert piped.out == answer.out


@pytest.mark.parametrize("command", ["score", "reconstruct"])
def test_ids_and_labels_are_the_last_columns(reviews: Path, seqvae: Seqvae, command: str) -> None:
    rows = list(csv.reader(seqvae(command, *QUICK.get(command, ()), str(reviews), *PASSED).lines, "excel-tab"))
    assert [row[-2:] for row in rows] == [["7", "good"], ["8", "bad"], ["9", ""]]
    assert len({len(row) for row in rows}) == 1


def test_codes_are_written_with_ids_and_labels(reviews: Path, seqvae: Seqvae, tmp_path: Path) -> None:
    second = tmp_path / "more.tsv"
    second.write_text("mood\treview\tid\nfine\tone small bird paints people\t10\n")
    assert seqvae("encode", str(reviews), str(second), *PASSED, "-o", "codes.tsv").code == 0
    head, *rows = csv.reader(Path("codes.tsv").read_text().splitlines(), "excel-tab")
    assert (head[0], head[-2:]) == ("text", ["id", "mood"])
    assert [row[-2:] for row in rows] == [["7", "good"], ["8", "bad"], ["9", ""], ["10", "fine"]]
    assert seqvae("encode", str(reviews), *PASSED, "-o", "codes.jsonl").code == 0
    assert [json.loads(line)["id"] for line in Path("codes.jsonl").read_text().splitlines()] == ["7", "8", "9"]
    assert seqvae("decode", "codes.jsonl").code == 0
    refused = seqvae("encode", str(reviews), "--id", "id", "-o", "codes.npy")
    assert refused.code == 2
    assert "without ids and labels" in refused.err


def test_rows_of_npy_are_written_as_they_come(tmp_path: Path) -> None:
    class Mean(list[float]):
        """A list that can be watched."""

        def __hash__(self) -> int:
            return id(self)

    alive: weakref.WeakSet[Mean] = weakref.WeakSet()

    def rows() -> Iterator[encode.Row]:
        for number in range(500):
            mean = Mean([number, -number])
            alive.add(mean)
            yield Record("the cat"), None if number == 7 else mean, None
            del mean
            assert len(alive) <= 2

    path = tmp_path / "codes.npy"
    encode._write_npy(path, rows(), 2)
    expected = np.array([[i, -i] for i in range(500)], np.float32)
    expected[7] = np.nan
    np.testing.assert_array_equal(np.load(path), expected)
    np.save(tmp_path / "saved.npy", expected)
    assert path.read_bytes() == (tmp_path / "saved.npy").read_bytes()
    encode._write_npy(path, [], 3)
    assert np.load(path).shape == (0, 3)


def test_an_output_is_a_file_without_two_columns_of_a_name(reviews: Path, seqvae: Seqvae) -> None:
    os.mkfifo("pipe.jsonl")
    refused = seqvae("encode", str(reviews), "-o", "pipe.jsonl")
    assert (refused.code, "'pipe.jsonl' is a pipe or a device" in refused.err) == (2, True)
    assert Path("pipe.jsonl").is_fifo()
    Path("twice.csv").write_text("text,mean_1\nthe cat sees the sea,1\n")
    refused = seqvae("encode", "twice.csv", "--text", "text", "--label", "mean_1", "-o", "codes.tsv")
    assert (refused.code, "two columns 'mean_1'" in refused.err) == (2, True)
    assert not Path("codes.tsv").exists()


def test_files_of_a_folder_that_are_no_text_are_told(tmp_path: Path, trained_home: Path, seqvae: Seqvae) -> None:
    assert trained_home.is_dir()
    for name in ("a.txt", "notes.md", "README.md"):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text("the cat sees the sea\n" * 30)
    for command in ("encode", "prepare"):
        answer = seqvae(command, str(tmp_path / "texts"))
        assert answer.code == 0
        assert "texts: 1 file skipped, of no known format: notes.md" in answer.err


@pytest.mark.parametrize("command", ["encode", "score", "reconstruct"])
def test_a_folder_gives_its_files_with_the_folders_as_a_label(reviews: Path, seqvae: Seqvae, command: str) -> None:
    for name, text in {"good": "the cat sees the sea\n", "bad": "a dog likes it\n\n"}.items():
        Path("films", name).mkdir(parents=True)
        Path("films", name, "1.txt").write_text(text)
    Path("lines.txt").write_text("it\n")
    quick = QUICK.get(command, ())
    found = [json.loads(line) for line in seqvae(command, *quick, "lines.txt", "films", "--json").lines]
    assert [(row["text"], row["labels"]["folder"]) for row in found] == [
        *(("it", ""), ("a dog likes it", "bad"), ("", "bad"), ("the cat sees the sea", "good"))
    ]
    answer = seqvae(command, *quick, "films", str(reviews), "--label", "mood")
    assert answer.code == 2
    assert "is text, without columns" in answer.err
    Path("tables", "north").mkdir(parents=True)
    Path("tables", "north", "a.csv").write_text("text,folder,mood\nit,1,fine\n")
    (line,) = seqvae(command, *quick, "tables", "--label", "mood", "--json").lines
    assert json.loads(line)["labels"] == {"mood": "fine", "folder": "north"}
    assert "two labels have the name 'folder'" in seqvae(command, *quick, "tables", "--label", "folder").err


def test_codes_do_not_replace_a_file_of_the_folder_that_is_read(reviews: Path, seqvae: Seqvae) -> None:
    assert reviews.exists()
    Path("rows").mkdir()
    Path("rows/a.jsonl").write_text('{"text": "the cat"}\n')
    answer = seqvae("encode", "rows", "-o", "rows/a.jsonl")
    assert answer.code == 2
    assert "'rows/a.jsonl' is the input" in answer.err


def test_a_file_without_the_columns_is_told_before_the_first_answer(reviews: Path, seqvae: Seqvae) -> None:
    Path("b.csv").write_text("review\nthe cat\n")
    Path("c.txt").write_text("the cat\n")
    for other, said in (("b.csv", "b.csv has no column 'id'"), ("c.txt", "c.txt is text, without columns")):
        answer = seqvae("encode", str(reviews), other, "--id", "id")
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err
    assert len(seqvae("encode", str(reviews), "c.txt", "--text", "review").lines) == 4, "text has no columns to name"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["score", "reviews.csv", "--text", "reviw"], 2, "did you mean 'review'?"),
        (
            ["score", "reviews.csv", "--label", "none"],
            2,
            "one of 'id' (7), 'review' (the cat sees the sea), 'mood' (good)",
        ),
        (["score", "the cat", "--format", "csv"], 2, "--format goes with files"),
        (["score", "the cat", "--id", "id"], 2, "columns go with files"),
        (["score", "-", "--format", "cvs"], 2, "did you mean 'csv'?"),
        (["score", "-", "--format", "parquet"], 2, "cannot be read from standard input"),
        (["score", "notes.txt", "--label", "mood"], 2, "is text, without columns"),
        (["encode", "lines.txt"], 4, "hint: seqvae encode lines.txt --format jsonl --text text; or --format txt"),
        (["prepare", "reviews.csv", "-"], 2, "standard input (-) cannot be combined with files"),
        (["prepare", "toy", "--label", "mood"], 2, "--label does not go with toy"),
        (["prepare", "reviews.csv", "toy"], 2, "toy is a corpus of its own"),
        (["prepare", "lines.txt"], 4, "hint: seqvae prepare lines.txt --format jsonl --text text; or --format txt"),
    ],
)
def test_what_does_not_go_together_is_told(
    reviews: Path, seqvae: Seqvae, arguments: list[str], code: int, said: str
) -> None:
    Path("notes.txt").write_text("the cat\n")
    Path("lines.txt").write_text('{"text": "the cat"}\n')
    assert reviews.exists()
    answer = seqvae(*arguments, stdin=b"the cat\n")
    assert answer.code == code
    assert said in answer.err
    assert answer.out == ""
    assert len(answer.err.splitlines()) <= 2


def test_prepare_tells_what_it_read(seqvae: Seqvae, tmp_path: Path) -> None:
    path = tmp_path / "Reviews.csv"
    path.write_text("id,review,mood\n" + "".join(f'{i},"two\nlines {i % 3}",{"ab"[i % 2]}\n' for i in range(20)))
    answer = seqvae("prepare", str(path), *PASSED)
    assert answer.code == 0
    assert "text: review; labels: mood; with ids; 20 texts of several lines, joined by spaces" in answer.err
    assert "next: seqvae train --data reviews" in answer.err


def from_pipe(data: bytes, reading: Reading) -> list[str]:
    """The sentences that a pipe with these bytes gives."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as source:
        os.write(writer, data)
        os.close(writer)
        lines = sentences.Lines(sentences._read([source], reading), reading, None)
        return [line for line in lines if not isinstance(line, Pause)]


@pytest.mark.parametrize(
    ("data", "columns", "expected"),
    [
        (b"id,text\n1,a dog\n", Columns(), ["a dog"]),
        (b"said\na dog\n", Columns(), ["a dog"]),
        (b"number,said\n1,a dog\n", Columns(id="number"), ["a dog"]),
        (b"number,said\n1,a dog\n", Columns("said"), ["a dog"]),
        (b"number,said\nx1,a dog\n", Columns(), None),
        (b"kind,said\nIt is one kind,good\nIt is one kind,It is really bad\n", Columns(), None),
        (b"title,text\na dog,\n", Columns(), None),
        (b"comment,story\n5,a dog\n", Columns(), None),
    ],
)
def test_a_pipe_gives_the_sentences_of_the_file_or_asks(
    tmp_path: Path, data: bytes, columns: Columns, expected: list[str] | None
) -> None:
    reading = Reading("csv", columns)
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    if expected is None:
        with pytest.raises(UsageError, match="the first row of standard input does not tell") as caught:
            from_pipe(data, reading)
        assert caught.value.hint.startswith("--text one of ")
    else:
        assert from_pipe(data, reading) == list(sentences.open_lines([str(path)], reading)) == expected


def test_the_column_that_is_guessed_is_said(reviews: Path, seqvae: Seqvae, tmp_path: Path) -> None:
    path, second = str(tmp_path / "a.csv"), str(tmp_path / "b.csv")
    for name in (path, second):
        Path(name).write_text("number,review\n1,the cat sees the sea\n")
    said = "text: review (--text says otherwise)\n"
    assert seqvae("encode", path, second).err == said
    assert seqvae("encode", path, "--text", "review").err == ""
    assert seqvae("encode", "-q", path).err == ""
    assert seqvae("encode", "-", "--format", "csv", stdin=Path(path).read_bytes()).err == said
    assert seqvae("score", path, "--samples", "2").err.startswith(said)
    assert seqvae("reconstruct", str(reviews)).err.startswith(said)


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("csv", b"id,text\n1,the cat\n", b"2,a dog\n"),
        ("jsonl", b'{"id": 1, "text": "the cat"}\n', b'{"text": "a dog"}\n'),
    ],
)
def test_a_table_in_a_pipe_is_answered_while_it_comes(form: str, first: bytes, second: bytes) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as source, os.fdopen(writer, "wb", buffering=0) as sink:
        lines = sentences.Lines(sentences._read([source], Reading(form, Columns(id="id"))), Reading(), None)
        found = iter(lines)
        sink.write(first)
        assert next(found) == "the cat"
        assert isinstance(next(found), Pause)
        sink.write(second)
        assert next(found) == "a dog"
        assert [lines.answered().id for _ in range(2)] == ["1", "2" if form == "csv" else ""]
        sink.close()
        # To the end: a thread that still reads would take the bytes of the next pipe, which may have the same number.
        assert all(isinstance(one, Pause) for one in found)
