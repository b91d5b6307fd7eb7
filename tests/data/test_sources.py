"""Where text comes from: files, folders, streams, and what is refused."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from seqvae_cli.data import sources
from seqvae_cli.data.prepare import prepare, prepare_text
from seqvae_cli.data.sources import text_source
from seqvae_cli.errors import DataError, UsageError
from tests.data.corpora import left_behind, prepared, sentences, whole


def test_split_files_in_a_folder_are_recognized(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    for name in ("c.train.txt", "c.dev.txt", "c-test.txt", "notes.md", ".hidden.txt"):
        (one / name).write_text(f"{name}\n")
    assert {split: paths[0].name for split, paths in text_source(one).files.items()} == {  # type: ignore[union-attr]
        **{"train": "c.train.txt", "valid": "c.dev.txt"},
        "test": "c-test.txt",
    }
    (one / "val.txt").touch()
    with pytest.raises(UsageError, match=r"val\.txt"):
        text_source(one)
    two = tmp_path / "two"
    two.mkdir()
    with pytest.raises(DataError, match=r"no \.txt"):
        text_source(two)
    for name in ("b.txt", "a.txt"):
        (two / name).write_text(f"{name[0]}")
    corpus = prepare_text(text_source(two), "two", valid_fraction=0.0, test_fraction=0.0).corpus
    assert sentences(corpus) == ["a", "b"]


def test_a_split_that_the_source_has_is_neither_replaced_nor_drawn(tmp_path: Path) -> None:
    folder, other = tmp_path / "one", tmp_path / "other.txt"
    folder.mkdir()
    for name in ("train.txt", "valid.txt"):
        (folder / name).write_text("a b\nc d\n")
    other.write_text("e\n")
    with pytest.raises(UsageError, match=r"its own valid split: .*valid\.txt"):
        text_source(folder, valid=other)
    with pytest.raises(UsageError, match="its own valid split"):
        prepare(folder, valid_fraction=0.3)
    corpus = prepare(folder, test=other).corpus
    assert {split: len(corpus.split(split)) for split in corpus.splits} == {"train": 2, "valid": 2, "test": 1}


def test_names_are_checked_and_derived_from_paths(text: Path) -> None:
    with pytest.raises(UsageError, match="'Bad Name'"):
        prepare_text(text_source(text), "Bad Name")
    assert sources.name_of("dir/My News.txt") == "my-news"
    assert sources.name_of("-") == "stdin"
    assert sources.name_of("._x.csv") == "x"
    assert sources.name_of("日本.txt") == "text"


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xc2\xa0\n"])
def test_text_without_sentences_is_a_data_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"no sentences in .*t\.txt: the train split is empty"):
        whole(tmp_path / "t.txt", data)


def test_an_empty_validation_file_is_a_data_error(tmp_path: Path, text: Path) -> None:
    (tmp_path / "v.txt").write_text("\n")
    with pytest.raises(DataError, match=r"v\.txt: the valid split is empty"):
        prepare_text(text_source(text, valid=tmp_path / "v.txt"), "given")


def test_missing_paths_and_folders_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        text_source(tmp_path / "none.txt")
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match="is a folder"):
        text_source(tmp_path, valid=tmp_path)


@pytest.mark.parametrize("stage", ["hash", "count"])
def test_text_that_changes_while_it_is_read_is_a_data_error(text: Path, stage: str) -> None:
    def watch(current: str, _done: int, _total: int | None) -> None:
        if current == stage:
            with text.open("a") as file:
                file.write("one more\n")

    with pytest.raises(DataError, match="changed while it was read"):
        prepared(text, watch=watch)


def test_standard_input_is_spooled_and_removed(text: Path) -> None:
    source = text_source(io.BytesIO(text.read_bytes()))
    corpus = prepare_text(source, "given").corpus
    assert corpus.path == prepared(text).corpus.path
    assert left_behind() == []
    with pytest.raises(DataError, match="no sentences in standard input"):
        prepare_text(text_source(io.BytesIO(b"")), "given")
    with pytest.raises(DataError, match="standard input, line 1: byte 0 "):
        prepare_text(text_source(io.BytesIO(b"\xff")), "given")
    assert left_behind() == []


def test_pipes_are_spooled(text: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(text.read_bytes()))
    writer.start()
    corpus = prepared(pipe).corpus
    writer.join()
    assert corpus.hash == prepared(text).corpus.hash


def test_a_pattern_names_the_files_that_match_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts" / "more").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "c.csv", ".hidden.txt", "more/d.txt", "[1].txt"):
        (tmp_path / "parts" / name).write_text(f"text\nthe file {name} has a line\n")
    monkeypatch.chdir(tmp_path)

    def names(*patterns: str | Path) -> list[str]:
        return [path.as_posix() for path in sources.expanded(patterns) if isinstance(path, Path)]

    assert names("parts/*.txt") == ["parts/[1].txt", "parts/a.txt", "parts/b.txt"]
    assert names("parts/?.*") == ["parts/a.txt", "parts/b.txt", "parts/c.csv"]
    assert names("parts/**/[cd].*") == ["parts/c.csv", "parts/more/d.txt"]
    assert names("parts/[1].txt", "parts") == ["parts/[1].txt", "parts"], "an existing path is not read as a pattern"
    assert names(tmp_path / "parts" / "*.csv") == [(tmp_path / "parts" / "c.csv").as_posix()]
    assert names("missing.txt") == ["missing.txt"]
    with pytest.raises(DataError, match=r"^no file matches parts/\*\.zip$"):
        names("parts/*.zip")
    stream = io.BytesIO(b"")
    assert sources.expanded([stream]) == [stream]
    corpus = prepare(["parts/?.txt", "parts/more/*"], valid_fraction=0.0, test_fraction=0.0).corpus
    assert (corpus.name, corpus.info["source"]) == ("a", "a.txt, b.txt, d.txt")
    assert sentences(corpus)[1::2] == [f"the file {name} has a line" for name in ("a.txt", "b.txt", "more/d.txt")]
