"""Files as records: the formats and their dialects, columns, what is dropped, and errors with file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqvae_cli.data import compression
from seqvae_cli.data.delimited import csv_rows
from seqvae_cli.data.readers import FORMATS, Reading, choose_columns, read_records
from seqvae_cli.data.records import Columns, Record
from seqvae_cli.errors import DataError, MachineError, SeqvaeError, UsageError

ROWS = [
    {"id": "1", "review": "Good, and cheap", "stars": "5"},
    {"id": "2", "review": 'He said "no" twice', "stars": "1"},
    {"id": "3", "review": "Zoë liked it; I did not", "stars": ""},
]
ALL = Columns("review", ("stars",), None, "id")
RECORDS = [Record(row["review"], (row["stars"],), row["id"]) for row in ROWS]


def records(path: Path, columns: Columns = ALL, **options: Any) -> list[Record]:
    reading = {name: options.pop(name) for name in ("format", "encoding") if name in options}
    return list(read_records(path, Reading(columns=columns, **reading), **options))


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def table(delimiter: str = ",", line_end: str = "\n", **options: Any) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(ROWS[0]), delimiter=delimiter, lineterminator=line_end, **options)
    writer.writeheader()
    writer.writerows(ROWS)
    return buffer.getvalue()


def parquet(path: Path, rows: list[dict[str, Any]] | None = None, **options: Any) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as module

    module.write_table(arrow.Table.from_pylist(rows or ROWS), path, **options)
    return path


JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", table()),
        ("a.csv", "\ufeff" + table(line_end="\r\n")),
        ("a.csv", table(quoting=csv.QUOTE_ALL).rstrip("\n")),
        ("a.csv", table(";")),
        ("a.csv", table("\t")),
        ("a.csv", table("|")),
        ("a.csv", table(quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\")),
        ("a.csv", table() + "\n\n"),
        ("a.TSV", table("\t")),
        ("a.tsv", table("\t", quoting=csv.QUOTE_NONE, quotechar=None)),
        ("a.jsonl", JSONL),
        ("a.ndjson", JSONL.replace('"id": "1"', '"id": 1').replace("\n", "\r\n\r\n")),
        ("a.jsonl", JSONL.replace('"stars": ""', '"stars": null')),
        ("a.jsonl", JSONL.replace(', "stars": ""', "")),
    ],
)
def test_every_format_gives_the_same_records(tmp_path: Path, name: str, data: str) -> None:
    assert records(written(tmp_path / name, data)) == RECORDS
    assert records(written(tmp_path / f"{name}.gz", gzip.compress(data.encode()))) == RECORDS
    form = {".ndjson": "jsonl"}.get(name[1:], name[2:].lower())
    assert records(written(tmp_path / "piped", data), format=form) == RECORDS


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_tables_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    for name, data in (("a.csv", table()), ("a.jsonl", JSONL)):
        assert records(written(tmp_path / name, data.encode(encoding)), encoding=encoding) == RECORDS


def test_parquet_is_read_in_batches_and_only_the_columns_that_are_needed(tmp_path: Path) -> None:
    rows = [{**row, "list": [1], "stars": 4, "good": True} for row in ROWS] * 1000
    path = parquet(tmp_path / "a.parquet", rows, row_group_size=700)
    told: list[int] = []
    found = records(path, Columns("review", ("stars", "good"), None, "id"), advance=told.append)
    assert found == [Record(row["review"], ("4", "true"), row["id"]) for row in ROWS] * 1000
    assert sum(told) == path.stat().st_size
    assert len(told) > 2
    damaged = written(tmp_path / "b.parquet", path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"b\.parquet is not a Parquet file"):
        records(damaged)
    with pytest.raises(UsageError, match="cannot be read from standard input"):
        list(read_records(io.BytesIO(path.read_bytes()), Reading("parquet")))


def test_zstandard_files_of_several_frames(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    half = len(JSONL) // 2
    frames = b"".join(zstandard.compress(part.encode()) for part in (JSONL[:half], JSONL[half:]))
    assert records(written(tmp_path / "a.jsonl.zst", frames)) == RECORDS
    with pytest.raises(DataError, match=r"a\.jsonl\.zst is damaged or cut short"):
        records(written(tmp_path / "a.jsonl.zst", frames[:-3]))


def test_zstandard_files_may_begin_with_a_frame_to_skip(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    for low in (0x50, 0x5F):
        skipped = bytes([low]) + b"\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"size"
        data = skipped + zstandard.compress(JSONL.encode()) + skipped
        assert records(written(tmp_path / "a.jsonl.zst", data)) == RECORDS
    assert list(read_records(io.BytesIO(b"P*\nX*M\n"), Reading())) == [Record("P*"), Record("X*M")], "text"


def test_a_zstandard_file_with_a_large_window_is_not_called_damaged(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    settings = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    packing = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    path = written(tmp_path / "a.txt.zst", packing.compress(b"the cat\n") + packing.flush())
    with pytest.raises(DataError, match=r"a\.txt\.zst was packed with a window of over 128 MiB") as caught:
        records(path, Columns())
    assert "zstd --long=31 -dc FILE | seqvae COMMAND -" in caught.value.hint


def test_a_cut_gzip_file_is_told_after_its_lines(tmp_path: Path) -> None:
    data = gzip.compress(b"the cat\n" * 100_000 + b"a dog\n")
    found = read_records(written(tmp_path / "a.txt.gz", data[:-9]), Reading())
    assert next(found) == Record("the cat")
    with pytest.raises(DataError, match=r"a\.txt\.gz is damaged or cut short"):
        list(found)


def test_a_bomb_is_unpacked_in_pieces() -> None:
    zstandard = pytest.importorskip("zstandard")
    bomb = zstandard.compress(bytes(1 << 28))
    left = [bomb]

    def read(size: int) -> bytes:
        piece, left[0] = left[0][:size], left[0][size:]
        return piece

    reader = compression.unpacked(read, "bomb")
    assert len(reader(1 << 16)) <= 1 << 16
    assert sum(iter(lambda: len(reader(1 << 20)), 0)) + (1 << 16) == 1 << 28


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name, data, extra in (
        ("pyarrow", "a.parquet", b"PAR1", "parquet"),
        ("zstandard", "a.txt.zst", compression.COMPRESSIONS[".zst"][0] + bytes(9), "zst"),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(MachineError, match=package) as caught:
            records(written(tmp_path / name, data), Columns())
        assert caught.value.hint == f'pip install "seqvae[{extra}]"'


def test_line_ends_in_a_text_become_spaces_and_are_counted(tmp_path: Path) -> None:
    data = 'id,review,stars\n1,"two\r\nlines",5\n2,"a lone\rCR\n\nand more ",1\n'
    dropped: Counter[str] = Counter()
    found = records(written(tmp_path / "a.csv", data), dropped=dropped)
    assert [one.text for one in found] == ["two lines", "a lone CR and more"]
    assert dropped["joined"] == 2
    found = records(written(tmp_path / "a.jsonl", json.dumps({"review": " a\n b", "id": 1}) + "\n"), Columns("review"))
    assert found == [Record("a b")]


def test_empty_and_overlong_texts_are_dropped_or_kept_empty(tmp_path: Path) -> None:
    long = "x" * ((1 << 20) + 1)
    path = written(tmp_path / "a.tsv", f"id\treview\n1\t\n2\t  \n\n3\tgood\n4\t{long[:-1]}\n")
    columns = Columns("review", (), None, "id")
    dropped: Counter[str] = Counter()
    assert [one.id for one in records(path, columns, dropped=dropped)] == ["3", "4"]
    assert dropped == {"empty": 3}
    assert [one.text[:4] for one in records(path, columns, keep_blank=True)] == ["", "", "good", "xxxx"]
    wide = written(tmp_path / "a.csv", "id,review\n1," + "é" * 600_000 + "\n2,b\n")
    dropped.clear()
    assert records(wide, columns, dropped=dropped) == [Record("b", (), "2")]
    assert dropped == {"too_long": 1}


def test_a_long_line_of_json_keeps_its_row_and_what_it_needs_is_kept(tmp_path: Path) -> None:
    mib = 1 << 20
    lines = [{"review": "short", "blob": "x" * mib}, {"review": "y" * (mib + 1)}, {"review": "\n" * mib + "z"}]
    path = written(tmp_path / "a.jsonl", "".join(json.dumps({**line, "tags": [1] * 9}) + "\n" for line in lines))
    dropped: Counter[str] = Counter()
    assert records(path, Columns("review"), dropped=dropped) == [Record("short")]
    assert dropped["too_long"] == 2
    assert records(path, Columns("review"), keep_blank=True) == [Record("short"), Record(""), Record("")]
    for line in ({"review": "a", "tags": ["t" * mib]}, {"review": "a", "tags": {"b": "t" * mib}}):
        kind = "a list" if isinstance(line["tags"], list) else "an object"
        with pytest.raises(DataError, match=f"line 1: 'tags' is {kind}, not text"):
            records(written(tmp_path / "b.jsonl", json.dumps(line)), Columns("review", ("tags",)))
    with pytest.raises(DataError, match=r"c\.jsonl has a line of over 16 MiB"):
        records(written(tmp_path / "c.jsonl", json.dumps({"review": "x" * (16 * mib)})), Columns("review"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", "id,review,stars\n1,a,5\n2,b\n", "line 3 has 2 fields, the header has 3"),
        ("a.csv", "id,review,stars\n1,a,5\n2,b, and c,1\n", "line 3 has 4 fields, the header has 3"),
        ("a.csv", 'id,review,stars\n1,"a\nb",5\n2,"b,3\n3,c,1\n', "line 4: a quotation mark opens here, and is never"),
        ("a.csv", 'id,review,stars\n1,"a",5\n2,"b" c,1\n3,c,d,1\n', "line 3: a quotation mark stands"),
        ("a.csv", "1,good,5\n2,bad,1\n", "line 1 should be a header, the names of the columns, and is: 1, good, 5"),
        ("a.csv", "id,review,id\n", "line 1: two columns have the name 'id'"),
        ("a.csv", ",".join(f"c{i}" for i in range(10_001)) + "\n", "line 1 has 10,001 columns, 10,000 are the most"),
        ("a.jsonl", json.dumps(dict.fromkeys(map(str, range(10_001)))), "line 1 has 10,001 keys"),
        ("a.csv", "id,review,stars\n1,a\0,5\n", "line 2: byte 19 is NUL"),
        ("a.csv", b"id,review,stars\n1,caf\xe9,5\n", "line 2: byte 21 (0xe9) is not utf-8"),
        ("a.jsonl", JSONL + "[1]\n", "line 4 is not a JSON object"),
        ("a.jsonl", JSONL + '{"review": \n', "line 4 is not a JSON object"),
        ("a.jsonl", "[" * 100_000, "line 1 is not a JSON object"),
        ("a.jsonl", JSONL + '{"id": "4"}\n', "line 4: no 'review'"),
        ("a.jsonl", '{"review": ["a"], "id": 1, "stars": 1}\n', "line 1: 'review' is a list, not text"),
        ("a.jsonl", '{"review": "a", "id": {"b": 1}, "stars": 1}\n', "line 1: 'id' is an object, not text"),
        ("a.jsonl", '{"review": "a\\ud800", "id": 1, "stars": 1}\n', "line 1: 'review' has half a character"),
        ("a.jsonl", '{"review": "a\\u0000", "id": 1, "stars": 1}\n', "line 1: 'review' has a NUL"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_file_and_line(
    tmp_path: Path, name: str, data: str | bytes, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        records(written(tmp_path / name, data))
    assert f"{tmp_path / name}" in caught.value.message
    assert said in caught.value.message


def test_the_limit_of_csv_fields_stays_that_of_the_process(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = written(tmp_path / "a.csv", f"id,review\n1,{'y' * 500_000}\n")
    (row,) = read_records(path, Reading(columns=Columns("review")))
    assert len(row.text) == 500_000
    assert csv.field_size_limit() == before


FIELD = st.text(st.characters(exclude_characters="\0\r", codec="utf-8"))


@given(
    st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(FIELD, min_size=n, max_size=n), min_size=1)),
    st.sampled_from(",;\t|"),
)
@example(rows=[[",\n", ""]], delimiter=",")
@example(rows=[['He said "hi"\nand left'], ["saved in C:\\dir\\"], ["good film"]], delimiter=",")
@example(rows=[['"\\"', "a"], ["", "\\"]], delimiter=",")
def test_what_csv_writes_is_read_back(rows: list[list[str]], delimiter: str) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["first", "second", "third"][: len(rows[0])], *rows])
    found = csv_rows(io.BytesIO(buffer.getvalue().encode()), "utf-8", "x", Counter())
    assert [list(row.values()) for _, row in found] == rows


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_a_backslash_is_an_escape_only_where_it_quotes_a_quote(quoting: int) -> None:
    """One column, and a quote within quotes doubled: as spreadsheets write it."""
    rows = [['He said "hi"\nand left'], ["saved in C:\\dir\\"], ["good film"]]
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator="\n").writerows([["text"], *rows])  # type: ignore[arg-type]
    found = csv_rows(io.BytesIO(buffer.getvalue().encode()), "utf-8", "x", Counter())
    assert [list(row.values()) for _, row in found] == rows


@given(st.binary(max_size=300), st.sampled_from([name for name in FORMATS if name != "parquet"]))
def test_any_bytes_are_read_or_refused(data: bytes, form: str) -> None:
    try:
        found = list(read_records(io.BytesIO(data), Reading(form)))
    except SeqvaeError:
        return
    assert all(one.text and "\n" not in one.text for one in found)


GUESSES = [
    ("text,label\nx,y\n", "text"),
    ("title,text\nA fine day out,B\n", "text"),
    ("id,Review\n1,x\n", "Review"),
    ("word\nx\n", "word"),
    ("id,what_they_said,stars\n1,It is rather good,5\n2,It is really bad,1\n", "what_they_said"),
    ("n,name\n1,Zoë\n2,Max\n", "name"),
    ("日付,文\n2024-01-01,今日は天気がいいですね\n2024-01-02,明日は雨が降るでしょう\n", "文"),
    ("comment,story\n5,good\n7,bad\n", "story"),
    ("content,story\nhttps://a.b/c,good\n,bad\n", "story"),
    ("said,at\nlook at https://a.b/c,5\nnot so https://a.b/c,7\n", "said"),
    ("text,at\n5,6\n", "text"),
    ("title,text\nA fine day out,5\n", "title"),
    (",SMILES,logp\n0,CCO,1.5\n1,c1ccccc1,2.5\n", "SMILES"),
    ("kind,said\na b c d,It is rather good\na b c d,It is really bad\na b c d,No it is not\n", "said"),
]


@pytest.mark.parametrize(("data", "column"), GUESSES)
def test_the_column_of_the_text_is_guessed(tmp_path: Path, data: str, column: str) -> None:
    path = written(tmp_path / "a.csv", data)
    assert choose_columns([(path, "a.csv")], Reading()).columns.text == column
    assert records(path, Columns())[0].text


def test_columns_that_are_given_are_not_guessed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "name,country\nZoë,FR\nMax,DE\n")
    assert choose_columns([(path, "a.csv")], Reading(columns=Columns(labels=("country",)))).columns.text == "name"
    with pytest.raises(UsageError) as caught:
        choose_columns([(path, "a.csv")], Reading())
    assert caught.value.message == "a.csv does not tell which column is the text"
    assert caught.value.hint == "--text one of 'name' (Zoë), 'country' (FR)"
    with pytest.raises(UsageError, match=r"a\.csv has no column 'nam'") as caught:
        choose_columns([(path, "a.csv")], Reading(columns=Columns("nam")))
    assert caught.value.hint == "did you mean 'name'?"
    with pytest.raises(UsageError, match="is text, without columns"):
        choose_columns([(written(tmp_path / "a.txt", "a\n"), "a.txt")], Reading(columns=Columns("nam")))
    with pytest.raises(UsageError, match="unknown format 'cvs'"):
        records(path, format="cvs")


def test_a_column_of_splits(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,part\na,train\nb,Dev\nc,TEST \nd,validation\n")
    assert [one.split for one in records(path, Columns("text", (), "part"))] == ["train", "valid", "test", "valid"]
    path.write_text("text,part\na,train\nb,test\nc,holdout\n")
    with pytest.raises(UsageError, match="the column 'part' says train, test, holdout") as caught:
        records(path, Columns("text", (), "part"))
    assert caught.value.hint.startswith("--split takes a column whose values are train, valid")
    with pytest.raises(DataError, match="line 4: 'holdout' is not a split; seen before: test, train"):
        records(path, Columns("text", (), "part"), sample=2)
