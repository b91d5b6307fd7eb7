"""Parquet tables: dates and times, columns that are missing or nested, and files that are compressed once more."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from seqvae_cli.data.readers import Reading, choose_columns, read_records
from seqvae_cli.data.records import Columns, Record
from seqvae_cli.errors import DataError, UsageError
from seqvae_cli.system import places

arrow = pytest.importorskip("pyarrow")

SECOND = 1_700_000_000
WHOLE, HALF = "2023-11-14 22:13:20", "2023-11-14 22:13:20.500000"


def written(path: Path, columns: dict[str, Any]) -> Path:
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), path)
    return path


def values(path: Path, name: str) -> list[str]:
    return [record.labels[0] for record in read_records(path, Reading(columns=Columns("text", (name,))))]


@pytest.mark.parametrize(
    ("kind", "units", "expected"),
    [
        (arrow.timestamp("ns"), [SECOND * 10**9, SECOND * 10**9 + 1], [WHOLE, f"{WHOLE}.000000001"]),
        (arrow.timestamp("us"), [SECOND * 10**6, SECOND * 10**6 + 500_000], [WHOLE, HALF]),
        (arrow.timestamp("ms", "UTC"), [SECOND * 1000, None], [f"{WHOLE}Z", ""]),
        (arrow.time64("ns"), [1, 60 * 10**9], ["00:00:00.000000001", "00:01:00"]),
        (arrow.duration("ns"), [1_500, 10**9], ["0:00:00.000001", "0:00:01"]),
        (arrow.date32(), [date(2024, 2, 29), None], ["2024-02-29", ""]),
    ],
    ids=str,
)
def test_dates_and_times_are_text(tmp_path: Path, kind: Any, units: list[Any], expected: list[str]) -> None:
    path = written(tmp_path / "a.parquet", {"text": ["a b", "c"], "when": arrow.array(units, kind)})
    assert values(path, "when") == expected
    assert [record.text for record in read_records(path, Reading())] == ["a b", "c"], "the text is guessed from all"


def test_a_value_that_python_cannot_hold_is_told_with_its_column(tmp_path: Path) -> None:
    long = arrow.array([10**15], arrow.duration("s"))
    path = written(tmp_path / "a.parquet", {"text": ["a"], "took": long})
    with pytest.raises(DataError, match=r"a\.parquet, from row 1: the column 'took' cannot be read"):
        values(path, "took")
    assert list(read_records(path, Reading(columns=Columns("text")))) == [Record("a")], "it is not read then"


@pytest.mark.parametrize(
    ("columns", "message", "hint"),
    [
        (Columns("reviw"), "no column 'reviw'", "did you mean 'review'?"),
        (Columns("x"), "no column 'x'", "one of 'review' (good), 'mood' (fine)"),
        (Columns("review", ("moood",)), "no column 'moood'", "did you mean 'mood'?"),
        (Columns("review", (), None, "y"), "no column 'y'", "one of 'review' (good), 'mood' (fine)"),
        (Columns("review", ("tags",)), "the column 'tags' is nested (list<element: string>)", "name one of text"),
    ],
)
def test_a_column_that_is_no_column_of_text_is_told(tmp_path: Path, columns: Columns, message: str, hint: str) -> None:
    path = written(tmp_path / "a.parquet", {"review": ["good"], "mood": ["fine"], "tags": [["a"]]})
    for check in (
        lambda: list(read_records(path, Reading(columns=columns))),
        lambda: choose_columns([(path, str(path))], Reading(columns=columns)),
    ):
        with pytest.raises(UsageError) as caught:
            check()
        assert message in caught.value.message
        assert caught.value.hint == hint


def test_a_table_without_a_column_of_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"tags": [["a"]]})
    with pytest.raises(DataError, match="has no column of text; its columns are nested: tags"):
        list(read_records(path, Reading()))
    wide = written(tmp_path / "b.parquet", {f"c{i}": ["a"] for i in range(10_001)})
    with pytest.raises(DataError, match="has 10,001 columns, 10,000 are the most"):
        list(read_records(wide, Reading()))


def test_a_compressed_table_is_unpacked_within_bounds(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    plain = written(tmp_path / "a.parquet", {"text": ["a b", "c"] * 300, "n": list(range(600))})
    expected = list(read_records(plain, Reading(columns=Columns("text", ("n",)))))
    for ending, pack in ((".gz", gzip.compress), (".zst", zstandard.compress)):
        packed = tmp_path / f"a.parquet{ending}"
        packed.write_bytes(pack(plain.read_bytes()))
        told: list[int] = []
        reading = Reading(columns=Columns("text", ("n",)))
        assert list(read_records(packed, reading, advance=told.append)) == expected
        assert sum(told) == packed.stat().st_size
        packed.write_bytes(pack(plain.read_bytes())[:-9])
        with pytest.raises(DataError, match="is damaged or cut short"):
            list(read_records(packed, reading))
        packed.write_bytes(pack(b"PAR1" + bytes(1 << 23)))
        with pytest.raises(DataError, match="unpacks to over 100 times its size"):
            list(read_records(packed, reading))
    assert list(places.cache().iterdir()) == []


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    from pyarrow import parquet

    table = arrow.Table.from_arrays([arrow.array(["a"]), arrow.array(["b"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "a.parquet")
    for columns in (Columns(), Columns("text")):
        with pytest.raises(DataError, match="two columns have the name 'text'"):
            list(read_records(tmp_path / "a.parquet", Reading(columns=columns)))


def test_a_column_whose_name_is_a_path_is_not_the_column_within_another(tmp_path: Path) -> None:
    within = arrow.array([{"b": "other"}])
    path = written(tmp_path / "a.parquet", {"a": within, "a.b": ["this one"], "label": ["x"]})
    assert list(read_records(path, Reading(columns=Columns("a.b", ("label",))))) == [Record("this one", ("x",))]
