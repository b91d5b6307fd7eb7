"""The dialects of tables: quotes that are quotes or text, headers that are none, numbers as they are written."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest

from seqvae_cli.data import delimited, lookalikes
from seqvae_cli.data.delimited import SAMPLE, json_rows
from seqvae_cli.data.readers import FORMATS, Reading, choose_columns, read_records
from seqvae_cli.data.records import Columns
from seqvae_cli.errors import DataError, UsageError


def rows(data: str, form: str = "csv", **options: object) -> list[list[str]]:
    """The rows of a table, with its header."""
    read = FORMATS[form].rows
    assert read is not None
    found = [row for _, row in read(io.BytesIO(data.encode()), "utf-8", "a", Counter(), **options)]
    return [list(found[0]), *(list(row.values()) for row in found)]


def filler(delimiter: str) -> str:
    return "".join(f"{i}{delimiter}quite plain{delimiter}pos\n" for i in range(SAMPLE // 10))


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        ("csv", 'text\n"first line\nsecond line"\nplain\n', [["first line\nsecond line"], ["plain"]]),
        ("tsv", 'text\n"first line\nsecond line"\nplain\n', [["first line\nsecond line"], ["plain"]]),
        ("csv", 'text\n"今天\n天气"\n好\n', [["今天\n天气"], ["好"]]),
        ("csv", 'id,text\n1,"a\nb, c"\n2,d\n', [["1", "a\nb, c"], ["2", "d"]]),
        ("csv", 'text\n"Yes\nit is good\n', [['"Yes'], ["it is good"]]),
        ("csv", 'id,text\n1,"Yes\n2,it is good\n', [["1", '"Yes'], ["2", "it is good"]]),
        ("tsv", 'id\ttext\n1\t"a\nb"\n2\tc\n', [["1", "a\nb"], ["2", "c"]]),
        ("tsv", 'id\ttext\n1\t"Hi\n2\tit is 5"\n', [["1", '"Hi'], ["2", 'it is 5"']]),
    ],
)
def test_quotes_around_fields_are_quotes(form: str, data: str, expected: list[list[str]]) -> None:
    assert rows(data, form)[1:] == expected


def test_quotes_that_come_late_in_a_table_of_tabs_are_text() -> None:
    late = '9\t"Hello there\tpos\n10\tit is 5"\tneg\n'
    assert rows("id\ttext\tmood\n" + filler("\t") + late, "tsv")[-2:] == [
        ["9", '"Hello there', "pos"],
        ["10", 'it is 5"', "neg"],
    ]
    late = '9,"Hello, there\nand here",pos\n'
    assert rows("id,text,mood\n" + filler(",") + late)[-1] == ["9", "Hello, there\nand here", "pos"]


@pytest.mark.parametrize("first", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_a_first_line_for_excel_tells_the_delimiter(first: str) -> None:
    assert rows(first + "id;text\n1;a, b\n") == [["id", "text"], ["1", "a, b"]]
    assert rows(first.replace(";", "^") + "id^text\n1^a, b\n") == [["id", "text"], ["1", "a, b"]]
    with pytest.raises(DataError, match="a, line 4 has 1 field, the header has 2"):
        rows(first + "id;text\n1;a\n2\n")
    with pytest.raises(DataError, match="a table of 3 columns, separated by semicolons"):
        lookalikes.refuse(first + "id;text;mood\n" + "1;a;b\n" * 20, "a.txt", "seqvae prepare")


NO_HEADERS = [
    "This was a great film.\nI hated it a lot.\n",
    "a great film for all,pos\nI hated it,neg\n",
    "I loved it,pos\nI hated it,neg\nso so,pos\nfine,pos\n",
    "I loved it!,pos\nnot me,neg\n",
    "今天的天气真的非常好啊我们去公园,a\n",
    "好！,a\n",
    "1,fine,good\n2,bad,sad\n",
    "fine,5\nbad,1\n",
]


@pytest.mark.parametrize("data", NO_HEADERS)
def test_a_first_row_that_is_data_is_no_header(tmp_path: Path, data: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(data)
    with pytest.raises(DataError, match="line 1 should be a header") as caught:
        choose_columns([(path, str(path))], Reading())
    assert caught.value.hint == "put a header before it; or, if it is one, name its column of the text with --text"
    header = ["text", "mood", "kind"][: 1 + data.partition("\n")[0].count(",")]
    assert len(rows(",".join(header) + "\n" + data)) == 1 + data.count("\n")


@pytest.mark.parametrize(
    "header",
    ["text,2019,2020", "who,2019,Spam?", "No.,said by whom,Recommended?", "Timestamp,Your name", "id,kind", "word"],
)
def test_unusual_names_are_a_header(header: str) -> None:
    names = header.split(",")
    assert rows(f"{header}\n{','.join('a' * len(names))}\n")[0] == names


def test_a_column_that_is_asked_for_makes_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Timestamp,What did you like about it?\n9:00,the food\n")
    with pytest.raises(DataError, match="should be a header"):
        list(read_records(path, Reading()))
    asked = Reading(columns=Columns("What did you like about it?"))
    assert [one.text for one in read_records(path, asked)] == ["the food"]
    path.write_text("0,1\nthe food,9\n")
    assert [one.text for one in read_records(path, Reading(columns=Columns("0")))] == ["the food"]


def test_a_text_over_the_limit_is_dropped_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"text\na\n{'x' * ((1 << 20) + 1)}\nb\n".encode()
    dropped: Counter[str] = Counter()
    found = read_records(io.BytesIO(data), Reading("csv"), dropped=dropped, keep_blank=True)
    assert [one.text for one in found] == ["a", "", "b"]
    assert dropped == {"too_long": 1}
    lines = [
        '{"id": 1, "text": "a"}',
        json.dumps({"id": 2, "text": "x" * ((1 << 20) + 1)}),
        "",
        '{"id": 3, "text": "b"}',
    ]
    dropped.clear()
    columns, data = Columns("text", ("id",)), "\n".join(lines).encode()
    found = read_records(io.BytesIO(data), Reading("jsonl", columns), dropped=dropped, keep_blank=True)
    assert [(one.text, *one.labels) for one in found] == [("a", "1"), ("", "2"), ("b", "3")]
    assert dropped == {"too_long": 1, "empty": 1}
    data = "\n".join(lines[1:]).encode()
    assert [one.text for one in read_records(io.BytesIO(data), Reading("jsonl"), keep_blank=True, sample=1)] == [
        "",
        "b",
    ]
    monkeypatch.setattr(delimited, "MAX_ROW", 1000)
    with pytest.raises(DataError, match="line 3: a row of over 16 MiB begins here"):
        rows("id,text,mood\n1,a,b\n2," + '"a\n",' * 1000)
    with pytest.raises(DataError, match="line 3: a row of over 16 MiB begins here"):
        rows('id,text\n1,a\n2,"' + "a\n" * 1000)


@pytest.mark.parametrize(
    "number", ["1.50", "1e3", "-0", "123456789012345678901234567890", "0.1000000000000000055", "9" * 5000]
)
def test_numbers_of_json_are_taken_as_they_are_written(number: str) -> None:
    line = f'{{"text": {number}, "stars": {number}, "none": NaN}}\n'
    ((_, row),) = json_rows(io.BytesIO(line.encode()), "utf-8", "a", Counter())
    assert row == {"text": number, "stars": number, "none": None}
    (record,) = read_records(io.BytesIO(line.encode()), Reading("jsonl", Columns("text", ("stars", "none"))))
    assert record == (number, (number, ""), "", "")


def test_a_column_of_json_that_comes_late_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "a"})] * 100 + [json.dumps({"text": "b", "mood": "good"})] + ['{"text": "c"}']
    path.write_text("\n".join(lines))
    reading = choose_columns([(path, str(path))], Reading(columns=Columns(labels=("mood",))))
    assert reading.columns.text == "text"
    assert [one.labels for one in read_records(path, reading)][-3:] == [("",), ("good",), ("",)]
    for wrong in ("mod", "none"):
        with pytest.raises(UsageError, match=f"has no column '{wrong}'"):
            choose_columns([(path, str(path))], Reading(columns=Columns(labels=(wrong,))))
    piped = Reading("jsonl", reading.columns)
    with pytest.raises(UsageError, match="standard input has no column 'mood' in its first row"):
        list(read_records(io.BytesIO(path.read_bytes()), piped, sample=1))
